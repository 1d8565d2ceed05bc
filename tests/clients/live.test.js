// The heart of it: a saved script takes effect on the connections that are there, which keep their state.

import assert from "node:assert/strict";
import { test } from "node:test";
import { onEachTransport } from "./client.js";
import { serve } from "./server.js";

const main = `
fn on_connection(socket) {
    let count = 0;
    let name = "nobody";
    socket.emit("welcome", "version one");
    socket.on("add", |by| { count += by; });
    socket.on("call me", |new_name| { name = new_name; });
    socket.on("say", |text| \`one: \${text}, \${name} at \${count}\`);
    socket.on("old", |x| { socket.emit("old", x); });
}
`;

const secondText = (text) => text.replace("one: ", "two: ");
const withoutOld = (text) => text.replace(/ *socket\.on\("old".*\n/, "");
const withNew = (text) => text.replace(/( *)socket\.on\("old"/, '$1socket.on("new", |x| { socket.emit("new", x, count); });\n$&');
const unclosed = (text) => text.replace('|by| { count += by; }', "|by| { count += by; ");

onEachTransport("live editing", ({ connect, open }) => {
  /** Two clients that were welcomed, and whose state differs from what they started with. */
  async function two(t, server, namespace) {
    const clients = [];
    for (const count of [3, 40]) {
      const client = await connect(t, server.url, namespace);
      assert.deepEqual(await client.next("welcome"), ["version one"]);
      client.emit("add", count);
      client.emit("call me", `client ${count}`);
      assert.deepEqual(await client.ask("say", "hi"), [`one: hi, client ${count} at ${count}`]);
      client.sid = client.socket.id;
      clients.push(client);
    }
    return clients;
  }

  /** The connections are the ones that were there before, and heard nothing of the edit. */
  function untouched(clients) {
    for (const client of clients) {
      assert.ok(client.socket.connected);
      assert.equal(client.socket.id, client.sid);
      assert.deepEqual(client.untaken, []);
    }
  }

  for (const how of ["in place", "rename"]) {
    test(`handlers answer the new way and state stays, saved by ${how}`, async (t) => {
      const server = await serve(t, { "main.rhai": main });
      const clients = await two(t, server);
      await server.reload("main.rhai", secondText, how);
      assert.deepEqual(await clients[0].ask("say", "hi"), ["two: hi, client 3 at 3"]);
      assert.deepEqual(await clients[1].ask("say", "hi"), ["two: hi, client 40 at 40"]);
      clients[0].emit("add", 1);
      assert.deepEqual(await clients[0].ask("say", "hi"), ["two: hi, client 3 at 4"]);
      untouched(clients);

      await server.reload("main.rhai", (text) => text.replace("two: ", "three: "), how);
      assert.deepEqual(await clients[0].ask("say", "hi"), ["three: hi, client 3 at 4"]);
      untouched(clients);
    });
  }

  test("a new handler appears, and sees the state of the old ones", async (t) => {
    const server = await serve(t, { "main.rhai": main });
    const clients = await two(t, server);
    for (const client of clients) client.emit("new", "too early");
    await server.reload("main.rhai", withNew);
    clients[0].emit("new", 1);
    assert.deepEqual(await clients[0].next("new"), [1, 3]);
    clients[1].emit("new", 2);
    assert.deepEqual(await clients[1].next("new"), [2, 40]);
    untouched(clients);
  });

  test("a removed handler is gone", async (t) => {
    const server = await serve(t, { "main.rhai": main });
    const clients = await two(t, server);
    clients[0].emit("old", 1);
    assert.deepEqual(await clients[0].next("old"), [1]);
    await server.reload("main.rhai", withoutOld);
    for (const client of clients) {
      client.emit("old", 2);
      await client.ask("say", "done");
    }
    untouched(clients);
  });

  test("who connects after the edit gets the new script", async (t) => {
    const server = await serve(t, { "main.rhai": main });
    await server.reload("main.rhai", (text) => text.replace("version one", "version two"));
    assert.deepEqual(await (await connect(t, server.url)).next("welcome"), ["version two"]);
  });

  test("a broken save changes nothing and is reported with its place; the repair works", async (t) => {
    const server = await serve(t, { "main.rhai": main });
    const clients = await two(t, server);
    const from = server.output.length;
    await server.edit("main.rhai", (text) => unclosed(secondText(text)));
    await server.printed(/main\.rhai:\d+:\d+/, from);
    assert.deepEqual(await clients[0].ask("say", "hi"), ["one: hi, client 3 at 3"]);
    const late = await connect(t, server.url);
    assert.deepEqual(await late.next("welcome"), ["version one"]);
    assert.deepEqual(await late.ask("say", "hi"), ["one: hi, nobody at 0"]);

    await server.reload("main.rhai", () => secondText(main));
    assert.deepEqual(await clients[0].ask("say", "hi"), ["two: hi, client 3 at 3"]);
    assert.deepEqual(await late.ask("say", "hi"), ["two: hi, nobody at 0"]);
    untouched(clients);
  });

  test("an edit of one script leaves the others alone", async (t) => {
    const server = await serve(t, { "main.rhai": main, "other.rhai": main });
    const [edited] = await two(t, server);
    const others = await two(t, server, "/other");
    await server.reload("main.rhai", secondText);
    assert.deepEqual(await edited.ask("say", "hi"), ["two: hi, client 3 at 3"]);
    assert.deepEqual(await others[0].ask("say", "hi"), ["one: hi, client 3 at 3"]);
    untouched([edited, ...others]);
  });

  test("an edit of an imported file takes effect", async (t) => {
    const importing = `import "lib/words" as words;\n${main.replace("`one: ", "words::start() + `")}`;
    const server = await serve(t, { "main.rhai": importing, "lib/words.rhai": 'fn start() { "one: " }' });
    const clients = await two(t, server);
    const from = server.output.length;
    await server.edit("lib/words.rhai", () => 'fn start() { "two: " }');
    await server.printed(/main\.rhai: version 2/, from);
    assert.deepEqual(await clients[0].ask("say", "hi"), ["two: hi, client 3 at 3"]);
    untouched(clients);
  });

  test("a script that is broken at start refuses its clients, others serve, and a save repairs it", async (t) => {
    const server = await serve(t, { "main.rhai": main, "late.rhai": unclosed(main) });
    assert.match(server.output, /late\.rhai:\d+:\d+/);
    const clients = await two(t, server);
    const refused = open(t, server.url, "/late");
    assert.equal((await refused.next("connect_error"))[0].message, "script failed to load");
    const from = server.output.length;
    await server.edit("late.rhai", () => main);
    await server.printed(/late\.rhai: version \d+/, from);
    refused.socket.connect();
    await refused.next("connect");
    assert.deepEqual(await refused.ask("say", "hi"), ["one: hi, nobody at 0"]);
    untouched(clients);
  });

  test("a file that appears is served", async (t) => {
    const server = await serve(t, { "main.rhai": main });
    const early = open(t, server.url, "/late");
    assert.equal((await early.next("connect_error"))[0].message, "Invalid namespace");
    const from = server.output.length;
    await server.save("late.rhai", main);
    await server.printed(/late\.rhai: version \d+/, from);
    early.socket.connect();
    await early.next("connect");
    assert.deepEqual(await early.ask("say", "hi"), ["one: hi, nobody at 0"]);
  });

  test("events go on through an edit: none is lost, twice, or out of order", async (t) => {
    const server = await serve(t, { "main.rhai": main });
    const [client] = await two(t, server);
    let reloading = true;
    const reloads = (async () => {
      for (let n = 0; n < 5; n++) await server.reload("main.rhai", (text) => text.replace(/`\w+: /, `\`v${n}: `));
      reloading = false;
    })();
    let sent = 3;
    while (reloading) {
      client.emit("add", 1);
      sent += 1;
      assert.match((await client.ask("say", "hi"))[0], new RegExp(`: hi, client 3 at ${sent}$`));
    }
    await reloads;
    assert.deepEqual(await client.ask("say", "hi"), [`v4: hi, client 3 at ${sent}`]);
    untouched([client]);
  });
});
