// Acks: called by the handler, or made of what it returns; at most once; never for a handler that failed.

import assert from "node:assert/strict";
import { test } from "node:test";
import { onEachTransport } from "./client.js";
import { here, serveAll } from "./server.js";

onEachTransport("acks", ({ connect }) => {
  const server = serveAll(here("scripts"));
  const client = (t) => connect(t, server.url, "/acks");

  test("the ack comes after the arguments", async (t) => {
    assert.deepEqual(await (await client(t)).ask("sum", 1, 2), [3]);
  });

  test("with several arguments", async (t) => {
    assert.deepEqual(await (await client(t)).ask("several"), [1, "two", { three: [3] }]);
  });

  test("without arguments", async (t) => {
    assert.deepEqual(await (await client(t)).ask("nothing"), []);
  });

  test("called twice, the first counts", async (t) => {
    const asking = await client(t);
    const answers = [];
    asking.emit("twice", (...answer) => answers.push(answer));
    await asking.ask("double", 1);
    assert.deepEqual(answers, [["first"]]);
  });

  test("called later, by another handler", async (t) => {
    const asking = await client(t);
    const answer = asking.ask("keep");
    asking.emit("answer the kept", "at last");
    assert.deepEqual(await answer, ["at last"]);
  });

  test("a handler without an ack parameter answers with its value", async (t) => {
    assert.deepEqual(await (await client(t)).ask("double", 21), [42]);
  });

  test("a handler without a value acks without arguments", async (t) => {
    assert.deepEqual(await (await client(t)).ask("no value", 1), []);
  });

  test("a value of a handler is not sent to who did not ask", async (t) => {
    const quiet = await client(t);
    quiet.emit("double", 1);
    assert.deepEqual(await quiet.ask("double", 2), [4]);
    assert.deepEqual(quiet.untaken, []);
  });

  test("a handler that fails sends no ack, and the connection goes on", async (t) => {
    const asking = await client(t);
    let answered = false;
    asking.emit("fails", 1, () => (answered = true));
    assert.deepEqual(await asking.ask("double", 4), [8]);
    assert.equal(answered, false);
    assert.ok(asking.socket.connected);
  });

  test("who set a time limit hears that a failed handler does not answer", async (t) => {
    const asking = await client(t);
    await assert.rejects(asking.socket.timeout(50).emitWithAck("fails", 1), /operation has timed out/);
  });

  test("a listener that fails does not keep the next one from running", async (t) => {
    const asking = await client(t);
    asking.emit("fails first", "x");
    assert.deepEqual(await asking.next("the second ran"), ["x"]);
  });
});
