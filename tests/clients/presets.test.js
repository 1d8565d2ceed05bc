// The shipped scripts that teach one thing each, as their comments describe them. The chat and the echo have files of
// their own.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { describe, test } from "node:test";
import { onEachTransport } from "./client.js";
import { serve, shippedScripts } from "./server.js";

onEachTransport("presets", ({ connect, open }) => {
  async function people(t, namespace, count) {
    const server = await serve(t, shippedScripts);
    const all = [];
    for (let n = 0; n < count; n++) all.push(await connect(t, server.url, namespace));
    return Object.assign(all, { server });
  }

  /** Takes events of this name until one is as wanted; those before it tell of who came earlier. */
  async function until(client, event, wanted) {
    for (;;) {
      const args = await client.next(event);
      if (wanted(...args)) return args;
    }
  }

  describe("private", () => {
    test("everyone sees who is here, by name", async (t) => {
      const [ada, bob] = await people(t, "/private", 2);
      await bob.ask("set name", "Bob");
      const [users] = await until(ada, "users", (users) => users.some(({ name }) => name === "Bob"));
      assert.deepEqual(users.map(({ id }) => id).sort(), [ada.socket.id, bob.socket.id].sort());
      assert.match(users.find(({ id }) => id === ada.socket.id).name, /^guest-[\w-]{4}$/);
      await bob.leave();
      await until(ada, "users", (users) => users.length === 1 && users[0].id === ada.socket.id);
    });

    test("a message reaches one person", async (t) => {
      const [ada, bob, eve] = await people(t, "/private", 3);
      await ada.ask("set name", "Ada");
      assert.deepEqual(await ada.ask("private message", bob.socket.id, "psst"), ["sent"]);
      assert.deepEqual(await bob.next("private message"), ["psst", { id: ada.socket.id, name: "Ada" }]);
      await eve.ask("set name", "Eve");
      assert.ok(!eve.untaken.includes("private message"));
    });

    test("who writes to someone who left is told", async (t) => {
      const [ada, bob] = await people(t, "/private", 2);
      const { id } = bob.socket;
      await until(ada, "users", (users) => users.length === 2);
      await bob.leave();
      await until(ada, "users", (users) => users.length === 1);
      assert.deepEqual(await ada.ask("private message", id, "psst"), ["this person has left"]);
    });
  });

  describe("rooms", () => {
    test("who is in a room hears who comes, and what is said", async (t) => {
      const [ada, bob, eve] = await people(t, "/rooms", 3);
      await ada.ask("join", "red");
      assert.equal((await ada.next("who is here"))[1].length, 1);
      await bob.ask("join", "red");
      const [room, name] = await ada.next("joined");
      assert.equal(room, "red");
      for (const client of [ada, bob]) {
        const [, names] = await client.next("who is here");
        assert.equal(names.length, 2);
        assert.ok(names.includes(name));
      }
      assert.deepEqual(await bob.ask("say", "red", "hello"), ["said"]);
      for (const client of [ada, bob]) assert.deepEqual(await client.next("said"), ["red", "hello", name]);
      assert.deepEqual(await eve.ask("say", "red", "me too"), ["join the room first"]);
      await ada.ask("join", "blue");
      assert.ok(![...ada.untaken, ...bob.untaken, ...eve.untaken].includes("said"));
    });

    for (const how of ["leaves the room", "leaves", "is cut off"]) {
      test(`the others hear when someone ${how}`, async (t) => {
        const [ada, bob] = await people(t, "/rooms", 2);
        for (const client of [ada, bob]) await client.ask("join", "red");
        const [, name] = await ada.next("joined");
        if (how === "leaves the room") await bob.ask("leave", "red");
        else if (how === "leaves") await bob.leave();
        else bob.manager.engine.close();
        assert.deepEqual(await ada.next("left"), ["red", name]);
        const [, names] = await until(ada, "who is here", (room, names) => names.length === 1 && !names.includes(name));
        assert.match(names[0], /^guest-/);
        if (how === "leaves the room") assert.deepEqual(await bob.ask("say", "red", "x"), ["join the room first"]);
      });
    }
  });

  describe("auth", () => {
    const secret = "a secret of the tests";
    const serveAuth = (t) => serve(t, shippedScripts, ["--allow-env", `JWT_SECRET=${secret}`]);
    const token = (claims) => {
      const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
      const exp = Math.floor(Date.now() / 1000) + 60;
      const text = `${part({ alg: "HS256", typ: "JWT" })}.${part({ exp, ...claims })}`;
      return `${text}.${createHmac("sha256", secret).update(text).digest("base64url")}`;
    };

    test("without a token, or with a wrong one, nobody comes in", async (t) => {
      const server = await serveAuth(t);
      for (const [auth, message] of [
        [undefined, "a token is needed"],
        [{ token: [1] }, "a token is needed"],
        [{ token: "guessed" }, "the token is malformed"],
      ]) {
        const client = open(t, server.url, "/auth", { auth });
        assert.equal((await client.next("connect_error"))[0].message, message);
      }
    });

    test("a token says who someone is, and what is allowed", async (t) => {
      const server = await serveAuth(t);
      const ada = await connect(t, server.url, "/auth", { auth: { token: token({ sub: "1", name: "Ada", role: "admin" }) } });
      const bob = await connect(t, server.url, "/auth", { auth: { token: token({ sub: "2", name: "Bob", role: "guest" }) } });
      assert.deepEqual(await ada.next("welcome"), ["Hello Ada!"]);
      const [{ exp, ...bobs }] = await bob.ask("who am i");
      assert.deepEqual(bobs, { sub: "2", name: "Bob", role: "guest" });
      assert.deepEqual(await bob.ask("announce", "free beer"), ["only for admins"]);
      assert.deepEqual(await ada.ask("announce", "closing time"), ["announced"]);
      assert.deepEqual(await bob.next("announcement"), ["closing time", "Ada"]);
      assert.ok(!bob.untaken.includes("announcement"));
    });

    test("a token that is no text is refused as well", async (t) => {
      const server = await serveAuth(t);
      for (const token of [1, {}, ["open sesame"], ""]) {
        const client = open(t, server.url, "/auth", { auth: { token } });
        await client.next("connect_error");
        assert.equal(client.socket.connected, false);
      }
    });
  });

  describe("whiteboard", () => {
    const line = (n) => ({ from: [n, n + 0.5], to: [n + 1, n], colour: "#b4441f" });

    test("the others see each line, in order, and who comes later sees all", async (t) => {
      const all = await people(t, "/whiteboard", 2);
      const { server } = all;
      const [ada, bob] = all;
      assert.deepEqual(await ada.next("picture"), [[]]);
      const lines = [0, 1, 2, 3].map(line);
      for (const drawn of lines) bob.emit("line", drawn);
      for (const drawn of lines) assert.deepEqual(await ada.next("line"), [drawn]);
      const late = await connect(t, server.url, "/whiteboard");
      assert.deepEqual(await late.next("picture"), [lines]);
      assert.ok(!bob.untaken.includes("line"), "who draws needs no echo");
    });

    test("a visitor cannot keep others from drawing", async (t) => {
      const all = await people(t, "/whiteboard", 1);
      const [eve] = all;
      const colour = "x".repeat(900_000);
      for (let n = 0; n < 20; n++) assert.deepEqual(await eve.ask("line", { ...line(n), colour }), ["this is no line"]);
      for (const wrong of [null, 1, "line", [], {}, { ...line(1), to: [1] }, { ...line(1), from: [0, 1e9] }]) {
        assert.deepEqual(await eve.ask("line", wrong), ["this is no line"]);
      }
      await eve.leave();
      const ada = await connect(t, all.server.url, "/whiteboard");
      const bob = await connect(t, all.server.url, "/whiteboard");
      assert.deepEqual(await ada.next("picture"), [[]]);
      assert.deepEqual(await ada.ask("line", { ...line(1), more: colour }), ["drawn"]);
      assert.deepEqual(await bob.next("line"), [line(1)]);
      await bob.ask("clear");
      assert.deepEqual(await ada.next("picture"), [[]]);
    });

    test("its page is served", async (t) => {
      const server = await serve(t, shippedScripts);
      const page = await fetch(new URL("/whiteboard", server.url));
      assert.equal(page.status, 200);
      const [, script] = (await page.text()).match(/<script type="module" src="([^"]+)">/);
      const code = await fetch(new URL(script, page.url));
      assert.equal(code.status, 200);
      assert.match(await code.text(), /connect\("\/whiteboard"\)/);
    });

    test("clearing clears it for everyone", async (t) => {
      const [ada, bob] = await people(t, "/whiteboard", 2);
      for (const client of [ada, bob]) await client.next("picture");
      await ada.ask("line", line(1));
      await ada.ask("clear");
      for (const client of [ada, bob]) assert.deepEqual(await client.next("picture"), [[]]);
    });

    test("a pointer is seen by the others, until it is gone", async (t) => {
      const [ada, bob] = await people(t, "/whiteboard", 2);
      const { id } = ada.socket;
      let seen = 0;
      while (!bob.untaken.includes("pointer")) {
        await ada.ask("pointer", 0.25, ++seen);
        await bob.ask("pointer", 0, 0);
      }
      const [from, x] = await bob.next("pointer");
      assert.deepEqual([from, x], [id, 0.25]);
      await ada.leave();
      assert.deepEqual(await bob.next("gone"), [id]);
    });
  });
});
