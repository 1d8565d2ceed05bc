// What the shipped scripts keep in a file: the program is killed, and serves again with the same file and port.

import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { onEachTransport } from "./client.js";
import { serve, shippedScripts, temporaryFolder } from "./server.js";

const ADA = { auth: { user: "a secret of Ada's browser" } };
const BOB = { auth: { user: "a secret of Bob's browser" } };
/** A client that comes back by itself. */
const RETURNS = { reconnection: true, reconnectionDelay: 20, reconnectionDelayMax: 100, randomizationFactor: 0 };
/** A namespace whose clients learn when all that was written before is in the file, also by other namespaces. */
const SAVED = `
fn on_connection(socket) {
    socket.on("saved", |ack| { io.data.flush(|err| ack.call(err == ())); });
}`;

onEachTransport("presets with stored data", ({ connect }) => {
  /** Starts the program. `crash()` kills it when its data is in the file, and starts it again. */
  async function begin(t, args = []) {
    const scripts = await temporaryFolder(shippedScripts);
    const files = await temporaryFolder({ "scripts/saved.rhai": SAVED });
    t.after(() => Promise.all([scripts, files].map((folder) => rm(folder, { recursive: true, force: true }))));
    const kept = ["--data", join(files, "state.redb"), "--recovery", "2m", ...args];
    const server = await serve(t, scripts, kept);
    await server.save("saved.rhai", SAVED);
    await server.printed(/saved\.rhai: version 1 serves/);
    const crash = async () => {
      const client = await connect(t, server.url, "/saved");
      assert.deepEqual(await client.ask("saved"), [true]);
      await server.stop("SIGKILL");
      return serve(t, scripts, [...kept, "--port", new URL(server.url).port]);
    };
    return Object.assign(server, { crash });
  }

  /** Breaks the connection of a client, which comes back and is recovered. */
  async function breakOff(client, meanwhile) {
    client.manager.engine.close();
    await client.next("disconnect");
    await meanwhile?.();
    client.socket.connect();
    await client.next("connect");
    assert.equal(client.socket.recovered, true);
  }

  /** Restarts the program in place, and waits until these clients are back. */
  async function restart(server, ...clients) {
    server.signal("SIGUSR2");
    for (const client of clients) {
      await client.next("disconnect");
      await client.next("connect");
    }
  }

  /** Takes events of this name until one is as wanted. With `--recovery`, an offset follows the arguments. */
  async function until(client, event, wanted) {
    for (;;) {
      const args = await client.next(event);
      if (wanted(...args)) return args;
    }
  }

  const users = (client, ...names) => until(client, "users", (all) => String([...all].sort()) === String(names));
  const history = async (client) => (await client.next("history"))[0].map(({ text, from }) => [from, text]);

  /** Sends an event whose answer must come, and tells what came. */
  const ask = async (client, ...args) => (await client.ask(...args))[0];

  describe("chat", () => {
    /** A person with a name. */
    async function person(t, server, name, settings) {
      const client = await connect(t, server.url, "/chat", settings);
      assert.deepEqual(await ask(client, "set name", name), { ok: true, name });
      return client;
    }

    test("after a crash, messages and names are there, and nobody is online who is gone", async (t) => {
      const server = await begin(t);
      const ada = await person(t, server, "Ada", { ...ADA, ...RETURNS });
      const bob = await person(t, server, "Bob", BOB);
      await person(t, server, "Eve");
      for (const [client, text] of [[ada, "hi"], [bob, "hi, Ada"], [ada, "how are you?"]]) {
        assert.deepEqual(await ask(client, "chat message", text), { ok: true });
      }
      const said = [["Ada", "hi"], ["Bob", "hi, Ada"], ["Ada", "how are you?"]];
      assert.deepEqual(await history(ada), []);
      await users(ada, "Ada", "Bob", "Eve");

      const { url } = await server.crash();
      await ada.next("disconnect");
      await until(ada, "connect", () => ada.socket.connected);
      assert.deepEqual(await history(ada), said);
      await users(ada, "Ada");

      const back = await connect(t, url, "/chat", BOB);
      assert.deepEqual(await history(back), said);
      await users(back, "Ada", "Bob");
      assert.equal((await until(ada, "joined", (name) => name === "Bob"))[0], "Bob");
      await ask(back, "chat message", "back again");
      const [, about] = await until(ada, "chat message", (text) => text === "back again");
      assert.deepEqual(about, { from: "Bob", id: back.socket.id });

      // Eve had no secret. She is not online, so her name is free, also for herself.
      const eve = await connect(t, url, "/chat");
      assert.equal((await ask(eve, "set name", "Ada")).ok, false);
      assert.deepEqual(await ask(eve, "set name", "Eve"), { ok: true, name: "Eve" });
    });

    test("nobody in a chat notices a restart", async (t) => {
      const server = await begin(t);
      const ada = await person(t, server, "Ada", RETURNS);
      const bob = await person(t, server, "Bob", RETURNS);
      await users(ada, "Ada", "Bob");
      await ask(ada, "chat message", "before");
      await until(bob, "chat message", (text) => text === "before");
      const before = ada.untaken.length;
      await restart(server, ada, bob);
      await ask(bob, "chat message", "after");
      const [, { from }] = await until(ada, "chat message", (text) => text === "after");
      assert.equal(from, "Bob");
      const heard = new Set(ada.untaken.slice(before));
      for (const event of ["left", "joined", "welcome", "history"]) assert.ok(!heard.has(event), event);
    });

    test("a client that recovers has the same name, and hears what it has missed", async (t) => {
      const server = await begin(t, ["--presence-grace", "0s"]);
      const ada = await person(t, server, "Ada");
      const bob = await person(t, server, "Bob");
      const before = ada.socket.id;
      await breakOff(ada, async () => {
        await until(bob, "left", (name) => name === "Ada");
        await users(bob, "Bob");
        await ask(bob, "chat message", "are you there?");
      });
      await until(ada, "chat message", (text) => text === "are you there?");
      await until(bob, "joined", (name) => name === "Ada");
      await users(bob, "Ada", "Bob");
      await ask(ada, "chat message", "yes");
      const [, about] = await until(bob, "chat message", (text) => text === "yes");
      assert.deepEqual(about, { from: "Ada", id: before });
      assert.equal(ada.untaken.filter((event) => event === "history").length, 1);
    });

    test("a client that comes back in time was never away", async (t) => {
      const server = await begin(t, ["--presence-grace", "1h"]);
      const bob = await person(t, server, "Bob");
      const ada = await person(t, server, "Ada", ADA);
      await users(bob, "Ada", "Bob");
      await breakOff(ada);
      // A page that is loaded again is another socket of the same user.
      ada.manager.engine.close();
      await ada.next("disconnect");
      const again = await connect(t, server.url, "/chat", ADA);
      await users(again, "Ada", "Bob");
      await again.leave();
      await until(bob, "left", (name) => name === "Ada");
      assert.ok(!bob.untaken.includes("left"));
      assert.equal(bob.untaken.filter((event) => event === "joined").length, 1);
    });

    test("two tabs are one user, until the last one is closed", async (t) => {
      const server = await begin(t);
      const bob = await person(t, server, "Bob");
      const ada = await person(t, server, "Ada", ADA);
      const tab = await connect(t, server.url, "/chat", ADA);
      await users(tab, "Ada", "Bob");
      await ada.leave();
      await ask(tab, "chat message", "still here");
      const [, { from }] = await until(bob, "chat message", (text) => text === "still here");
      assert.equal(from, "Ada");
      assert.ok(!bob.untaken.includes("left"));
      await tab.leave();
      await until(bob, "left", (name) => name === "Ada");
      await users(bob, "Bob");
    });

    test("what a client must not send is neither kept nor sent on", async (t) => {
      const server = await begin(t);
      const ada = await person(t, server, "Ada", ADA);
      const eve = await connect(t, server.url, "/chat", { auth: { user: { $gt: "" } } });
      const wrongs = [null, 1, true, [], {}, ["text"], "x".repeat(900_000), Buffer.alloc(9)];
      for (const wrong of wrongs) {
        for (const event of ["chat message", "set name"]) {
          assert.equal((await ask(eve, event, wrong)).ok, false, `${event} ${String(wrong).slice(0, 20)}`);
          eve.emit(event, wrong);
        }
      }
      // Without arguments, without a callback, and with too many arguments.
      for (const event of ["chat message", "set name"]) {
        assert.equal((await ask(eve, event)).ok, false);
        eve.emit(event);
        eve.emit(event, null, {}, []);
      }
      assert.equal((await ask(eve, "set name", "Ada")).ok, false);
      assert.deepEqual(await ask(eve, "chat message", "text", "more"), { ok: true });
      const [text, { from }] = await ada.next("chat message");
      assert.equal(text, "text");
      assert.match(from, /^guest-/);
      const { url } = await server.crash();
      assert.deepEqual(await history(await connect(t, url, "/chat")), [[from, "text"]]);
    });
  });

  describe("whiteboard", () => {
    const line = (n) => ({ from: [n, n + 0.5], to: [n + 1, n], colour: "#b4441f" });

    test("after a crash, the drawing is there", async (t) => {
      const server = await begin(t);
      const ada = await connect(t, server.url, "/whiteboard", RETURNS);
      assert.deepEqual((await ada.next("picture"))[0], []);
      for (const n of [1, 2, 3]) await ada.ask("line", line(n));
      const { url } = await server.crash();
      const lines = [1, 2, 3].map(line);
      assert.deepEqual((await ada.next("picture"))[0], lines);
      await ada.ask("line", line(4));
      const late = await connect(t, url, "/whiteboard");
      assert.deepEqual((await late.next("picture"))[0], [...lines, line(4)]);
    });

    test("a client that recovers gets the lines that it has missed, and not the others again", async (t) => {
      const server = await begin(t);
      const ada = await connect(t, server.url, "/whiteboard");
      const bob = await connect(t, server.url, "/whiteboard");
      await ada.next("picture");
      await bob.ask("line", line(1));
      assert.deepEqual((await ada.next("line"))[0], line(1));
      await breakOff(ada, () => bob.ask("line", line(2)));
      assert.deepEqual((await ada.next("line"))[0], line(2));
      await ada.ask("line", line(3));
      assert.ok(!ada.untaken.includes("picture") && !ada.untaken.includes("line"));
    });
  });

  describe("game", () => {
    const solve = (sum) => sum.split(" + ").reduce((result, number) => result + Number(number), 0);

    /** A player at the table `red`. */
    async function player(t, server, name, settings) {
      const client = await connect(t, server.url, "/game", settings);
      const { score, sum } = await ask(client, "play", "red", name);
      assert.equal(score, 0);
      // Who sits down during a round learns its sum from the answer.
      return Object.assign(client, { sum });
    }

    /** The sum of the next round, or of the one that ran when the player sat down. */
    async function round(client) {
      const { sum } = client;
      client.sum = null;
      return sum ?? (await client.next("round"))[0];
    }

    /** Solves the sum of the running round. */
    async function win(client) {
      for (;;) {
        const sum = await round(client);
        const answer = await ask(client, "solve", solve(sum));
        if (answer === "right") return sum;
        assert.match(answer, /^(too late|wrong)$/, "the sum is of an earlier round");
      }
    }

    const scores = (client, ...wanted) => until(client, "scores", (all) => JSON.stringify(all) === JSON.stringify(wanted));
    const players = (client, ...names) => until(client, "players", (all) => String(all) === String(names));

    test("after a crash, the game goes on with the same scores, without those who are gone", async (t) => {
      const server = await begin(t);
      const ada = await player(t, server, "Ada", RETURNS);
      const bob = await player(t, server, "Bob");
      await players(ada, "Ada", "Bob");
      for (const winner of [ada, bob, ada]) {
        const sum = await win(winner);
        for (const client of [ada, bob]) assert.equal((await client.next("won"))[1], `${sum} = ${solve(sum)}`);
        await round(winner === ada ? bob : ada);
      }
      await scores(ada, ["Ada", 2], ["Bob", 1]);

      const { url } = await server.crash();
      await ada.next("disconnect");
      await scores(ada, ["Ada", 2], ["Bob", 1]);
      const { score, sum } = await ask(ada, "play", "red", "Ada");
      assert.equal(score, 2);
      await players(ada, "Ada");
      await win(Object.assign(ada, { sum }));
      await scores(ada, ["Ada", 3], ["Bob", 1]);

      const back = await connect(t, url, "/game");
      assert.equal((await ask(back, "play", "blue", "Bob")).score, 1);
      await players(ada, "Ada", "Bob");
    });

    test("a player does not notice a restart", async (t) => {
      const server = await begin(t);
      const [ada, bob] = [await player(t, server, "Ada", RETURNS), await player(t, server, "Bob", RETURNS)];
      await win(ada);
      await restart(server, ada, bob);
      // Without another `play`.
      await win(ada);
      await scores(bob, ["Ada", 2]);
      assert.equal(ada.socket.recovered, true);
    });

    test("of two who are right at the same time, one gets the point", async (t) => {
      const server = await begin(t);
      const all = [await player(t, server, "Ada"), await player(t, server, "Bob")];
      const sum = await round(all[0]);
      const answers = await Promise.all(all.map((client) => ask(client, "solve", solve(sum))));
      assert.deepEqual(answers.sort(), ["right", "too late"]);
    });

    test("a player who recovers goes on at the same table", async (t) => {
      const server = await begin(t, ["--presence-grace", "0s"]);
      const ada = await player(t, server, "Ada");
      const bob = await player(t, server, "Bob");
      await players(bob, "Ada", "Bob");
      await breakOff(ada, () => players(bob, "Bob"));
      await players(bob, "Ada", "Bob");
      await win(ada);
      await scores(bob, ["Ada", 1]);
    });

    test("what a client must not send wins nothing", async (t) => {
      const server = await begin(t);
      const eve = await connect(t, server.url, "/game");
      const wrongs = [null, 1, true, [], {}, ["red"], "x".repeat(900_000), Buffer.alloc(9)];
      for (const wrong of wrongs) {
        assert.equal(typeof (await ask(eve, "play", wrong, "Eve")).error, "string");
        assert.equal(typeof (await ask(eve, "play", "red", wrong)).error, "string");
        for (const event of ["play", "solve"]) eve.emit(event, wrong);
      }
      for (const event of ["play", "solve"]) {
        await eve.ask(event);
        eve.emit(event);
      }
      assert.equal((await ask(eve, "play", "red", "Eve", "more")).score, 0);
      await eve.next("round");
      for (const wrong of wrongs) assert.match(await ask(eve, "solve", wrong), /^(wrong|not so fast|too late)$/);
      const ada = await player(t, server, "Ada");
      await win(ada);
      await scores(eve, ["Ada", 1]);
    });
  });
});
