// The handshake: what a script knows of a client, and how it lets it in or refuses it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { onEachTransport } from "./client.js";
import { here, serve, serveAll } from "./server.js";

onEachTransport("handshake, facts", ({ connect, via }) => {
  const server = serveAll(here("scripts"));
  const come = (t, settings) => connect(t, server.url, "/handshake/facts", settings);

  test("the query is decoded", async (t) => {
    const name = "Jürgen & Söhne + 100% = ?/#🎉";
    const client = await come(t, { query: { name, empty: "", "a key": "x" } });
    assert.deepEqual(await client.ask("name in the query"), [name]);
    const [{ query }] = await client.ask("handshake");
    assert.equal(query.empty, "");
    assert.equal(query["a key"], "x");
    assert.equal(query.EIO, "4");
    assert.equal(query.transport, via[0]);
  });

  test("the names of headers are in lower case", async (t) => {
    const client = await come(t, { extraHeaders: { "X-Custom-Header": "Value As It Is" } });
    assert.deepEqual(await client.ask("a header", "x-custom-header"), ["Value As It Is"]);
    assert.deepEqual(await client.ask("a header", "X-Custom-Header"), []);
    assert.deepEqual(await client.ask("a header", "host"), [new URL(server.url).host]);
  });

  test("`auth` is what the client gave, or an empty map", async (t) => {
    const auth = { token: "s3cret", nested: { list: [1, null] } };
    const client = await come(t, { auth });
    assert.deepEqual((await client.ask("handshake"))[0].auth, auth);
    assert.deepEqual(await client.ask("token"), ["s3cret"]);
    const without = await come(t);
    assert.deepEqual((await without.ask("handshake"))[0].auth, {});
    assert.deepEqual(await without.ask("token"), []);
  });

  test("each namespace has an `auth` of its own", async (t) => {
    const client = await come(t, { auth: { token: "one" } });
    const beside = await connect(t, server.url, "/handshake/guarded", { auth: { wish: "two" } });
    assert.deepEqual(await client.ask("token"), ["one"]);
    assert.equal((await beside.ask("data"))[0].wish, "two");
  });

  test("address, url, time, and the rest", async (t) => {
    const client = await come(t, { query: { name: "a b" } });
    const [handshake] = await client.ask("handshake");
    assert.match(handshake.address, /^(::ffff:)?127\.0\.0\.1$/);
    assert.match(handshake.url, /^\/socket\.io\/\?/);
    assert.match(handshake.url, /transport=(polling|websocket)/);
    assert.ok(Number.isInteger(handshake.issued), `${handshake.issued}`);
    assert.deepEqual(await client.ask("before now"), [true]);
    assert.equal(typeof handshake.time, "string");
    assert.ok(Math.abs(Date.parse(handshake.time) - handshake.issued) < 2000, handshake.time);
    assert.equal(handshake.secure, false);
    assert.equal(handshake.xdomain, false);
  });

  test("`transport` is how the client travels now", async (t) => {
    const client = await come(t);
    const { engine } = client.manager;
    if (via.length > 1 && engine.transport.name === "polling") await new Promise((done) => engine.once("upgrade", done));
    assert.deepEqual(await client.ask("transport"), [via.at(-1)]);
  });
});

onEachTransport("handshake, letting in", ({ connect, open }) => {
  const guarded = "/handshake/guarded";
  const serving = (t) => serve(t, here("scripts"));
  const wish = (text) => ({ auth: { wish: text } });

  async function refusal(t, server, namespace, text) {
    const client = open(t, server.url, namespace, wish(text));
    const [error] = await client.next("connect_error");
    assert.equal(client.socket.connected, false);
    return error.message;
  }

  test("who is let in is connected", async (t) => {
    const server = await serving(t);
    const client = await connect(t, server.url, guarded, wish("please"));
    await client.next("from the connection");
    assert.deepEqual(await client.ask("connections"), [1]);
  });

  test("what was joined, kept and emitted in the handshake stays", async (t) => {
    const server = await serving(t);
    const client = await connect(t, server.url, guarded, wish("please"));
    assert.deepEqual(await client.next("from the handshake"), ["please"]);
    await client.next("from the connection");
    assert.deepEqual(await client.ask("data"), [{ wish: "please", seen: "in the handshake" }]);
    assert.deepEqual((await client.ask("rooms"))[0].sort(), ["early", client.socket.id].sort());
    await client.ask("tell the early ones");
    await client.next("told");
  });

  test("a thrown string refuses, and the client hears it", async (t) => {
    assert.equal(await refusal(t, await serving(t), guarded, "refuse"), "not today");
  });

  test("a thrown map refuses with its `message`", async (t) => {
    assert.equal(await refusal(t, await serving(t), guarded, "refuse with a map"), "no entry");
  });

  test("a hook that fails refuses, and does not tell the client where", async (t) => {
    assert.doesNotMatch(await refusal(t, await serving(t), guarded, "fail"), /rhai|index|array|nothing/i);
  });

  test("of a refused client nothing stays", async (t) => {
    const server = await serving(t);
    for (const text of ["refuse", "refuse with a map"]) await refusal(t, server, guarded, text);
    const client = await connect(t, server.url, guarded, wish("please"));
    assert.deepEqual(await client.ask("who is here"), [[client.socket.id]]);
    assert.deepEqual((await client.ask("all rooms"))[0].sort(), ["early", client.socket.id].sort());
    assert.deepEqual(await client.ask("connections"), [1]);
    assert.deepEqual(await client.ask("disconnections"), [0]);
  });

  test("a refused namespace leaves the others of the connection alone, and can be asked for again", async (t) => {
    const server = await serving(t);
    const main = await connect(t, server.url, "/");
    const beside = main.beside(guarded);
    await beside.next("connect");
    await beside.leave();
    await main.ask("where");
    beside.socket.auth = { wish: "refuse" };
    beside.socket.connect();
    assert.equal((await beside.next("connect_error"))[0].message, "not today");
    assert.deepEqual(await main.ask("where"), ["/"]);
    beside.socket.auth = { wish: "please" };
    beside.socket.connect();
    await beside.next("connect");
    assert.equal((await beside.ask("data"))[0].wish, "please");
  });

  const later = "/handshake/later";

  test("`next.call()` lets in, at once or later", async (t) => {
    const server = await serving(t);
    const atOnce = await connect(t, server.url, later, wish("at once"));
    assert.deepEqual(await atOnce.ask("let in"), []);
    const afterAWhile = await connect(t, server.url, later, wish("later"));
    assert.deepEqual(await afterAWhile.ask("let in"), ["later"]);
  });

  test("`next.call(reason)` refuses, at once or later", async (t) => {
    const server = await serving(t);
    assert.equal(await refusal(t, server, later, "refuse at once"), "not today");
    assert.equal(await refusal(t, server, later, "refuse later"), "not tomorrow");
  });

  test("a hook that answers later may also throw", async (t) => {
    assert.equal(await refusal(t, await serving(t), later, "throw"), "thrown");
  });

  test("the first call of `next` counts", async (t) => {
    const client = await connect(t, (await serving(t)).url, later, wish("twice"));
    assert.deepEqual(await client.ask("done"), [true]);
  });

  test("who waits does not hold up the others", async (t) => {
    const server = await serving(t);
    const waiting = open(t, server.url, later, wish("much later"));
    const others = ["later", "at once"].map((text) => connect(t, server.url, later, wish(text)));
    for (const client of await Promise.all(others)) assert.deepEqual(await client.ask("done"), [true]);
    assert.equal(waiting.socket.connected, false);
    assert.deepEqual(waiting.untaken, []);
  });
});
