// Namespaces: by name, by place in a folder, several on one connection, and those that do not exist.

import assert from "node:assert/strict";
import { test } from "node:test";
import { onEachTransport } from "./client.js";
import { here, serveAll } from "./server.js";

onEachTransport("namespaces", ({ connect, open, via }) => {
  const server = serveAll(here("scripts"));

  test("`main.rhai` is `/`, and a folder is part of the name", async (t) => {
    for (const namespace of ["/", "/game/lobby"]) {
      const client = await connect(t, server.url, namespace);
      assert.deepEqual(await client.next("here"), [client.socket.id, namespace]);
      assert.deepEqual(await client.ask("where"), [namespace]);
    }
  });

  test("an unknown namespace is refused", async (t) => {
    for (const namespace of ["/nowhere", "/game", "/lib/words", "/main", "/game/lobby/deeper"]) {
      const [error] = await open(t, server.url, namespace).next("connect_error");
      assert.equal(error.message, "Invalid namespace", namespace);
    }
  });

  test("a refused namespace leaves the others of the connection alone", async (t) => {
    const client = await connect(t, server.url, "/");
    const [error] = await client.beside("/nowhere").next("connect_error");
    assert.equal(error.message, "Invalid namespace");
    assert.deepEqual(await client.ask("where"), ["/"]);
  });

  test("several namespaces share a connection", async (t) => {
    const main = await connect(t, server.url, "/");
    const lobby = main.beside("/game/lobby");
    const counters = main.beside("/counters");
    await Promise.all([lobby.next("connect"), counters.next("connect")]);
    assert.deepEqual(await main.ask("where"), ["/"]);
    assert.deepEqual(await lobby.ask("where"), ["/game/lobby"]);
    lobby.emit("tell all", "only the lobby");
    assert.deepEqual(await lobby.next("told"), ["only the lobby"]);
    counters.emit("add", 2);
    assert.deepEqual(await counters.ask("state"), [{ count: 2, words: [] }]);
    assert.deepEqual(main.untaken.concat(counters.untaken).filter((event) => event === "told"), []);
  });

  test("leaving one namespace leaves the others connected, and one can come back", async (t) => {
    const main = await connect(t, server.url, "/");
    const lobby = main.beside("/game/lobby");
    await lobby.next("connect");
    await lobby.leave();
    assert.deepEqual(await main.ask("where"), ["/"]);
    lobby.socket.connect();
    await lobby.next("connect");
    assert.deepEqual(await lobby.ask("where"), ["/game/lobby"]);
  });

  test("the connection travels as the client wishes", async (t) => {
    const client = await connect(t, server.url, "/");
    const { engine } = client.manager;
    if (via.length > 1 && engine.transport.name === "polling") await new Promise((done) => engine.once("upgrade", done));
    assert.equal(engine.transport.name, via.at(-1));
    assert.deepEqual(await client.ask("where"), ["/"]);
  });
});
