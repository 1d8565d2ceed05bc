// Data: what a connection keeps, and what the connections of a namespace share, written at any depth.

import assert from "node:assert/strict";
import { test } from "node:test";
import { onEachTransport } from "./client.js";
import { here, serve } from "./server.js";

onEachTransport("data", ({ connect }) => {
  async function people(t, count) {
    const server = await serve(t, here("scripts"));
    const all = [];
    for (let n = 0; n < count; n++) all.push(await connect(t, server.url, "/data"));
    return all;
  }

  test("`socket.data` is written at any depth, each connection its own", async (t) => {
    const [ada, bob] = await people(t, 2);
    await ada.ask("rename", "Ada");
    for (const tag of ["red", "blue"]) await ada.ask("tag", tag);
    for (let n = 0; n < 3; n++) await ada.ask("login");
    assert.deepEqual(await ada.ask("profile"), [{ name: "Ada", tags: ["red", "blue"], counts: { logins: 3 } }]);
    assert.deepEqual(await bob.ask("profile"), [{ name: "nobody", tags: [], counts: { logins: 0 } }]);
    assert.deepEqual((await ada.ask("own keys"))[0].sort(), ["last login", "profile"]);
  });

  test("`socket.data` of another can be read", async (t) => {
    const [ada, bob] = await people(t, 2);
    await ada.ask("rename", "Ada");
    assert.deepEqual(await bob.ask("data of", ada.socket.id), ["Ada"]);
  });

  test("`socket.data` goes out as a map", async (t) => {
    const [ada] = await people(t, 1);
    await ada.ask("send own data");
    assert.deepEqual(await ada.next("data"), [{ profile: { name: "nobody", tags: [], counts: { logins: 0 } } }]);
  });

  test("`io.data` is shared", async (t) => {
    const [ada, bob] = await people(t, 2);
    const value = { list: [1, { deep: null }], picture: Buffer.from([1, 2]) };
    await ada.ask("share", "key", value);
    assert.deepEqual(await bob.ask("shared", "key"), [value]);
    assert.deepEqual(await bob.ask("has", "key"), [true]);
    await bob.ask("remove", "key");
    assert.deepEqual(await ada.ask("has", "key"), [false]);
    assert.deepEqual(await ada.ask("shared", "key"), []);
    assert.deepEqual(await ada.ask("shared or", "key", "instead"), ["instead"]);
  });

  test("`io.data` is written inside its values", async (t) => {
    const [ada, bob] = await people(t, 2);
    await ada.ask("share", "users", {});
    await ada.ask("share in", "users", "one", "Ada");
    await bob.ask("share in", "users", "two", "Bob");
    assert.deepEqual(await ada.ask("shared", "users"), [{ one: "Ada", two: "Bob" }]);
  });

  test("a value that was read is a copy", async (t) => {
    const [ada] = await people(t, 1);
    await ada.ask("share", "list", ["one"]);
    assert.deepEqual(await ada.ask("copy"), [1]);
  });

  test("no count is lost, however many count at once", async (t) => {
    const all = await people(t, 4);
    for (let n = 0; n < 50; n++) for (const client of all) client.emit("count", "visits", 1);
    for (const client of all) await client.ask("done");
    assert.deepEqual(await all[0].ask("count", "visits", 0), [200]);
    assert.deepEqual(await all[0].ask("double", "visits"), [400]);
    assert.deepEqual(await all[1].ask("double", "begun"), [2]);
  });

  test("no line is lost, and only the last ones are kept", async (t) => {
    const all = await people(t, 3);
    for (let n = 0; n < 10; n++) for (const client of all) client.emit("remember", "lines", n, 100);
    for (const client of all) await client.ask("done");
    assert.equal((await all[0].ask("shared", "lines"))[0].length, 30);
    await all[0].ask("remember", "lines", "last", 5);
    const [lines] = await all[0].ask("shared", "lines");
    assert.equal(lines.length, 5);
    assert.equal(lines.at(-1), "last");
  });

  test("`init` writes what is not there", async (t) => {
    const [ada] = await people(t, 1);
    assert.deepEqual(await ada.ask("init", "key", 1), [1]);
    assert.deepEqual(await ada.ask("init", "key", 2), [1]);
  });
});
