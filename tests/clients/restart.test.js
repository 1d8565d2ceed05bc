// A restart of the program with `--data` and `--recovery`: what clients and scripts notice of it, with the official
// client, which connects again by itself.

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { onEachTransport, onWebSocket } from "./client.js";
import { run } from "./restart-fleet.js";
import { DEADLINE_MS, serve } from "./server.js";

const MAIN = `
fn on_load() {
    let beats = 0;
    io.data.init("loads", 0);
    io.data.incr("loads", 1);
    set_interval(|| { beats += 1; io.data.beats = beats; }, 20);
    let signed_up = #{};
    set_timeout(|| { signed_up.never = 1; }, 9_000_000_000_000_000_000);
    set_interval(|| {
        for name in (io.data.remove("calls") ?? []) { signed_up[name]?.emit("news", "called"); }
        for one in (io.data.remove("sign ups") ?? []) { signed_up[one.name] = io.socket(one.id); io.data.signed = one.name; }
    }, 10);
}
fn nested(depth) {
    let value = depth;
    for n in 0..depth { value = [value]; }
    value
}
fn depth_of(value) {
    let depth = 0;
    while type_of(value) == "array" { value = value[0]; depth += 1; }
    depth
}
fn on_present(key, meta) { print(\`present \${key}\`); }
fn on_absent(key) { print(\`absent \${key}\`); }
fn on_connection(socket) {
    let score = 0;
    let words = [];
    let ticks = 0;
    let friend = ();
    let pattern = re("^w");
    print(\`connection \${socket.recovered}\`);
    socket.on("state", || #{
        recovered: socket.recovered, score: score, words: words, ticks: ticks,
        rooms: socket.rooms.to_array(), data: socket.data.to_map(),
        friend: if friend == () { () } else { friend.id },
    });
    socket.on("win", |word| { score += 1; words.push(word); });
    let deep = [];
    let nested_closure = ();
    socket.on("deep", || {
        socket.data.deep = nested(110);
        deep = nested(100);
        nested_closure = [|| 1, nested(110)];
        set_timeout(|| { score = 0; }, 9_000_000_000_000_000_000);
    });
    socket.on("depth", || [depth_of(socket.data.deep), depth_of(deep), depth_of(nested_closure[1])]);
    socket.on("sign up", |name| { io.data.push("sign ups", #{ name: name, id: socket.id }, 10); });
    socket.on("signed", || io.data.signed);
    socket.on("call", |name| { io.data.push("calls", name, 10); });
    socket.on("flood", || { for n in 0..10 { socket.emit("news", blob(1_500_000)); } print("flooded"); });
    socket.on("matches", |word| pattern.is_match(word));
    socket.on("friend", |id| { friend = io.socket(id); });
    socket.on("greet", || { friend.emit("news", \`from \${socket.id}\`); });
    socket.on("listen", |words_too| {
        let calls = 0;
        socket.on("late", || { calls += 1; [calls, score] });
        set_interval(|| { ticks += 1; }, 10);
        set_timeout(|| { socket.emit("news", "due"); }, 500);
    });
    socket.on("name", |name| { socket.data.name = name; socket.present(name, #{ name: name }); });
    socket.on("present", || io.present());
    socket.on("join", |room| { socket.join(room); });
    socket.on("all", |text| { io.emit("news", text); });
    socket.on("room", |room, text| { io.to(room).emit("news", text); });
    socket.on("loads", || [io.data.loads, io.data.beats]);
    socket.on("count", |n| { io.data.incr("total", n); io.data.total });
    socket.on("disconnect", |reason| { score = -1; });
}
fn on_disconnect(socket, reason) { print(\`gone: \${reason}\`); io.emit("news", \`\${socket.data.get("name", "")} left\`); }
`;
const FILES = { "main.rhai": MAIN, "other.rhai": MAIN, "room/{id}.rhai": MAIN };

/** Serves with a store of its own. */
async function serveStored(t, args = [], { recovery = "1m", files = FILES } = {}) {
  const folder = await mkdtemp(join(tmpdir(), "patchcord-store-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return serve(t, files, ["--data", join(folder, "state.redb"), "--recovery", recovery, ...args]);
}

const AGAIN = { reconnection: true, reconnectionDelay: 20, reconnectionDelayMax: 100 };

/** The texts of the next events `news`, without their offsets. */
async function news(client, count) {
  const texts = [];
  for (let n = 0; n < count; n += 1) texts.push((await client.next("news"))[0]);
  return texts;
}

/** Asks again until the answer is as wanted. */
async function until(ask, isWanted) {
  const end = Date.now() + DEADLINE_MS;
  for (;;) {
    const answer = await ask();
    if (isWanted(answer)) return answer;
    assert.ok(Date.now() < end, `still ${JSON.stringify(answer)}`);
  }
}

/** Restarts, and waits until the clients have come back. */
async function restart(server, clients, signal, meanwhile) {
  await server.restart(signal, meanwhile);
  for (const client of clients) {
    await client.next("disconnect");
    await client.next("connect");
  }
}

onEachTransport("restart", ({ connect, via }) => {
  for (const namespace of ["/", "/other", "/room/7"]) {
    test(`a client of ${namespace} continues where it was`, async (t) => {
      const server = await serveStored(t);
      const [ada, bob] = [await connect(t, server.url, namespace, AGAIN), await connect(t, server.url, namespace, AGAIN)];
      const { id } = ada.socket;
      ada.emit("win", "one");
      ada.emit("win", "two");
      ada.emit("join", "red");
      ada.emit("name", "Ada");
      ada.emit("friend", bob.socket.id);
      ada.emit("listen");
      assert.deepEqual(await ada.ask("late"), [[1, 2]]);
      const [[before]] = [await ada.ask("state")];
      await restart(server, [ada, bob]);
      assert.equal(ada.socket.id, id);
      assert.equal(ada.socket.recovered, true);
      const [state] = await ada.ask("state");
      assert.ok(state.ticks >= before.ticks, `${state.ticks}`);
      const wanted = {
        recovered: true, score: 2, words: ["one", "two"], rooms: [id, "red"], data: { name: "Ada" }, friend: bob.socket.id,
      };
      assert.deepEqual({ ...state, ticks: undefined }, { ...wanted, ticks: undefined });
      assert.deepEqual(await ada.ask("late"), [[2, 2]]);
      // A timer fires when it was due, and a variable that holds another socket still does.
      assert.deepEqual((await news(ada, 3)).sort(), [" left", "Ada left", "due"]);
      ada.emit("greet");
      assert.deepEqual((await news(bob, 3)).sort(), [" left", "Ada left", `from ${id}`]);
      assert.match(server.output, /gone: server shutting down/);
    });
  }

  test("nothing that clients send around a restart is lost or doubled", async (t) => {
    const server = await serveStored(t);
    const clients = [];
    for (let n = 0; n < 8; n += 1) clients.push(await connect(t, server.url, "/", { ...AGAIN, retries: 5, ackTimeout: 5000 }));
    let sent = 0;
    let stop = false;
    const talk = clients.map(async (client) => {
      while (!stop) {
        sent += 1;
        await new Promise((resolve, reject) => client.socket.emit("count", 1, (error) => (error ? reject(error) : resolve())));
      }
    });
    for (let n = 0; n < 3; n += 1) await restart(server, clients);
    stop = true;
    await Promise.all(talk);
    const [, total] = await clients[0].ask("count", 0);
    // Between two polls, nothing can tell a client that its event was received; it then sends the event again.
    if (via.includes("websocket")) assert.equal(total, sent);
    else assert.ok(total >= sent, `${total} of ${sent}`);
  });
});

describe("restart of the program", () => {
  const { connect } = onWebSocket;

  test("nobody notices that the program restarts in place", async (t) => {
    const { said, heard, wrong, ids, connects, failures } = await run(t, 60, 3);
    assert.deepEqual({ heard, wrong, ids, failures }, { heard: said, wrong: [], ids: 60, failures: [] });
    assert.ok(connects > 0);
  });

  test("events that were sent meanwhile arrive, in order", async (t) => {
    const server = await serveStored(t);
    const ada = await connect(t, server.url, "/", { reconnection: false });
    ada.emit("join", "red");
    await ada.ask("state");
    const bob = await connect(t, server.url, "/", AGAIN);
    ada.manager.engine.close();
    await server.printed(/gone: transport close/);
    bob.emit("room", "red", "one");
    bob.emit("room", "blue", "not for Ada");
    bob.emit("all", "two");
    await bob.ask("state");
    await restart(server, [bob]);
    bob.emit("all", "three");
    await bob.ask("state");
    ada.socket.connect();
    await ada.next("connect");
    const missed = await news(ada, 5);
    assert.deepEqual(missed.filter((text) => text !== " left"), ["one", "two", "three"]);
  });

  test("an edit that was made meanwhile takes effect, and keeps variables", async (t) => {
    const server = await serveStored(t);
    const ada = await connect(t, server.url, "/", AGAIN);
    ada.emit("win", "one");
    await ada.ask("state");
    await restart(server, [ada], "SIGTERM", () =>
      server.edit("main.rhai", (text) => text.replace("score += 1; words", "score += 10; words").replace("let ticks = 0", "let ticks = 7")),
    );
    ada.emit("win", "two");
    const [{ score, words, ticks }] = await ada.ask("state");
    assert.deepEqual({ score, words, ticks }, { score: 11, words: ["one", "two"], ticks: 7 });
  });

  test("`on_reload` after an edit that was made meanwhile has the values of the variables", async (t) => {
    const main = `
      fn on_reload(socket, before) { print(\`before \${before.vars.to_json()}\`); }
      fn on_connection(socket) {
          let pattern = [re("^w"), 1];
          let score = 0;
          socket.on("win", || { score += 1; if pattern[0].is_match("word") { score } else { -1 } });
      }`;
    const server = await serveStored(t, [], { files: { "main.rhai": main } });
    const ada = await connect(t, server.url, "/", AGAIN);
    assert.deepEqual(await ada.ask("win"), [1]);
    const from = server.output.length;
    await restart(server, [ada], "SIGTERM", () => server.edit("main.rhai", (text) => text.replace("score += 1", "score += 10")));
    const [, vars] = await server.printed(/before (.*)/, from);
    assert.deepEqual(JSON.parse(vars), { score: 1 });
    assert.deepEqual(await ada.ask("win"), [11]);
  });

  test("values that exist in one process only are created again", async (t) => {
    const server = await serveStored(t);
    const ada = await connect(t, server.url, "/", AGAIN);
    await restart(server, [ada]);
    assert.deepEqual(await ada.ask("matches", "word"), [true]);
    assert.deepEqual(await ada.ask("matches", "sword"), [false]);
  });

  test("variables and timers of `on_load` continue", async (t) => {
    const server = await serveStored(t);
    const ada = await connect(t, server.url, "/", AGAIN);
    const [[, before]] = await until(() => ada.ask("loads"), ([[, beats]]) => beats > 20);
    await restart(server, [ada]);
    const [[loads, after]] = await ada.ask("loads");
    assert.equal(loads, 2);
    assert.ok(after >= before, `${after} of ${before}`);
  });

  test("nobody becomes absent, unless the client stays away", async (t) => {
    const server = await serveStored(t, ["--presence-grace", "1s"]);
    const ada = await connect(t, server.url, "/", AGAIN);
    const bob = await connect(t, server.url, "/", AGAIN);
    for (const [client, name] of [[ada, "Ada"], [bob, "Bob"]]) {
      client.emit("name", name);
      await server.printed(new RegExp(`present ${name}`));
    }
    bob.socket.io.reconnection(false);
    const from = server.output.length;
    await restart(server, [ada]);
    await server.printed(/absent Bob/, from);
    assert.deepEqual(await ada.ask("present"), [["Ada"]]);
    assert.doesNotMatch(server.output.slice(from), /present|absent Ada/);
  });

  test("a client comes back after several restarts", async (t) => {
    const server = await serveStored(t);
    const ada = await connect(t, server.url, "/", AGAIN);
    const { id } = ada.socket;
    for (let n = 1; n <= 4; n += 1) {
      ada.emit("win", `${n}`);
      await ada.ask("state");
      await restart(server, [ada]);
      const [{ score }] = await ada.ask("state");
      assert.deepEqual([ada.socket.id, score], [id, n]);
    }
  });

  test("a client that was disconnected on purpose begins anew, as does one after a kill", async (t) => {
    const server = await serveStored(t);
    const [ada, bob] = [await connect(t, server.url, "/", AGAIN), await connect(t, server.url, "/", AGAIN)];
    const ids = [ada.socket.id, bob.socket.id];
    await ada.leave();
    await restart(server, [bob]);
    ada.socket.connect();
    await ada.next("connect");
    assert.notEqual(ada.socket.id, ids[0]);
    assert.equal(ada.socket.recovered, false);
    assert.equal(bob.socket.id, ids[1]);
    await restart(server, [bob], "SIGKILL");
    assert.notEqual(bob.socket.id, ids[1]);
    assert.equal(bob.socket.recovered, false);
    assert.equal((await bob.ask("state"))[0].score, 0);
  });

  test("values of any depth, and timers of any time, take nothing with them", async (t) => {
    const server = await serveStored(t);
    const ada = await connect(t, server.url, "/", AGAIN);
    ada.emit("win", "one");
    ada.emit("deep");
    assert.deepEqual(await ada.ask("depth"), [[110, 100, 110]]);
    await restart(server, [ada]);
    assert.deepEqual(await ada.ask("depth"), [[110, 100, 110]]);
    assert.equal((await ada.ask("state"))[0].score, 1);
  });

  test("variables of `on_load` hold the same sockets", async (t) => {
    const server = await serveStored(t);
    const [ada, bob] = [await connect(t, server.url, "/", AGAIN), await connect(t, server.url, "/", AGAIN)];
    await ada.ask("sign up", "Ada");
    await until(() => ada.ask("signed"), ([name]) => name === "Ada");
    await restart(server, [ada, bob]);
    await bob.ask("state");
    bob.emit("call", "Ada");
    const texts = await news(ada, 3);
    assert.ok(texts.includes("called"), `${texts}`);
  });

  for (const namespace of ["/", "/room/7"]) {
    test(`a client of ${namespace} that stays away during a restart comes back after the next`, async (t) => {
      const server = await serveStored(t, ["--presence-grace", "1h"]);
      const ada = await connect(t, server.url, namespace, { reconnection: false });
      const { id } = ada.socket;
      ada.emit("win", "one");
      ada.emit("name", "Ada");
      await server.printed(/present Ada/);
      const from = server.output.length;
      for (let n = 0; n < 3; n += 1) await server.restart();
      ada.socket.connect();
      await ada.next("connect");
      assert.equal(ada.socket.id, id);
      assert.equal((await ada.ask("state"))[0].score, 1);
      assert.deepEqual(await ada.ask("present"), [["Ada"]]);
      assert.doesNotMatch(server.output.slice(from), /present Ada|absent Ada/);
    });
  }

  test("a start that fails leaves everything to the next one", async (t) => {
    const server = await serveStored(t, ["--strict"]);
    const ada = await connect(t, server.url, "/", AGAIN);
    const { id } = ada.socket;
    ada.emit("win", "one");
    await ada.ask("state");
    await server.stop();
    await server.edit("main.rhai", (text) => `${text}\nfn broken( {`);
    await assert.rejects(server.start(), /before it was listening/);
    await server.edit("main.rhai", (text) => text.replace("\nfn broken( {", ""));
    await server.start();
    await ada.next("disconnect");
    await ada.next("connect");
    assert.equal(ada.socket.id, id);
    assert.equal((await ada.ask("state"))[0].score, 1);
  });

  test("what one process leaves does not displace what the next one leaves", async (t) => {
    // Without `on_load`, nothing takes over what the hooks of presence have left.
    const main = `
      fn on_present(key, meta) { print(\`present \${key}\`); }
      fn on_connection(socket) {
          let score = 0;
          socket.on("name", |name| { socket.present(name); });
          socket.on("win", || { score += 1; score });
      }`;
    const server = await serveStored(t, ["--presence-grace", "1h"], { files: { "main.rhai": main } });
    const ada = await connect(t, server.url, "/", AGAIN);
    const { id } = ada.socket;
    ada.emit("name", "Ada");
    await server.printed(/present Ada/);
    for (let n = 1; n <= 4; n += 1) {
      assert.deepEqual(await ada.ask("win"), [n]);
      await restart(server, [ada]);
      assert.equal(ada.socket.id, id);
    }
  });

  test("a client that does not read takes nothing from the others", async (t) => {
    const server = await serveStored(t, ["--drain-timeout", "4s"]);
    const [ada, bob] = [await connect(t, server.url, "/", AGAIN), await connect(t, server.url, "/", { reconnection: false })];
    const { id } = ada.socket;
    ada.emit("win", "one");
    await ada.ask("state");
    bob.manager.engine.transport.ws._socket.pause();
    bob.emit("flood");
    // The network has accepted what it can hold, and the rest waits.
    await server.printed(/flooded/);
    await restart(server, [ada]);
    assert.equal(ada.socket.id, id);
    assert.equal((await ada.ask("state"))[0].score, 1);
  });

  test("keys that were absent stay so", async (t) => {
    const server = await serveStored(t, ["--presence-grace", "0s"]);
    const [ada, bob] = [await connect(t, server.url, "/", { reconnection: false }), await connect(t, server.url, "/", AGAIN)];
    ada.emit("name", "Ada");
    await ada.ask("state");
    ada.manager.engine.close();
    await server.printed(/absent Ada/);
    const from = server.output.length;
    await restart(server, [bob]);
    assert.deepEqual(await bob.ask("present"), [[]]);
    assert.doesNotMatch(server.output.slice(from), /absent Ada/);
  });

  test("clients begin anew when the time is over", async (t) => {
    const server = await serveStored(t, [], { recovery: "1s" });
    const ada = await connect(t, server.url, "/", { reconnection: false });
    const { id } = ada.socket;
    await server.stop();
    await new Promise((resolve) => setTimeout(resolve, 1100));
    await server.start();
    ada.socket.connect();
    await ada.next("connect");
    assert.notEqual(ada.socket.id, id);
  });
});
