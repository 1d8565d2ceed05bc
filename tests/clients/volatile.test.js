// Volatile events as Node's server drops them: one is sent if nothing else is on its way to the client at that moment,
// and is lost otherwise. `SERVER=node` runs this file against Node's server.
//
// These are the expectations of Node's tests on `volatile` (ten of the server's, three of the client's), which wait for
// a time to see what does not come. Here an ordinary event, `end`, closes each sequence.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { onEachTransport } from "./client.js";
import { openPoll, openWeb } from "./raw.js";
import { here, serveAll } from "./server.js";

const server = serveAll(here("twins"), ["--ping-interval", "60s"]);
const FIRST = Buffer.from([1, 2, 3]);
const SECOND = Buffer.from([4, 5, 6]);

describe("volatile events to a WebSocket", () => {
  test("one alone is sent", async (t) => {
    const web = await connected(t);
    for (let n = 0; n < 10; n++) {
      send(web, "one", n);
      assert.deepEqual(await next(web), ["ev", n, 1]);
    }
  });

  test("of two in one call the first is sent", async (t) => {
    assert.deepEqual(await afterCall(t, "two"), [["ev", 7, 1]]);
  });

  test("one behind an ordinary event is lost", async (t) => {
    assert.deepEqual(await afterCall(t, "plain first"), [["ev", 7, 1]]);
  });

  test("one between ordinary events is lost, and these are sent", async (t) => {
    assert.deepEqual(await afterCall(t, "between"), [
      ["ev", 7, 1],
      ["ev", 7, 3],
    ]);
  });

  test("one behind an ordinary event is lost in `on_connection`, too", async (t) => {
    const web = await openWeb(t, server.url);
    await web.connect("/volatile", '{"greet":true}');
    assert.deepEqual(await untilEnd(web), [["ev", "plain"]]);
  });

  for (const event of ["binary", "to all"]) {
    test(`of two with attachments the first is sent, and no part of the second: ${event}`, async (t) => {
      const web = await connected(t);
      web.send(`452-/volatile,["${event}",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`, FIRST, SECOND);
      assert.equal(await web.next(), '451-/volatile,["ev",{"_placeholder":true,"num":0}]');
      assert.deepEqual(await web.next(), FIRST);
      assert.deepEqual(await next(web), ["end"]);
    });
  }

  test("of two to everybody each client is sent the first", async (t) => {
    const others = [await connected(t), await connected(t), await connected(t)];
    const web = await connected(t);
    send(web, "to all", 1, 2);
    assert.deepEqual(await untilEnd(web), [["ev", 1]]);
    for (const other of others) {
      assert.deepEqual(await next(other), ["ev", 1]);
      send(other, "end");
      assert.deepEqual(await next(other), ["end", null]);
    }
  });

  test("a call does not count what an earlier one has sent", async (t) => {
    const web = await connected(t);
    for (let n = 0; n < 10; n++) {
      send(web, "two", n);
      assert.deepEqual(await untilEnd(web), [["ev", n, 1]]);
    }
  });
});

describe("volatile events to a client that polls", () => {
  test("one is sent while a poll waits", async () => {
    assert.deepEqual(await whilePolling("one"), [1]);
  });

  test("of two in one call the first is sent", async () => {
    assert.deepEqual(await whilePolling("two"), [1]);
  });

  test("one behind an ordinary event is lost", async () => {
    const poll = await polling();
    await poll.post('42/volatile,["plain first",7]');
    assert.deepEqual(await untilEnd(poll), [["ev", 7, 1]]);
  });

  test("one between ordinary events is lost, and these are sent", async () => {
    const poll = await polling();
    await poll.post('42/volatile,["between",7]');
    assert.deepEqual(await untilEnd(poll), [
      ["ev", 7, 1],
      ["ev", 7, 3],
    ]);
  });

  test("one behind an ordinary event is lost in `on_connection`, too", async () => {
    const poll = await openPoll(server.url);
    await poll.connect("/volatile", '{"greet":true}');
    assert.deepEqual(await untilEnd(poll), [["ev", "plain"]]);
  });

  test("one is lost while no poll waits", async (t) => {
    const observer = await connected(t);
    const poll = await polling();
    await poll.post('42/volatile,["one",7]');
    // The call of this event follows that of the first, and the observer hears of it.
    await poll.post(`42/volatile,["tell others","${t.name}"]`);
    assert.deepEqual(await next(observer), ["told", t.name]);
    await poll.post('42/volatile,["end",7]');
    assert.deepEqual(await untilEnd(poll), []);
  });
});

onEachTransport("volatile events from the official client", ({ open, connect }) => {
  test("one is lost before the client is connected", async (t) => {
    const client = open(t, server.url, "/volatile");
    client.socket.volatile.emit("id", () => assert.fail("it was answered"));
    assert.deepEqual(await client.ask("id"), [client.socket.id]);
  });

  test("one behind an ordinary event is lost", async (t) => {
    const client = await connect(t, server.url, "/volatile");
    const answer = client.ask("id");
    client.socket.volatile.emit("id", () => assert.fail("it was answered"));
    assert.deepEqual(await answer, [client.socket.id]);
    assert.deepEqual(await client.ask("id"), [client.socket.id]);
  });

  // Whether the client can write at a moment is its own affair, so it tries until it could.
  test("one is answered like any other", async (t) => {
    const client = await connect(t, server.url, "/volatile");
    let timer;
    const answer = await new Promise((resolve) => {
      timer = setInterval(() => client.socket.volatile.emit("id", resolve), 20);
      t.after(() => clearInterval(timer));
    });
    clearInterval(timer);
    assert.equal(answer, client.socket.id);
  });
});

async function connected(t) {
  const web = await openWeb(t, server.url);
  await web.connect("/volatile");
  return web;
}

async function polling() {
  const poll = await openPoll(server.url);
  await poll.connect("/volatile");
  return poll;
}

function send(web, ...event) {
  web.send(`42/volatile,${JSON.stringify(event)}`);
}

/** The next event as an array. */
async function next(session) {
  const packet = await session.next();
  assert.match(packet, /^42\/volatile,\[/);
  return JSON.parse(packet.slice("42/volatile,".length));
}

/** The events before the next `end`. */
async function untilEnd(session) {
  const events = [];
  for (;;) {
    const event = await next(session);
    if (event[0] === "end") return events;
    events.push(event);
  }
}

/** The events that one call of the listener of this event sends to a quiet client, before its `end`. */
async function afterCall(t, event) {
  const web = await connected(t);
  send(web, event, 7);
  return untilEnd(web);
}

/**
 * The numbers of the volatile events of one call that come to a client whose poll waits. The POST may overtake the
 * poll, which travels on a connection of its own; then nothing comes, and it is tried again.
 */
async function whilePolling(event) {
  const poll = await polling();
  for (let n = 0; n < 50; n++) {
    const waiting = untilEnd(poll);
    await poll.post(`42/volatile,["${event}",${n}]`);
    await poll.post(`42/volatile,["end",${n}]`);
    const events = await waiting;
    if (event === "two") assert.deepEqual(await untilEnd(poll), []);
    if (events.length === 0) continue;
    assert.ok(
      events.every(([, call]) => call === n),
      JSON.stringify(events),
    );
    return events.map(([, , nth]) => nth);
  }
  return [];
}
