// Listeners, captured variables, arguments, order, imports: what a handler can count on.

import assert from "node:assert/strict";
import { test } from "node:test";
import { onEachTransport } from "./client.js";
import { here, serve, serveAll } from "./server.js";

onEachTransport("handlers", ({ connect, open }) => {
  const server = serveAll(here("scripts"));

  test("handlers of a connection share what they captured", async (t) => {
    const client = await connect(t, server.url, "/counters");
    client.emit("add", 5);
    client.emit("note", "first");
    client.emit("note", "second");
    assert.deepEqual(await client.ask("state"), [{ count: 7, words: ["first", "second"] }]);
  });

  test("connections share nothing", async (t) => {
    const [one, other] = [await connect(t, server.url, "/counters"), await connect(t, server.url, "/counters")];
    one.emit("add", 1);
    other.emit("add", 10);
    other.emit("note", "mine");
    assert.deepEqual(await one.ask("state"), [{ count: 1, words: [] }]);
    assert.deepEqual(await other.ask("state"), [{ count: 11, words: ["mine"] }]);
  });

  test("a client whose `on_connection` fails is disconnected, and one that comes back is served", async (t) => {
    const failing = await serve(t, {
      "main.rhai": `fn on_connection(socket) {
          socket.on("ready", || "yes");
          if io.data.incr("clients", 1) == 1 { throw "not yet"; }
      }
      fn on_disconnect(socket, reason) { print(\`gone: \${reason}\`); }`,
    });
    const client = await connect(t, failing.url);
    assert.equal((await client.next("disconnect"))[0], "io server disconnect");
    client.socket.connect();
    await client.next("connect");
    assert.deepEqual(await client.ask("ready"), ["yes"]);
    assert.match(failing.output, /error: not yet[^]*gone: server namespace disconnect/);
    assert.match(failing.output, /disconnected: its `on_connection` failed/);
  });

  test("several listeners of an event run in the order of their registration", async (t) => {
    const client = await connect(t, server.url, "/counters");
    client.emit("both");
    assert.deepEqual(await client.ask("state"), [{ count: 10, words: [] }]);
    const greeted = await connect(t, server.url, "/listeners");
    greeted.emit("greet", "Ada");
    await greeted.ask("done");
    assert.deepEqual(greeted.untaken, ["greeted", "greeted too"]);
  });

  test("`off` with a listener removes that one", async (t) => {
    const client = await connect(t, server.url, "/listeners");
    client.emit("stop the first");
    client.emit("greet", "Ada");
    await client.ask("done");
    assert.deepEqual(client.untaken, ["greeted too"]);
  });

  test("`off` without a listener removes all", async (t) => {
    const client = await connect(t, server.url, "/listeners");
    client.emit("stop all");
    client.emit("greet", "Ada");
    await client.ask("done");
    assert.deepEqual(client.untaken, []);
  });

  test("`once` hears one event", async (t) => {
    const client = await connect(t, server.url, "/listeners");
    for (const x of [1, 2, 3]) client.emit("first time", x);
    await client.ask("done");
    assert.deepEqual(client.untaken, ["only once"]);
    assert.deepEqual(await client.next("only once"), [1]);
  });

  test("a handler registers further ones, with variables of their own", async (t) => {
    const client = await connect(t, server.url, "/listeners");
    client.emit("red", "nobody listens yet");
    client.emit("learn", "red");
    client.emit("learn", "blue");
    client.emit("red", 1);
    client.emit("blue", 2);
    client.emit("red", 3);
    assert.deepEqual(await client.next("learned"), ["red", 1, 1]);
    assert.deepEqual(await client.next("learned"), ["blue", 2, 1]);
    assert.deepEqual(await client.next("learned"), ["red", 3, 2]);
    await client.ask("done");
    assert.deepEqual(client.untaken, []);
  });

  test("an event without a listener is no harm", async (t) => {
    const client = await connect(t, server.url, "/listeners");
    client.emit("nobody listens", 1, 2, 3);
    assert.deepEqual(await client.ask("done"), [true]);
  });

  test("fewer parameters than arguments", async (t) => {
    const client = await connect(t, server.url, "/arguments");
    client.emit("none", 1, 2, 3);
    client.emit("one", 1, 2, 3);
    assert.deepEqual(await client.next("none"), ["called"]);
    assert.deepEqual(await client.next("one"), [1]);
  });

  test("more parameters than arguments", async (t) => {
    const client = await connect(t, server.url, "/arguments");
    client.emit("three");
    client.emit("three", 1);
    client.emit("three", 1, "two", { three: 3 });
    assert.deepEqual(await client.next("three"), [null, null, null]);
    assert.deepEqual(await client.next("three"), [1, null, null]);
    assert.deepEqual(await client.next("three"), [1, "two", { three: 3 }]);
  });

  test("eight arguments in, eight out", async (t) => {
    const client = await connect(t, server.url, "/arguments");
    const all = [1, "two", [3], { four: 4 }, 5.5, true, null, "eight"];
    client.emit("eight", ...all);
    assert.deepEqual(await client.next("eight"), all);
  });

  test("events sent at once on connecting are kept in order", async (t) => {
    const client = open(t, server.url, "/order");
    const numbers = Array.from({ length: 200 }, (_, i) => i);
    for (const n of numbers) client.emit("number", n);
    assert.deepEqual(await client.ask("numbers"), [numbers]);
  });

  test("what a handler emits arrives in order", async (t) => {
    const client = await connect(t, server.url, "/order");
    client.emit("count to", 1000);
    for (let n = 0; n < 1000; n++) assert.deepEqual(await client.next("number"), [n]);
  });

  test("what `on_connection` emits arrives", async (t) => {
    const client = await connect(t, server.url, "/order");
    assert.deepEqual(await client.next("connected late"), [124750]);
  });

  test("modules of the folder are there while connecting and in handlers", async (t) => {
    const client = await connect(t, server.url, "/imports");
    assert.deepEqual(await client.next("greeting"), ["good day, newcomer"]);
    assert.deepEqual(await client.ask("greet", "Ada"), ["good day, Ada"]);
  });

  test("`io.emit` reaches everyone, `broadcast` everyone else", async (t) => {
    const all = [];
    for (let n = 0; n < 3; n++) all.push(await connect(t, server.url, "/broadcast"));
    const [sender, ...others] = all;
    sender.emit("to all", { n: 1 });
    for (const client of all) assert.deepEqual(await client.next("all"), [{ n: 1 }]);
    sender.emit("to others", 2);
    sender.emit("to others, longer", 3);
    for (const client of others) {
      assert.deepEqual(await client.next("others"), [2]);
      assert.deepEqual(await client.next("others"), [3, { from: sender.socket.id }]);
    }
    await sender.ask("done");
    assert.deepEqual(sender.untaken, []);
  });
});
