// What is sent while a client goes from polling to a WebSocket: all of it comes, once, and in order.

import assert from "node:assert/strict";
import { test } from "node:test";
import { onEachTransport } from "./client.js";
import { here, serve } from "./server.js";

onEachTransport("while a transport takes over", ({ open }) => {
  test("nothing is lost, doubled or overtaken, in whatever way it is sent", async (t) => {
    const server = await serve(t, here("scripts"));
    const one = async () => {
      const client = open(t, server.url, "/upgrading");
      const beside = client.beside("/rooms");
      const numbers = [];
      let asked = 0;
      client.socket.on("n", (n, ...rest) => {
        numbers.push(n);
        if (typeof rest.at(-1) === "function") rest.at(-1)("heard");
        if (n % 50 === 0) client.ask("ask", n).then(([answer]) => { assert.equal(answer, n); asked++; });
      });
      const [count] = await client.next("end");
      await beside.ask("done");
      // Those that it asked for last come behind the end.
      const [answers] = await client.ask("answered");
      assert.deepEqual(numbers.slice(0, count), Array.from({ length: count }, (_, n) => n));
      assert.ok(asked >= 20, `${asked} were answered`);
      assert.ok(answers >= 200, `${answers} answers came`);
    };
    await Promise.all(Array.from({ length: 20 }, one));
  });
});
