// Timers: once, again and again, cleared; they belong to their connection and end with it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { onEachTransport } from "./client.js";
import { here, serve } from "./server.js";

/** A time that no test waits for. */
const NEVER_MS = 600_000;

onEachTransport("timers", ({ connect }) => {
  async function people(t, count) {
    const server = await serve(t, here("scripts"));
    const all = [];
    for (let n = 0; n < count; n++) all.push(await connect(t, server.url, "/timers"));
    return Object.assign(all, { server });
  }

  test("`set_timeout` calls once, not before its time", async (t) => {
    const [ada] = await people(t, 1);
    ada.emit("later", 60);
    const [elapsed] = await ada.next("later");
    // Both ends are cut to whole milliseconds.
    assert.ok(elapsed >= 58, `${elapsed} ms`);
    assert.deepEqual(await ada.ask("count"), [1]);
  });

  test("without waiting at all", async (t) => {
    const [ada] = await people(t, 1);
    ada.emit("later", 0);
    await ada.next("later");
  });

  test("a timer sets the next one", async (t) => {
    const [ada] = await people(t, 1);
    ada.emit("in turn", 5);
    assert.deepEqual(await ada.next("step"), [1]);
    assert.deepEqual(await ada.next("step"), [2]);
  });

  test("an ack is called later", async (t) => {
    const [ada] = await people(t, 1);
    assert.deepEqual(await ada.ask("ask later"), ["at last"]);
  });

  test("`set_interval` calls again and again, among the variables of the connection", async (t) => {
    const [ada] = await people(t, 1);
    ada.emit("tick", 5);
    for (let n = 1; n <= 10; n++) assert.deepEqual(await ada.next("tick"), [n]);
    assert.ok((await ada.ask("count"))[0] >= 10);
  });

  test("`clear_interval` ends it, from outside", async (t) => {
    const [ada, bob] = await people(t, 2);
    ada.emit("tick", 5);
    await ada.next("tick");
    await ada.ask("stop ticking");
    const [count] = await ada.ask("count");
    // As many ticks of another show that the time has passed.
    bob.emit("tick", 5);
    for (let n = 1; n <= 10; n++) await bob.next("tick");
    assert.deepEqual(await ada.ask("count"), [count]);
  });

  test("`clear_interval` ends it, from inside", async (t) => {
    const [ada, bob] = await people(t, 2);
    ada.emit("tick three times", 5);
    for (let n = 1; n <= 3; n++) assert.deepEqual(await ada.next("tick"), [n]);
    bob.emit("tick", 5);
    for (let n = 1; n <= 10; n++) await bob.next("tick");
    await ada.ask("done");
    assert.ok(!ada.untaken.includes("tick"));
  });

  test("`clear_timeout` prevents the call", async (t) => {
    const [ada, bob] = await people(t, 2);
    await ada.ask("set and clear", 20);
    bob.emit("tick", 20);
    for (let n = 1; n <= 5; n++) await bob.next("tick");
    await ada.ask("done");
    assert.ok(!ada.untaken.includes("never"));
  });

  test("clearing twice, or what has fired, is no harm", async (t) => {
    const [ada] = await people(t, 1);
    ada.emit("clear what has fired");
    await ada.next("fired");
    ada.emit("tick", 5);
    await ada.next("tick");
    await ada.ask("stop twice");
    assert.deepEqual(await ada.ask("done"), [true]);
  });

  test("a timer that fails goes on, and so does the connection", async (t) => {
    const [ada] = await people(t, 1);
    ada.emit("fails each", 5);
    for (let n = 1; n <= 5; n++) assert.deepEqual(await ada.next("tick"), [n]);
    assert.deepEqual(await ada.ask("done"), [true]);
  });

  for (const goes of ["the client leaves", "the connection is closed"]) {
    test(`an interval ends when ${goes}`, async (t) => {
      const [watching, leaving] = await people(t, 2);
      const gone = leaving.socket.id;
      leaving.emit("tell everyone each", 5);
      await watching.next("pulse");
      if (goes === "the client leaves") leaving.socket.disconnect();
      else leaving.manager.engine.close();
      await watching.next("left");
      while (watching.untaken.includes("pulse")) await watching.next("pulse");
      watching.emit("tell everyone each", 5);
      for (let n = 0; n < 10; n++) assert.notEqual((await watching.next("pulse"))[0], gone);
    });
  }

  test("a timeout that is pending does not outlive its connection", async (t) => {
    const [watching, leaving] = await people(t, 2);
    const gone = leaving.socket.id;
    leaving.emit("tell everyone in", 60);
    await leaving.ask("done");
    await leaving.leave();
    await watching.next("left");
    watching.emit("tell everyone each", 20);
    for (let n = 0; n < 8; n++) assert.notEqual((await watching.next("pulse"))[0], gone);
  });

  test("a long timer does not keep the server from ending", async (t) => {
    const all = await people(t, 1);
    all[0].emit("tell everyone in", NEVER_MS);
    await all[0].ask("done");
    assert.deepEqual(await all.server.stop(), { code: 0, signal: null });
  });
});
