// The shipped chat, as people meet it: on `/chat` and on `/`.

import assert from "node:assert/strict";
import { test } from "node:test";
import { onEachTransport } from "./client.js";
import { serve, shippedScripts } from "./server.js";

for (const namespace of ["/chat", "/"]) {
  onEachTransport(`chat on ${namespace}`, ({ connect }) => {
    /** Starts a server with so many people on it, each of whom has seen the others come. */
    async function people(t, count) {
      const server = await serve(t, shippedScripts);
      const all = [];
      for (let n = 0; n < count; n++) all.push(await enter(t, server, all));
      return all;
    }

    async function enter(t, server, others) {
      const person = await connect(t, server.url, namespace);
      await person.next("welcome");
      const [users] = await person.next("users");
      person.name = users.find((name) => others.every((other) => other.name !== name));
      for (const other of others) {
        await other.next("joined");
        await other.next("users");
      }
      return person;
    }

    test("who connects is welcomed, and everyone hears who is there", async (t) => {
      const server = await serve(t, shippedScripts);
      const ada = await connect(t, server.url, namespace);
      assert.deepEqual(await ada.next("welcome"), ["Hello! Welcome to the server."]);
      const [[adas]] = await ada.next("users");
      assert.match(adas, /^guest-[\w-]{4}$/);

      const bob = await connect(t, server.url, namespace);
      assert.deepEqual(await bob.next("welcome"), ["Hello! Welcome to the server."]);
      const [bobSees] = await bob.next("users");
      const [adaSees] = await ada.next("users");
      const bobs = bobSees.find((name) => name !== adas);
      assert.match(bobs, /^guest-[\w-]{4}$/);
      assert.deepEqual(bobSees.sort(), [adas, bobs].sort());
      assert.deepEqual(adaSees.sort(), [adas, bobs].sort());
      assert.deepEqual(await ada.next("joined"), [bobs]);
      assert.ok(!bob.untaken.includes("joined"), "nobody is told of his own coming");
    });

    test("a message reaches everyone, the sender included, as it was sent", async (t) => {
      const all = await people(t, 3);
      for (const text of ["hello", "", "ünï 🎉 <b>\u2028"]) {
        all[1].emit("chat message", text);
        for (const person of all) {
          assert.deepEqual(await person.next("chat message"), [text, { from: all[1].name, id: all[1].socket.id }]);
        }
      }
    });

    test("messages of one person arrive in the order in which they were sent", async (t) => {
      const [ada, bob] = await people(t, 2);
      for (let n = 0; n < 100; n++) ada.emit("chat message", `message ${n}`);
      for (let n = 0; n < 100; n++) assert.equal((await bob.next("chat message"))[0], `message ${n}`);
    });

    test("a new name is acked, and everyone hears of it", async (t) => {
      const [ada, bob] = await people(t, 2);
      assert.deepEqual(await ada.ask("set name", "Ada"), [{ ok: true, name: "Ada" }]);
      for (const person of [ada, bob]) {
        assert.deepEqual(await person.next("renamed"), [ada.name, "Ada"]);
        assert.deepEqual((await person.next("users"))[0].sort(), ["Ada", bob.name].sort());
      }
      ada.emit("chat message", "it is me");
      assert.deepEqual(await bob.next("chat message"), ["it is me", { from: "Ada", id: ada.socket.id }]);
    });

    test("a name that is empty, too long or taken is refused, and nothing changes", async (t) => {
      const [ada, bob] = await people(t, 2);
      assert.equal((await bob.ask("set name", "Bob"))[0].ok, true);
      await ada.next("renamed");
      for (const name of ["", "x".repeat(31), "Bob"]) {
        const [answer] = await ada.ask("set name", name);
        assert.equal(answer.ok, false, `\`${name}\` must be refused`);
        assert.equal(typeof answer.error, "string");
      }
      assert.ok(!ada.untaken.includes("renamed"));
      ada.emit("chat message", "still the guest");
      assert.equal((await bob.next("chat message"))[1].from, ada.name);
      assert.deepEqual(await ada.ask("set name", "x".repeat(30)), [{ ok: true, name: "x".repeat(30) }]);
    });

    test("a name is free again when its owner has left", async (t) => {
      const [ada, bob] = await people(t, 2);
      await bob.ask("set name", "Bob");
      await bob.leave();
      assert.deepEqual(await ada.next("left"), ["Bob"]);
      assert.equal((await ada.ask("set name", "Bob"))[0].ok, true);
    });

    test("the others hear when someone leaves", async (t) => {
      const [ada, bob, eve] = await people(t, 3);
      await bob.leave();
      for (const person of [ada, eve]) {
        assert.deepEqual(await person.next("left"), [bob.name]);
        assert.deepEqual((await person.next("users"))[0].sort(), [ada.name, eve.name].sort());
      }
    });

    test("the others hear when a connection is cut", async (t) => {
      const [ada, bob] = await people(t, 2);
      bob.manager.engine.close();
      assert.deepEqual(await ada.next("left"), [bob.name]);
      assert.deepEqual(await ada.next("users"), [[ada.name]]);
    });
  });
}
