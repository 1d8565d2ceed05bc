// Disconnects: both sides hear of them, with Node's reasons.

import assert from "node:assert/strict";
import { test } from "node:test";
import { onEachTransport } from "./client.js";
import { here, serve } from "./server.js";

onEachTransport("leaving", ({ connect, via }) => {
  // A server for each test, because those who leave are heard of by everyone.
  async function two(t) {
    const server = await serve(t, here("scripts"));
    return [await connect(t, server.url, "/leaving"), await connect(t, server.url, "/leaving")];
  }

  test("a script disconnects a client", async (t) => {
    const [watching, leaving] = await two(t);
    leaving.emit("kick me");
    assert.equal((await leaving.next("disconnect"))[0], "io server disconnect");
    assert.deepEqual(await watching.next("left"), ["server namespace disconnect"]);
    assert.ok(watching.socket.connected);
  });

  test("a client disconnects", async (t) => {
    const [watching, leaving] = await two(t);
    leaving.socket.disconnect();
    assert.equal((await leaving.next("disconnect"))[0], "io client disconnect");
    assert.deepEqual(await watching.next("left"), ["client namespace disconnect"]);
  });

  test("a client closes the connection", async (t) => {
    const [watching, leaving] = await two(t);
    leaving.manager.engine.close();
    assert.deepEqual(await watching.next("left"), ["transport close"]);
  });

  // A poll that is not repeated is a matter of the heartbeat: protocol.test.js.
  if (via[0] === "websocket") {
    test("a connection breaks", async (t) => {
      const [watching, leaving] = await two(t);
      leaving.manager.engine.transport.ws.terminate();
      assert.match((await watching.next("left"))[0], /^transport (close|error)$/);
    });
  }

  test("who left on several namespaces is heard of on each", async (t) => {
    const [watching, leaving] = await two(t);
    const beside = leaving.beside("/game/lobby");
    await beside.next("connect");
    leaving.manager.engine.close();
    assert.deepEqual(await watching.next("left"), ["transport close"]);
    await beside.next("disconnect");
  });
});
