// Listening to everything: `on_any`, `on_any_outgoing`, middlewares; and names of events that are Socket.IO's own.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { onEachTransport } from "./client.js";
import { openPoll, openWeb } from "./raw.js";
import { here, serve } from "./server.js";

const reserved = ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

onEachTransport("listening", ({ connect }) => {
  async function people(t, namespace, count) {
    const server = await serve(t, here("scripts"));
    const all = [];
    for (let n = 0; n < count; n++) all.push(await connect(t, server.url, namespace));
    return Object.assign(all, { server });
  }

  test("`on_any` hears every event, known or not, before its listeners", async (t) => {
    const [ada] = await people(t, "/listening/any", 1);
    await ada.ask("known", 1);
    ada.emit("unknown", { a: [2] }, "b");
    const [heard] = await ada.ask("heard");
    assert.deepEqual(heard, [
      ["any", "known", [1]],
      ["another", "known"],
      ["listener", "known"],
      ["any", "unknown", [{ a: [2] }, "b"]],
      ["another", "unknown"],
      ["any", "heard", []],
      ["another", "heard"],
    ]);
  });

  test("`on_any` does not answer, and does not hear of leaving", async (t) => {
    const [ada, bob] = await people(t, "/listening/any", 2);
    assert.deepEqual(await ada.ask("forget"), []);
    await ada.leave();
    assert.deepEqual(await bob.next("left"), [[]]);
  });

  test("`off_any` takes one listener off, or all", async (t) => {
    const [ada] = await people(t, "/listening/any", 1);
    assert.deepEqual(await ada.ask("off any, one"), []);
    await ada.ask("known", 1);
    assert.deepEqual(await ada.ask("heard and forget"), [[["any", "known", [1]], ["listener", "known"], ["any", "heard and forget", []]]]);
    await ada.ask("off any");
    await ada.ask("known", 1);
    assert.deepEqual(await ada.ask("heard"), [[["any", "off any", []], ["listener", "known"]]]);
  });

  test("`off_any_outgoing` takes one listener off, or all", async (t) => {
    const [ada] = await people(t, "/listening/outgoing", 1);
    await ada.ask("listen");
    await ada.ask("listen by name");
    await ada.ask("emit", 1, 2);
    assert.deepEqual(await ada.ask("sent"), [[["to me", [1, 2]], "another to me"]]);
    await ada.ask("off any outgoing, one");
    await ada.ask("emit", 3, 4);
    assert.deepEqual(await ada.ask("sent"), [[["to me", [1, 2]], "another to me", ["to me", [3, 4]]]]);
    await ada.ask("off any outgoing");
    await ada.ask("emit", 5, 6);
    assert.equal((await ada.ask("sent"))[0].length, 3);
  });

  test("`on_any_outgoing` hears what goes to its client alone", async (t) => {
    const [ada, bob] = await people(t, "/listening/outgoing", 2);
    await ada.ask("emit", "before anyone listens", 0);
    await ada.ask("listen");
    await ada.ask("emit", "text", { n: 1 });
    await bob.ask("emit", "not for ada", 2);
    assert.deepEqual(await ada.ask("sent"), [[["to me", ["text", { n: 1 }]]]]);
  });

  test("`on_any_outgoing` hears questions without their ack, and no acks", async (t) => {
    const [ada] = await people(t, "/listening/outgoing", 1);
    await ada.ask("listen");
    ada.socket.on("question", (text, ack) => ack(`${text}!`));
    await ada.ask("ask");
    await ada.next("answered");
    assert.deepEqual(await ada.ask("sent"), [[["question", ["?"]], ["answered", ["?!"]]]]);
  });

  test("`on_any_outgoing` hears broadcasts that reach its client", async (t) => {
    const [ada, bob] = await people(t, "/listening/outgoing", 2);
    await ada.ask("listen");
    await bob.ask("broadcast", 1);
    await bob.ask("emit to all", 2);
    await bob.ask("emit to room", "red", 3);
    await ada.ask("join", "red");
    await bob.ask("emit to room", "red", 4);
    await ada.ask("broadcast", 5);
    for (const event of ["to others", "to all", "to room"]) await ada.next(event);
    assert.deepEqual(await ada.ask("sent"), [[["to others", [1]], ["to all", [2]], ["to room", [4]]]]);
  });

  test("a middleware that throws drops the event, and `error` hears why", async (t) => {
    const [ada] = await people(t, "/listening/middleware", 1);
    let answered = false;
    for (const event of ["forbidden", "forbidden with a map"]) {
      ada.emit(event, 1, () => (answered = true));
      assert.match((await ada.next("refused"))[0], /not for you/);
    }
    ada.emit("plain", 1, 2);
    assert.deepEqual(await ada.next("arrived"), ["plain", 1, 2]);
    assert.equal(answered, false);
    assert.ok(ada.socket.connected);
    const [seen] = await ada.ask("seen");
    assert.deepEqual(seen, ["forbidden", "forbidden with a map", "plain", "seen"]);
  });

  test("a middleware that returns an array replaces the arguments", async (t) => {
    const [ada] = await people(t, "/listening/middleware", 1);
    ada.emit("replaced", "a", "b", "c");
    assert.deepEqual(await ada.next("arrived"), ["replaced", "instead", 3]);
    ada.emit("shouted", "quiet", 1);
    assert.deepEqual(await ada.next("arrived"), ["shouted", "QUIET", 1]);
    ada.emit("plain", "quiet", 1);
    assert.deepEqual(await ada.next("arrived"), ["plain", "quiet", 1]);
  });

  test("a middleware that passes the ack on leaves it to the listener", async (t) => {
    const [ada] = await people(t, "/listening/middleware", 1);
    assert.deepEqual(await ada.ask("shouted, with ack", "quiet"), ["QUIET"]);
  });

  test("a middleware that throws while nobody listens for `error` drops the event all the same", async (t) => {
    const [ada] = await people(t, "/listening/quiet", 1);
    ada.emit("forbidden");
    assert.deepEqual(await ada.ask("done"), [true]);
    assert.ok(!ada.untaken.includes("arrived"));
  });

  test("a script cannot emit the names that are Socket.IO's own", async (t) => {
    const [ada] = await people(t, "/listening/reserved", 1);
    for (const event of reserved) assert.deepEqual(await ada.ask("emit", event), ["refused"], event);
    for (const event of ["connect", "disconnect", "connect_error"]) {
      assert.deepEqual(await ada.ask("broadcast", event), ["refused"], event);
    }
    assert.deepEqual(await ada.ask("emit", "connected"), ["sent"]);
    await ada.next("connected");
  });
});

describe("reserved events, sent by a client", () => {
  for (const event of reserved) {
    test(`\`${event}\` ends the connection, WebSocket`, async (t) => {
      const server = await serve(t, here("scripts"));
      const web = await openWeb(t, server.url);
      await web.connect("/listening/reserved");
      web.send(`42/listening/reserved,["${event}","forged"]`);
      await web.closed;
    });

    test(`\`${event}\` ends the connection, polling`, async (t) => {
      const server = await serve(t, here("scripts"));
      const watching = await openWeb(t, server.url);
      await watching.connect("/listening/reserved");
      const poll = await openPoll(server.url);
      await poll.connect("/listening/reserved");
      await poll.post(`42/listening/reserved,["${event}","forged"]`);
      await poll.untilGone();
      assert.match(await watching.next(), /"left"/);
    });
  }
});
