// Operators: `to`, `within`, `except`, `broadcast`, `local`, `volatile` choose who hears, alone and chained.

import assert from "node:assert/strict";
import { test } from "node:test";
import { onEachTransport } from "./client.js";
import { DEADLINE_MS, here, serve } from "./server.js";

/** Where everyone is; `ada` is who sends. */
const roomsOf = { ada: ["red"], bob: ["red"], eve: ["red", "blue"], dan: [] };

/** The event that `ada` sends, with its arguments, and who hears. */
const hears = [
  [["socket.emit"], "ada"],
  [["socket.to", "red"], "bob eve"],
  [["socket.to", "blue"], "eve"],
  [["socket.to", ["red", "blue"]], "bob eve"],
  [["socket.to", "nobody is here"], ""],
  [["socket.within", "red"], "bob eve"],
  [["socket.within", ["blue", "nobody is here"]], "eve"],
  [["socket.except", "red"], "dan"],
  [["socket.except", "blue"], "bob dan"],
  [["socket.except", ["red", "blue"]], "dan"],
  [["socket.to.to", "red", "blue"], "bob eve"],
  [["socket.to.except", "red", "blue"], "bob"],
  [["socket.to.except", ["red"], ["blue", "nobody is here"]], "bob"],
  [["socket.except.except", "blue", "nobody is here"], "bob dan"],
  [["socket.broadcast"], "bob eve dan"],
  [["socket.broadcast.to", "red"], "bob eve"],
  [["socket.broadcast.except", "blue"], "bob dan"],
  [["socket.local"], "bob eve dan"],
  [["socket.local.to", "blue"], "eve"],
  [["socket.to.local", "blue"], "eve"],
  [["io.emit"], "ada bob eve dan"],
  [["io.to", "red"], "ada bob eve"],
  [["io.to", ["red", "blue"]], "ada bob eve"],
  [["io.to", "nobody is here"], ""],
  [["io.within", "red"], "ada bob eve"],
  [["io.except", "blue"], "ada bob dan"],
  [["io.except", ["blue", "red"]], "dan"],
  [["io.to.to", "red", "blue"], "ada bob eve"],
  [["io.to.except", "red", "blue"], "ada bob"],
  [["io.local"], "ada bob eve dan"],
  [["io.local.to", "red"], "ada bob eve"],
];

/** The same for events that may be lost: who hears at last, when they are sent again and again. */
const hearsVolatile = [
  [["socket.volatile"], "ada"],
  [["socket.volatile.to", "blue"], "eve"],
  [["socket.to.volatile", "red"], "bob eve"],
  [["io.volatile"], "ada bob eve dan"],
  [["io.to.volatile", "red"], "ada bob eve"],
];

onEachTransport("operators", ({ connect }) => {
  /** Everyone on a server of their own, by name. */
  async function people(t) {
    const server = await serve(t, here("scripts"));
    const all = {};
    for (const [name, rooms] of Object.entries(roomsOf)) {
      all[name] = await connect(t, server.url, "/operators");
      await all[name].ask("join", rooms);
    }
    return all;
  }

  /** Waits until everything that was sent has come: what is sent afterwards comes behind it. */
  async function settled(all) {
    for (const client of Object.values(all)) await client.ask("done");
  }

  /** Takes all `heard` of a client and answers how many there were. */
  async function take(client) {
    const times = client.untaken.filter((event) => event === "heard").length;
    for (let n = 0; n < times; n++) await client.next("heard");
    return times;
  }

  async function whoHeard(all) {
    const names = [];
    for (const [name, client] of Object.entries(all)) {
      const times = await take(client);
      if (times) names.push(times === 1 ? name : `${name} ${times} times`);
    }
    return names.join(" ");
  }

  for (const [[event, ...args], who] of hears) {
    test(`${event}(${args.map((arg) => JSON.stringify(arg)).join(", ")}) is heard by ${who || "nobody"}`, async (t) => {
      const all = await people(t);
      await all.ada.ask(event, ...args);
      await settled(all);
      assert.equal(await whoHeard(all), who);
    });
  }

  for (const [[event, ...args], who] of hearsVolatile) {
    test(`${event}(${args.map((arg) => JSON.stringify(arg)).join(", ")}) is heard by ${who}, sooner or later`, async (t) => {
      const all = await people(t);
      const names = new Set();
      const order = Object.keys(all);
      const heard = () => order.filter((name) => names.has(name)).join(" ");
      for (const end = Date.now() + DEADLINE_MS; heard() !== who && Date.now() < end; ) {
        await all.ada.ask(event, ...args);
        await settled(all);
        for (const [name, client] of Object.entries(all)) if (await take(client)) names.add(name);
      }
      assert.equal(heard(), who);
    });
  }

  test("`send` is an event `message`", async (t) => {
    const all = await people(t);
    await all.ada.ask("socket.send");
    assert.deepEqual(await all.ada.next("message"), ["one", 2, { three: 3 }]);
    await all.ada.ask("io.send");
    for (const client of Object.values(all)) {
      assert.deepEqual(await client.next("message"), ["one", 2, { three: 3 }]);
    }
  });

  test("a private message reaches the one whose id it names", async (t) => {
    const all = await people(t);
    await all.ada.ask("pm", all.dan.socket.id, "psst");
    assert.deepEqual(await all.dan.next("pm"), [all.ada.socket.id, "psst"]);
    await all.ada.ask("pm", all.ada.socket.id, "note to self");
    assert.deepEqual(await all.ada.next("pm"), [all.ada.socket.id, "note to self"]);
    await all.ada.ask("pm", "nobody has this id", "lost");
    await settled(all);
    for (const client of Object.values(all)) assert.ok(!client.untaken.includes("pm"));
  });

  test("values of all kinds go to a room, binary ones included", async (t) => {
    const all = await people(t);
    const value = { text: "ünï 🎉", list: [1, 2.5, null, true], picture: Buffer.from([0, 1, 255]) };
    await all.ada.ask("send a value", value);
    for (const name of ["ada", "bob", "eve"]) assert.deepEqual(await all[name].next("value"), [value, 2, "three"]);
  });

  test("what one handler sends arrives in the order in which it was sent, by whatever operator", async (t) => {
    const all = await people(t);
    await all.ada.ask("in order");
    await settled(all);
    const arrived = all.ada.untaken.filter((event) => /^(first|second|third|fourth|fifth)$/.test(event));
    assert.deepEqual(arrived, ["first", "second", "third", "fourth", "fifth"]);
  });

  test("an operator is a value: it can be kept, and a further one does not change it", async (t) => {
    const all = await people(t);
    await all.dan.ask("join", "blue");
    await all.ada.ask("kept operator");
    await settled(all);
    assert.deepEqual(all.bob.untaken.filter((event) => event.startsWith("to ")), ["to red", "to red", "to both"]);
    assert.deepEqual(all.dan.untaken.filter((event) => event.startsWith("to ")), ["to both"]);
  });

  test("an operator without `emit` changes nothing that is sent later", async (t) => {
    const all = await people(t);
    await all.ada.ask("forgets its operators");
    await settled(all);
    assert.equal(await whoHeard(all), "ada");
  });
});
