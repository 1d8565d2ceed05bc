// The end of a connection, as a script hears it: `disconnecting`, `disconnect`, `on_disconnect`; and how it ends one.

import assert from "node:assert/strict";
import { test } from "node:test";
import { onEachTransport } from "./client.js";
import { here, serve } from "./server.js";

onEachTransport("disconnecting", ({ connect, via }) => {
  /** Who watches, and who will leave; each in the room `red`, who leaves in `blue` too. */
  async function two(t) {
    const server = await serve(t, here("scripts"));
    const [watching, leaving] = [await connect(t, server.url, "/farewell"), await connect(t, server.url, "/farewell")];
    await watching.ask("join", "red");
    await leaving.ask("join", ["red", "blue"]);
    leaving.id = leaving.socket.id;
    return [watching, leaving];
  }

  /** The ways to go, and the reason a script hears. */
  const ways = {
    "the client leaves": [(client) => client.socket.disconnect(), "client namespace disconnect"],
    "the script ends it": [(client) => client.emit("leave"), "server namespace disconnect"],
    "the script ends it, by `disconnect(false)`": [(client) => client.emit("leave with false"), "server namespace disconnect"],
    "the script closes the connection": [(client) => client.emit("close"), "server namespace disconnect"],
    "the client closes the connection": [(client) => client.manager.engine.close(), "transport close"],
  };

  for (const [way, [goes, reason]] of Object.entries(ways)) {
    test(`${way}: \`disconnecting\` still has the rooms`, async (t) => {
      const [watching, leaving] = await two(t);
      goes(leaving);
      const [heard, rooms] = await watching.next("leaving");
      assert.equal(heard, reason);
      assert.deepEqual(rooms.sort(), ["blue", "red", leaving.id].sort());
      assert.deepEqual(await watching.next("farewell"), [leaving.id]);
    });

    test(`${way}: \`disconnect\` has none, and the hook comes last`, async (t) => {
      const [watching, leaving] = await two(t);
      goes(leaving);
      assert.deepEqual((await watching.next("left")).slice(0, 3), [reason, [], false]);
      const order = [["disconnecting", reason], ["disconnect", reason], ["on_disconnect", reason]];
      assert.deepEqual(await watching.next("hook"), [reason, order]);
    });

    test(`${way}: others find it while it is \`disconnecting\`, and not at \`disconnect\``, async (t) => {
      const [watching, leaving] = await two(t);
      goes(leaving);
      assert.deepEqual((await watching.next("leaving"))[2], [true, true]);
      assert.deepEqual((await watching.next("left"))[3], [false, false]);
    });

    test(`${way}: nothing of it is left`, async (t) => {
      const [watching, leaving] = await two(t);
      goes(leaving);
      await watching.next("hook");
      assert.deepEqual(await watching.ask("gone", leaving.id), [true]);
      assert.deepEqual(await watching.ask("everyone"), [[watching.socket.id]]);
      assert.deepEqual((await watching.ask("all rooms"))[0].sort(), ["red", watching.socket.id].sort());
    });
  }

  test("each is heard once", async (t) => {
    const [watching, leaving] = await two(t);
    leaving.emit("close");
    leaving.socket.disconnect();
    await watching.next("hook");
    await watching.ask("done");
    const heard = watching.untaken.filter((event) => event !== "connect").sort();
    assert.deepEqual(heard, ["farewell", "leaving", "left"]);
  });

  test("a handler that disconnects goes on, and what it sends then is lost", async (t) => {
    const [watching, leaving] = await two(t);
    leaving.emit("leave and go on");
    await leaving.next("before");
    await leaving.next("disconnect");
    await watching.next("hook");
    assert.ok(!leaving.untaken.includes("after"));
    assert.deepEqual(await watching.ask("went on"), [[false, 0]]);
    assert.ok(!(await watching.ask("all rooms"))[0].includes("ghosts"));
  });

  test("`disconnect()` leaves the other namespaces connected", async (t) => {
    const [watching, leaving] = await two(t);
    const beside = leaving.beside("/game/lobby");
    await beside.next("connect");
    leaving.emit("leave");
    assert.equal((await leaving.next("disconnect"))[0], "io server disconnect");
    await watching.next("hook");
    assert.deepEqual(await beside.ask("where"), ["/game/lobby"]);
  });

  test("`disconnect(true)` closes the connection, with every namespace", async (t) => {
    const [watching, leaving] = await two(t);
    const beside = leaving.beside("/game/lobby");
    await beside.next("connect");
    const closed = new Promise((resolve) => leaving.manager.engine.once("close", resolve));
    leaving.emit("close");
    for (const client of [leaving, beside]) await client.next("disconnect");
    await closed;
    assert.equal((await watching.next("left"))[0], "server namespace disconnect");
    assert.ok(watching.socket.connected);
  });

  if (via[0] === "websocket") {
    test("a connection that breaks is heard of in the same way", async (t) => {
      const [watching, leaving] = await two(t);
      leaving.manager.engine.transport.ws.terminate();
      const [reason, rooms] = await watching.next("leaving");
      assert.match(reason, /^transport (close|error)$/);
      assert.deepEqual(rooms.sort(), ["blue", "red", leaving.id].sort());
      assert.deepEqual((await watching.next("left")).slice(0, 3), [reason, [], false]);
    });
  }
});
