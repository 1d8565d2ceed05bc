// The end of the program: scripts hear of it, clients too, and the exit code is 0.

import assert from "node:assert/strict";
import { test } from "node:test";
import { onEachTransport } from "./client.js";
import { here, serve } from "./server.js";

onEachTransport("shutdown", ({ connect }) => {
  for (const signal of ["SIGTERM", "SIGINT"]) {
    test(`${signal} is heard by scripts and clients, and ends the program with 0`, async (t) => {
      const server = await serve(t, here("scripts"));
      const clients = [await connect(t, server.url, "/leaving"), await connect(t, server.url, "/leaving")];
      for (const client of clients) await client.ask("ready");
      const end = await server.stop(signal);
      assert.deepEqual(end, { code: 0, signal: null });
      assert.equal(server.output.match(/left: server shutting down/g)?.length, 2, server.output);
      for (const client of clients) await client.next("disconnect");
    });
  }

  test("a socket does not hear its own farewell", async (t) => {
    const server = await serve(t, here("scripts"));
    const clients = [];
    for (let i = 0; i < 3; i += 1) {
      const client = await connect(t, server.url, "/farewell");
      const heard = [];
      client.socket.onAny((event, ...args) => heard.push([event, ...args]));
      clients.push({ id: client.socket.id, heard, client });
    }
    for (const { client } of clients) await client.ask("join", "red");
    await server.stop("SIGTERM");
    for (const { id, heard, client } of clients) {
      await client.next("disconnect");
      // `leaving` has the rooms of the socket that leaves, the first of which is its own.
      const own = heard.filter(([event, ...args]) => (event === "leaving" ? args[1][0] === id : event === "farewell" && args[0] === id));
      assert.deepEqual(own, []);
    }
  });

  test("nobody has to be connected", async (t) => {
    const server = await serve(t, here("scripts"));
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
  });
});
