// Dynamic namespaces: `room/{id}.rhai` is `/room/<anything>`, each a namespace of its own; and speaking to others.

import assert from "node:assert/strict";
import { test } from "node:test";
import { onEachTransport } from "./client.js";
import { here, serve } from "./server.js";

onEachTransport("dynamic namespaces", ({ connect, open }) => {
  const serving = (t) => serve(t, here("scripts"));

  test("`socket.params` has what the name says", async (t) => {
    const server = await serving(t);
    for (const id of ["42", "a-b_c.d", "x"]) {
      const client = await connect(t, server.url, `/room/${id}`);
      assert.deepEqual(await client.ask("where"), [{ id, nsp: `/room/${id}` }]);
    }
  });

  test("only the last part is free", async (t) => {
    const server = await serving(t);
    for (const namespace of ["/room", "/room/1/2", "/rooms/1", "/room/"]) {
      const client = open(t, server.url, namespace);
      assert.equal((await client.next("connect_error"))[0].message, "Invalid namespace", namespace);
    }
  });

  test("what is said in one is not heard in another", async (t) => {
    const server = await serving(t);
    const [ada, bob] = [await connect(t, server.url, "/room/1"), await connect(t, server.url, "/room/1")];
    const eve = await connect(t, server.url, "/room/2");
    await ada.ask("say", "hello");
    for (const client of [ada, bob]) assert.deepEqual(await client.next("said"), ["hello"]);
    await eve.ask("where");
    assert.ok(!eve.untaken.includes("said"));
    assert.deepEqual((await ada.ask("everyone"))[0].sort(), [ada.socket.id, bob.socket.id].sort());
    assert.deepEqual(await eve.ask("everyone"), [[eve.socket.id]]);
  });

  test("rooms of the same name in two of them are two rooms", async (t) => {
    const server = await serving(t);
    const [ada, eve] = [await connect(t, server.url, "/room/1"), await connect(t, server.url, "/room/2")];
    for (const client of [ada, eve]) await client.ask("join", "red");
    await ada.ask("say in room", "red", "hello");
    assert.deepEqual(await ada.next("said"), ["hello"]);
    await eve.ask("where");
    assert.ok(!eve.untaken.includes("said"));
  });

  test("each has an `io.data` of its own", async (t) => {
    const server = await serving(t);
    const ada = await connect(t, server.url, "/room/1");
    const bob = await connect(t, server.url, "/room/1");
    const eve = await connect(t, server.url, "/room/2");
    assert.deepEqual(await bob.ask("visits"), [2]);
    assert.deepEqual(await ada.ask("visits"), [2]);
    assert.deepEqual(await eve.ask("visits"), [1]);
  });

  test("several on one connection", async (t) => {
    const server = await serving(t);
    const one = await connect(t, server.url, "/room/1");
    const two = one.beside("/room/2");
    await two.next("connect");
    await one.leave();
    assert.deepEqual(await two.ask("where"), [{ id: "2", nsp: "/room/2" }]);
  });

  test("the first clients come at the same moment, and all are in the same one", async (t) => {
    const server = await serving(t);
    for (let round = 0; round < 5; round++) {
      const namespace = `/room/round-${round}`;
      const all = await Promise.all(Array.from({ length: 8 }, () => connect(t, server.url, namespace)));
      assert.deepEqual((await all[0].ask("everyone"))[0].sort(), all.map((client) => client.socket.id).sort());
      await all[0].ask("say", namespace);
      for (const client of all) assert.deepEqual(await client.next("said"), [namespace]);
    }
  });

  test("who is last to leave can come back", async (t) => {
    const server = await serving(t);
    const ada = await connect(t, server.url, "/room/1");
    await ada.leave();
    ada.socket.connect();
    await ada.next("connect");
    await ada.ask("say", "back again");
    assert.deepEqual(await ada.next("said"), ["back again"]);
  });

  test("`io.of` speaks to another namespace", async (t) => {
    const server = await serving(t);
    const hall = await connect(t, server.url, "/hall");
    const rooms = [await connect(t, server.url, "/room/1"), await connect(t, server.url, "/room/2")];
    await hall.ask("tell", "/room/1", "dinner");
    assert.deepEqual(await rooms[0].next("told"), ["dinner"]);
    await rooms[1].ask("where");
    assert.ok(!rooms[1].untaken.includes("told"));
    await rooms[1].ask("tell the hall", "coming");
    assert.deepEqual(await hall.next("told"), ["/room/2", "coming"]);
  });

  test("`io.of` takes operators", async (t) => {
    const server = await serving(t);
    const [one, other] = [await connect(t, server.url, "/room/1"), await connect(t, server.url, "/room/1")];
    const hall = await connect(t, server.url, "/hall");
    await hall.ask("join", "red");
    await one.ask("join", "red");
    await hall.ask("tell in room", "/room/1", "red", "for the red ones");
    assert.deepEqual(await one.next("told"), ["for the red ones"]);
    await other.ask("where");
    await hall.ask("done");
    assert.ok(!other.untaken.includes("told"));
    assert.ok(!hall.untaken.includes("told"));
  });
});
