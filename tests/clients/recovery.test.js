// Connection state recovery: what a client finds when it comes back, with the official client.
//
// In: `--recovery`. Out: the events that listeners of the client see, with the offset as their last argument, as with
// Node's server.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { onEachTransport, onWebSocket } from "./client.js";
import { openWeb } from "./raw.js";
import { DEADLINE_MS, serve } from "./server.js";

const MAIN = `
fn on_handshake(socket) { print("handshake"); }
fn on_connection(socket) {
    let score = 0;
    let words = [];
    let ticks = 0;
    print(\`connection \${socket.recovered}\`);
    io.data.incr("online", 1);
    socket.on("state", || #{
        recovered: socket.recovered, id: socket.id, score: score, words: words, ticks: ticks,
        rooms: socket.rooms.to_array(), data: socket.data.to_map(), auth: socket.handshake.auth,
        online: io.data.online,
    });
    socket.on("win", |word| { score += 1; words.push(word); });
    socket.on("listen", || {
        socket.on("late", || score);
        set_interval(|| { ticks += 1; }, 10);
    });
    socket.on("name", |name| { socket.data.name = name; });
    socket.on("join", |room| { socket.join(room); });
    socket.on("leave", |room| { socket.leave(room); });
    socket.on("all", |text| { io.emit("news", text); });
    socket.on("room", |room, text| { io.to(room).emit("news", text); });
    socket.on("except", |room, text| { io.except(room).emit("news", text); });
    socket.on("others", |text| { socket.broadcast("news", text); });
    socket.on("volatile", |text| { io.volatile.emit("news", text); });
    socket.on("volatile one", |text| { socket.volatile.emit("news", text); });
    socket.on("ask me", || { socket.timeout(20000).emit("question", "text", |err, answer| { words.push(err != ()); }); });
    socket.on("kick", |id| { io.socket(id).disconnect(); });
    socket.on("bytes", || { let b = blob(3, 7); io.emit("news", b, b); });
    socket.on("disconnect", |reason| { score = -1; words = []; });
}
fn on_disconnect(socket, reason) { io.data.incr("online", -1); print(\`gone: \${reason}\`); }
`;
const FILES = { "main.rhai": MAIN, "other.rhai": MAIN, "room/{id}.rhai": MAIN };
const RECOVERY = ["--recovery", "1m"];

/** Breaks the connection of a client, and waits until the server has noticed. */
async function drop(server, client) {
  const from = server.output.length;
  client.manager.engine.close();
  await client.next("disconnect");
  await server.printed(/gone: transport (close|error)/, from);
}

/** Breaks the connection of a client, and lets it come back at once. */
async function back(client) {
  client.socket.connect();
  await client.next("connect");
}

/** The texts of the next events `news`, without their offsets. */
async function news(client, count) {
  const texts = [];
  for (let n = 0; n < count; n += 1) texts.push((await client.next("news"))[0]);
  return texts;
}

/** Asks for a volatile event until one arrives, and answers its arguments. */
async function volatile(client, value) {
  await until(async () => {
    client.emit("volatile one", value);
    await client.ask("state");
    return client.untaken.includes("news");
  });
  return client.next("news");
}

/** Waits until `holds` answers true. */
async function until(holds) {
  const end = Date.now() + DEADLINE_MS;
  while (!(await holds())) assert.ok(Date.now() < end, `not in time: ${holds}`);
}

const state = async (client) => (await client.ask("state"))[0];

/** An event that is not missed: after it, all others have come. */
async function settled(client) {
  await client.ask("state");
  assert.deepEqual(client.untaken.filter((event) => event === "news"), []);
}

onEachTransport("recovery", ({ connect }) => {
  test("the session, rooms, data, variables and listeners come back, and missed events", async (t) => {
    const server = await serve(t, FILES, RECOVERY);
    const [client, other] = [await connect(t, server.url), await connect(t, server.url)];
    client.emit("join", "red");
    client.emit("name", "Ada");
    client.emit("win", "one");
    client.emit("listen");
    const before = await state(client);
    assert.ok(!client.socket.recovered);
    await drop(server, client);
    other.emit("all", "to all");
    other.emit("room", "red", "to red");
    other.emit("room", "blue", "to blue");
    other.emit("room", before.id, "to me");
    other.emit("except", "red", "not to red");
    other.emit("volatile", "volatile");
    other.emit("others", "to others");
    assert.equal((await state(other)).online, 1);
    await back(client);
    assert.equal(client.socket.recovered, true);
    assert.equal(client.socket.id, before.id);
    assert.deepEqual(await news(client, 4), ["to all", "to red", "to me", "to others"]);
    client.emit("win", "two");
    const { ticks, auth, ...after } = await state(client);
    assert.deepEqual(after, {
      recovered: true, id: before.id, score: 2, words: ["one", "two"],
      rooms: [before.id, "red"], data: { name: "Ada" }, online: 2,
    });
    assert.deepEqual(auth, {});
    assert.deepEqual(await client.ask("late"), [2]);
    await settled(client);
    // The interval of the handler runs again.
    await until(async () => (await state(client)).ticks > ticks);
  });

  test("the presence that handlers have given to a socket comes back as it was", async (t) => {
    const server = await serve(t, { "main.rhai": `
      fn on_connection(socket) {
          socket.present("start", 1);
          socket.on("present", |key, meta| { socket.present(key, meta); });
          socket.on("absent", |key| { socket.absent(key); });
          socket.on("who", || io.present().map(|key| [key, io.present(key)]));
      }
      fn on_present(key) { print(\`here \${key}\`); }
      fn on_absent(key) { print(\`away \${key}\`); }
      fn on_disconnect(socket, reason) { print(\`gone: \${reason}\`); }` },
    [...RECOVERY, "--presence-grace", "0s"]);
    const client = await connect(t, server.url);
    client.emit("present", "ada", { away: false });
    client.emit("present", "ada", { away: true });
    client.emit("present", "start", 2);
    const who = [["ada", [{ away: true }]], ["start", [2]]];
    assert.deepEqual(await client.ask("who"), [who]);
    const from = server.output.length;
    await drop(server, client);
    await server.printed(/away start/, from);
    await back(client);
    assert.deepEqual(await client.ask("who"), [who]);
    // What the client has taken back stays away, although `on_connection` runs again.
    client.emit("absent", "start");
    await drop(server, client);
    await back(client);
    assert.deepEqual(await client.ask("who"), [[["ada", [{ away: true }]]]]);
  });

  test("a client that has missed nothing, or has never received anything, comes back", async (t) => {
    const server = await serve(t, FILES, RECOVERY);
    const client = await connect(t, server.url);
    const { id } = await state(client);
    await drop(server, client);
    await back(client);
    assert.deepEqual([client.socket.recovered, client.socket.id], [true, id]);
    client.emit("all", "one");
    assert.deepEqual(await news(client, 1), ["one"]);
    await drop(server, client);
    await back(client);
    assert.equal(client.socket.recovered, true);
    await settled(client);
  });

  test("a client comes back again and again, and hears each event once", async (t) => {
    const server = await serve(t, FILES, RECOVERY);
    const [client, other] = [await connect(t, server.url), await connect(t, server.url)];
    client.emit("join", "red");
    const { id } = await state(client);
    for (let round = 0; round < 5; round += 1) {
      other.emit("room", "red", `${round} before`);
      // The client itself would hear an event twice that it reads while it closes.
      assert.deepEqual(await news(client, 1), [`${round} before`]);
      await drop(server, client);
      other.emit("room", "red", `${round} away`);
      await state(other);
      await back(client);
      assert.deepEqual([client.socket.recovered, client.socket.id], [true, id]);
      assert.deepEqual(await news(client, 1), [`${round} away`]);
    }
    await settled(client);
  });

  test("attachments, and events with acks, carry on", async (t) => {
    const server = await serve(t, FILES, RECOVERY);
    const [client, other] = [await connect(t, server.url), await connect(t, server.url)];
    client.emit("all", "one");
    await news(client, 1);
    client.emit("ask me");
    assert.equal((await client.next("question"))[0], "text");
    await volatile(client, "volatile");
    await drop(server, client);
    other.emit("bytes");
    other.emit("all", "two");
    await state(other);
    await back(client);
    assert.equal(client.socket.recovered, true);
    const [first, second] = await client.next("news");
    assert.deepEqual([[...first], [...second]], [[7, 7, 7], [7, 7, 7]]);
    assert.deepEqual(await news(client, 1), ["two"]);
    await settled(client);
  });

  test("whoever disconnects, or is disconnected, on purpose does not come back", async (t) => {
    const server = await serve(t, FILES, RECOVERY);
    const client = await connect(t, server.url);
    const { id } = await state(client);
    await client.leave();
    await server.printed(/gone: client namespace disconnect/);
    await back(client);
    assert.ok(!client.socket.recovered && client.socket.id !== id);
    const from = server.output.length;
    client.emit("kick", client.socket.id);
    assert.equal((await client.next("disconnect"))[0], "io server disconnect");
    // The client closes its connection, which the server may hear of first.
    await server.printed(/gone: (server namespace disconnect|transport close)/, from);
    await back(client);
    assert.ok(!client.socket.recovered);
    assert.equal((await state(client)).score, 0);
  });
});

describe("recovery", () => {
  const { connect } = onWebSocket;

  test("nothing changes without the option", async (t) => {
    const server = await serve(t, FILES);
    const client = await connect(t, server.url);
    client.emit("all", "one");
    assert.deepEqual(await client.next("news"), ["one"]);
    const { id } = await state(client);
    await drop(server, client);
    await back(client);
    assert.ok(!client.socket.recovered && client.socket.id !== id);
  });

  test("events end with an offset, except those that ask for an ack", async (t) => {
    const server = await serve(t, FILES, RECOVERY);
    const client = await connect(t, server.url);
    client.emit("all", 1);
    const [, offset, ...rest] = await client.next("news");
    assert.match(offset, /^[0-9a-z]{5,}$/);
    assert.deepEqual(rest, []);
    assert.deepEqual(await volatile(client, 2), [2]);
    const [text, current] = await volatile(client, "text");
    assert.equal(text, "text");
    assert.equal(current, offset);
    client.emit("ask me");
    assert.equal((await client.next("question")).length, 2);
  });

  test("`on_handshake` is skipped, unless it is asked for", async (t) => {
    for (const [args, times] of [[[], 1], [["--recovery-handshake"], 2]]) {
      const server = await serve(t, FILES, [...RECOVERY, ...args]);
      const client = await connect(t, server.url);
      await drop(server, client);
      await back(client);
      assert.equal(client.socket.recovered, true);
      await server.printed(/connection false[^]*gone[^]*connection true/);
      assert.equal(server.output.match(/handshake/g).length, times);
    }
  });

  test("a client comes back before the server has noticed", async (t) => {
    const server = await serve(t, FILES, RECOVERY);
    const [client, other] = [await connect(t, server.url), await connect(t, server.url)];
    client.emit("win", "one");
    client.emit("all", "one");
    await news(client, 1);
    // The client stops reading, as if its network were gone.
    const socket = client.manager.engine.transport.ws._socket;
    socket.pause();
    other.emit("all", "two");
    await state(other);
    const { _pid: pid, _lastOffset: offset, id } = client.socket;
    const again = await connect(t, server.url, "/", { auth: { pid, offset } });
    assert.equal(again.socket.id, id);
    assert.deepEqual(await news(again, 1), ["two"]);
    const after = await state(again);
    assert.deepEqual([after.recovered, after.score, after.online], [true, 1, 2]);
    await server.printed(/gone: transport close/);
  });

  test("a wrong pid or offset begins a new session, and a pid is good for one namespace", async (t) => {
    const server = await serve(t, FILES, RECOVERY);
    const client = await connect(t, server.url);
    client.emit("all", "one");
    await news(client, 1);
    const { _pid: pid, _lastOffset: offset, id } = client.socket;
    await drop(server, client);
    const wrong = await connect(t, server.url, "/", { auth: { pid: pid.replace(/./, (c) => (c === "a" ? "b" : "a")), offset } });
    assert.notEqual(wrong.socket.id, id);
    const elsewhere = await connect(t, server.url, "/other", { auth: { pid, offset } });
    assert.notEqual(elsewhere.socket.id, id);
    assert.equal((await state(elsewhere)).recovered, false);
    const own = await connect(t, server.url, "/", { auth: { pid: "mine", offset: 3 } });
    assert.deepEqual((await state(own)).auth, { pid: "mine", offset: 3 });
    const mistaken = await connect(t, server.url, "/", { auth: { pid, offset: "Hello" } });
    assert.notEqual(mistaken.socket.id, id);
    // The pid was used.
    await back(client);
    assert.ok(!client.socket.recovered);
    for (const secret of [pid, client.socket._pid]) assert.ok(!server.output.includes(secret));
  });

  test("a client whose time is over, or whose events are given up, begins anew", async (t) => {
    const brief = await serve(t, FILES, ["--recovery", "50ms"]);
    const late = await connect(t, brief.url);
    await drop(brief, late);
    await new Promise((resolve) => setTimeout(resolve, 60));
    await back(late);
    assert.ok(!late.socket.recovered);
    const server = await serve(t, FILES, [...RECOVERY, "--recovery-log", "4KiB"]);
    const [client, other] = [await connect(t, server.url), await connect(t, server.url)];
    await drop(server, client);
    other.emit("all", "short");
    await state(other);
    await back(client);
    assert.equal(client.socket.recovered, true);
    await drop(server, client);
    for (let n = 0; n < 10; n += 1) other.emit("all", "x".repeat(1000));
    await state(other);
    await back(client);
    assert.ok(!client.socket.recovered);
    assert.deepEqual(await news(client, 1), ["short"]);
    await settled(client);
  });

  test("all namespaces of a client come back, also dynamic ones", async (t) => {
    const server = await serve(t, FILES, RECOVERY);
    const client = await connect(t, server.url);
    const other = client.beside("/other");
    const room = client.beside("/room/7");
    await Promise.all([other.next("connect"), room.next("connect")]);
    const all = [client, other, room];
    for (const one of all) one.emit("win", one.socket.nsp);
    const before = [];
    for (const one of all) before.push((await state(one)).id);
    const from = server.output.length;
    client.manager.engine.close();
    await server.printed(/(gone[^]*){3}/, from);
    const watching = await connect(t, server.url, "/other");
    watching.emit("all", "missed");
    await state(watching);
    client.manager.open();
    for (const [nth, one] of all.entries()) {
      await one.next("disconnect");
      await one.next("connect");
      assert.equal(one.socket.recovered, true);
      const { id, words } = await state(one);
      assert.deepEqual([id, words], [before[nth], [one.socket.nsp]]);
    }
    assert.deepEqual(await news(other, 1), ["missed"]);
  });

  test("an edit in the meantime takes effect, and the state stays", async (t) => {
    const server = await serve(t, FILES, RECOVERY);
    const client = await connect(t, server.url);
    client.emit("win", "one");
    client.emit("listen");
    await state(client);
    await drop(server, client);
    const change = (text) =>
      text
        .replace("let ticks = 0;", 'let ticks = 0; let added = 5; socket.on("added", || added);')
        .replace('"late", || score', '"late", || "edited " + score');
    await server.reload("main.rhai", change);
    await back(client);
    assert.equal(client.socket.recovered, true);
    const { score, words } = await state(client);
    assert.deepEqual([score, words], [1, ["one"]]);
    assert.deepEqual(await client.ask("added"), [5]);
    assert.deepEqual(await client.ask("late"), ["edited 1"]);
  });

  test("`on_connection` runs again, and changes only what the connection has not changed", async (t) => {
    const server = await serve(t, {
      "main.rhai": `fn on_connection(socket) {
          let seat = io.data.incr("seat", 1);
          let score = 0;
          let name = "none";
          let beats = 0;
          socket.data.level = 1;
          socket.data.seat = seat;
          if !socket.recovered { socket.on("first", || "once"); }
          socket.join(["lobby", "all"]);
          let beat = set_interval(|| { beats += 1; }, 5);
          socket.on("win", || { score += 1; socket.data.level += 1; });
          socket.on("leave", || { socket.leave("lobby"); socket.join("game"); });
          socket.on("state", || [seat, score, name, socket.data.level, socket.data.seat, socket.rooms.to_array()]);
          socket.on("beats", || beats);
          socket.once("ready", || "ready");
          socket.timeout(20000).emit("name?", |err, answer| { if err == () { name = answer; } });
          socket.on("disconnect", |reason| { clear_interval(beat); score = 0; });
      }
      fn on_disconnect(socket, reason) { print(\`gone: \${reason}\`); }`,
    }, RECOVERY);
    const client = onWebSocket.open(t, server.url);
    const names = ["Ada", "Bob", "Cem"];
    client.socket.on("name?", (ack) => ack(names.shift()));
    await client.next("connect");
    const { id } = client.socket;
    client.emit("win");
    client.emit("leave");
    assert.deepEqual(await client.ask("ready"), ["ready"]);
    await until(async () => (await state(client))[2] === "Ada");
    assert.deepEqual(await state(client), [1, 1, "Ada", 2, 1, [id, "all", "game"]]);
    for (const [seat, name] of [[2, "Bob"], [3, "Cem"]]) {
      await drop(server, client);
      await back(client);
      await until(async () => (await state(client))[2] === name);
      assert.deepEqual(await state(client), [seat, 1, name, 2, seat, [id, "all", "game"]]);
      assert.deepEqual(await client.ask("first"), ["once"]);
      const [beats] = await client.ask("beats");
      await until(async () => (await client.ask("beats"))[0] > beats);
    }
    const ready = client.socket.timeout(50).emitWithAck("ready");
    await assert.rejects(ready);
  });

  test("a script may leave `on_connection` at once, and handles of the socket stay good", async (t) => {
    const server = await serve(t, {
      "main.rhai": `fn on_connection(socket) {
          if socket.recovered { return; }
          let score = 0;
          socket.on("win", || { score += 1; score });
          socket.on("meet", |id| {
              let other = io.socket(id);
              socket.on("say", |text| { other.emit("said", text); other.connected });
          });
      }
      fn on_disconnect(socket, reason) { socket.emit("said", "bye"); print(\`gone: \${reason}\`); }`,
    }, RECOVERY);
    const [client, other] = [await connect(t, server.url), await connect(t, server.url)];
    other.emit("meet", client.socket.id);
    assert.deepEqual(await client.ask("win"), [1]);
    await drop(server, client);
    assert.deepEqual(await other.ask("say", "one"), [false]);
    await back(client);
    assert.deepEqual(await other.ask("say", "two"), [true]);
    assert.deepEqual(await client.ask("win"), [2]);
    for (const text of ["bye", "one", "two"]) assert.equal((await client.next("said"))[0], text);
  });

  test("a client that answered no ping comes back", async (t) => {
    const pings = ["--ping-interval", "100ms", "--ping-timeout", "100ms"];
    const server = await serve(t, FILES, [...RECOVERY, ...pings]);
    const silent = await openWeb(t, server.url, { silent: true });
    silent.send("40");
    const { sid, pid } = JSON.parse((await silent.next()).slice(2));
    await server.printed(/gone: ping timeout/);
    const web = await openWeb(t, server.url);
    web.send("40" + JSON.stringify({ pid }));
    assert.deepEqual(JSON.parse((await web.next()).slice(2)), { sid, pid });
  });

  test("the answer to a CONNECT has a pid of its own", async (t) => {
    const server = await serve(t, FILES, RECOVERY);
    const web = await openWeb(t, server.url);
    web.send("40");
    const answer = await web.next();
    assert.match(answer, /^40\{"sid":"[0-9A-Za-z]{20}","pid":"[-_0-9A-Za-z]{24}"\}$/);
  });
});
