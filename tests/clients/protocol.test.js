// The public protocols on the wire: Engine.IO 4 (sessions, transports, heartbeat) and Socket.IO 5 (packets).

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { endpoint, openPoll, openWeb, pollSession, Web } from "./raw.js";
import { here, serve, serveAll, shippedScripts } from "./server.js";

const quickPings = ["--ping-interval", "300ms", "--ping-timeout", "200ms"];

describe("Engine.IO 4", () => {
  const server = serveAll(shippedScripts, quickPings);

  function checkHandshake(open, upgrades) {
    assert.deepEqual(Object.keys(open).sort(), ["maxPayload", "pingInterval", "pingTimeout", "sid", "upgrades"]);
    assert.equal(typeof open.sid, "string");
    assert.deepEqual(open.upgrades, upgrades);
    assert.equal(open.pingInterval, 300);
    assert.equal(open.pingTimeout, 200);
    assert.ok(Number.isInteger(open.maxPayload));
  }

  describe("handshake", () => {
    test("by polling", async () => {
      const response = await fetch(endpoint(server.url, { EIO: 4, transport: "polling" }));
      assert.equal(response.status, 200);
      assert.match(response.headers.get("content-type"), /^text\/plain/);
      const text = await response.text();
      assert.equal(text[0], "0");
      checkHandshake(JSON.parse(text.slice(1).split("\x1e")[0]), ["websocket"]);
    });

    test("by WebSocket", async (t) => {
      checkHandshake((await openWeb(t, server.url)).open, []);
    });

    test("every session has an id of its own", async (t) => {
      const sids = [await openWeb(t, server.url), await openWeb(t, server.url), await openPoll(server.url)].map(({ open }) => open.sid);
      assert.equal(new Set(sids).size, 3);
    });

    const refused = {
      "without a transport": { method: "GET", parameters: { EIO: 4 }, error: { code: 0, message: "Transport unknown" } },
      "with an unknown transport": { method: "GET", parameters: { EIO: 4, transport: "pigeon" }, error: { code: 0, message: "Transport unknown" } },
      "with an unknown session": { method: "GET", parameters: { EIO: 4, transport: "polling", sid: "unknown" }, error: { code: 1, message: "Session ID unknown" } },
      "by POST": { method: "POST", parameters: { EIO: 4, transport: "polling" }, error: { code: 2, message: "Bad handshake method" } },
      "by PUT": { method: "PUT", parameters: { EIO: 4, transport: "polling" }, error: { code: 2, message: "Bad handshake method" } },
      "without a version": { method: "GET", parameters: { transport: "polling" }, error: { code: 5, message: "Unsupported protocol version" } },
      "with version 3": { method: "GET", parameters: { EIO: 3, transport: "polling" }, error: { code: 5, message: "Unsupported protocol version" } },
      "with a version that is no number": { method: "GET", parameters: { EIO: "abc", transport: "polling" }, error: { code: 5, message: "Unsupported protocol version" } },
    };
    for (const [name, { method, parameters, error }] of Object.entries(refused)) {
      test(`${name} is refused`, async () => {
        const response = await fetch(endpoint(server.url, parameters), { method });
        assert.equal(response.status, 400);
        assert.deepEqual(await response.json(), error);
      });
    }

    for (const parameters of [{ EIO: undefined }, { EIO: "abc" }, { transport: "pigeon" }, { transport: undefined }, { sid: "unknown" }]) {
      test(`by WebSocket with ${JSON.stringify(parameters)} is refused`, async (t) => {
        const web = new Web(t, server.url, parameters);
        web.web.on("message", (packet) => assert.fail(`a packet came: ${packet}`));
        await web.closed;
      });
    }
  });

  describe("heartbeat", () => {
    test("by WebSocket: pings come as long as they are answered", async (t) => {
      const web = await openWeb(t, server.url, { silent: true });
      for (let n = 0; n < 4; n++) {
        assert.equal(await web.next(), "2");
        web.send("3");
      }
    });

    test("by polling: pings come as long as they are answered", async () => {
      const poll = await openPoll(server.url, { silent: true });
      for (let n = 0; n < 4; n++) {
        assert.equal(await poll.next(), "2");
        assert.deepEqual(await poll.post("3"), { status: 200, text: "ok" });
      }
    });

    test("by WebSocket: who does not answer is closed", async (t) => {
      const web = await openWeb(t, server.url, { silent: true });
      await web.closed;
    });

    test("by polling: who does not answer is closed", async () => {
      const poll = await openPoll(server.url, { silent: true });
      const { packets, status } = await poll.untilGone();
      assert.ok(packets.includes("2"));
      assert.equal(status, 400);
    });
  });

  describe("close", () => {
    test("by packet, WebSocket", async (t) => {
      const web = await openWeb(t, server.url);
      web.send("1");
      await web.closed;
    });

    test("by packet, polling: the waiting poll is answered, the session is gone", async () => {
      const poll = await openPoll(server.url);
      const waiting = poll.untilGone();
      assert.deepEqual(await poll.post("1"), { status: 200, text: "ok" });
      assert.equal((await waiting).status, 400);
      assert.equal((await poll.post("3")).status, 400);
    });

    test("by an unknown packet type, WebSocket", async (t) => {
      const web = await openWeb(t, server.url);
      web.send("abc");
      await web.closed;
    });

    test("by an unknown packet type, polling", async () => {
      const poll = await openPoll(server.url);
      await poll.post("abc");
      assert.equal((await poll.untilGone()).status, 400);
    });

    test("by an empty frame, WebSocket", async (t) => {
      const web = await openWeb(t, server.url);
      web.send("");
      await web.closed;
    });
  });

  describe("upgrade", () => {
    /** Does what a client does: probes, waits until its last poll is released, upgrades. */
    async function upgraded(t) {
      const poll = await openPoll(server.url);
      await poll.connect("/echo");
      const web = new Web(t, server.url, { sid: poll.sid });
      await new Promise((resolve) => web.web.once("open", resolve));
      web.send("2probe");
      assert.equal(await web.next(), "3probe");
      assert.equal(await poll.next(), "6");
      web.send("5");
      return { poll, web };
    }

    test("from polling to WebSocket, with the namespaces of the session", async (t) => {
      const { web } = await upgraded(t);
      web.send('42/echo,["echo","by WebSocket"]');
      assert.equal(await web.next(), '42/echo,["echo","by WebSocket"]');
    });

    test("what was sent before the upgrade is not lost", async (t) => {
      const poll = await openPoll(server.url);
      await poll.connect("/echo");
      const web = new Web(t, server.url, { sid: poll.sid });
      await new Promise((resolve) => web.web.once("open", resolve));
      web.send("2probe");
      await poll.post('42/echo,["echo","by polling"]');
      assert.equal(await web.next(), "3probe");
      const packets = [];
      while (!packets.includes("6")) packets.push(await poll.next());
      web.send("5");
      if (packets.length === 1) packets.push(await web.next());
      assert.deepEqual(packets.sort(), ['42/echo,["echo","by polling"]', "6"]);
    });

    test("given up without a probe, the session goes on by polling, and ends when it falls silent", async (t) => {
      const poll = await openPoll(server.url);
      await poll.connect("/echo");
      const web = new Web(t, server.url, { sid: poll.sid });
      await new Promise((resolve) => web.web.once("open", resolve));
      web.web.close();
      await web.closed;
      await poll.post('42/echo,["echo","still here"]');
      const heard = [];
      while (heard.at(-1) !== '42/echo,["echo","still here"]') {
        heard.push(await poll.next());
        assert.ok(heard.length < 20, `nothing but ${heard}`);
      }
      assert.equal((await poll.untilGone()).status, 400);
    });

    // In Node the session goes on by polling. Here the crate answers its polls with nothing from the probe on, so the
    // host ends it, and the client comes back.
    test("given up after the probe, the session ends", async (t) => {
      const poll = await openPoll(server.url);
      await poll.connect("/echo");
      const web = new Web(t, server.url, { sid: poll.sid });
      await new Promise((resolve) => web.web.once("open", resolve));
      web.send("2probe");
      assert.equal(await web.next(), "3probe");
      web.web.close();
      await web.closed;
      assert.equal((await poll.untilGone()).status, 400);
    });

    test("afterwards polling is refused", async (t) => {
      const { poll, web } = await upgraded(t);
      web.send('42/echo,["echo",1]');
      await web.next();
      assert.equal((await poll.get()).status, 400);
    });

    test("afterwards a second WebSocket is refused, and the first goes on", async (t) => {
      const { poll, web } = await upgraded(t);
      web.send('42/echo,["echo",1]');
      await web.next();
      const second = new Web(t, server.url, { sid: poll.sid });
      await second.closed;
      web.send('42/echo,["echo",2]');
      assert.equal(await web.next(), '42/echo,["echo",2]');
    });
  });
});

for (const [transport, openSession] of Object.entries({
  "WebSocket": (t, url) => openWeb(t, url),
  "polling": async (t, url) => pollSession(await openPoll(url)),
})) {
  describe(`Socket.IO 5, ${transport}`, () => {
    const server = serveAll(here("scripts"), quickPings);
    const shipped = serveAll(shippedScripts);

    async function echo(t) {
      const session = await openSession(t, shipped.url);
      await session.connect("/echo");
      return session;
    }

    describe("CONNECT", () => {
      for (const namespace of ["/", "/game/lobby"]) {
        for (const auth of ["", '{"token":"123"}']) {
          test(`to ${namespace} ${auth ? "with" : "without"} auth`, async (t) => {
            const session = await openSession(t, server.url);
            const answer = await session.connect(namespace, auth);
            const place = namespace === "/" ? "40" : `40${namespace},`;
            assert.ok(answer.startsWith(`${place}{`), answer);
            const { sid, ...rest } = JSON.parse(answer.slice(place.length));
            assert.equal(typeof sid, "string");
            assert.deepEqual(rest, {});
          });
        }
      }

      for (const auth of ["", '{"token":"123"}']) {
        test(`to an unknown namespace ${auth ? "with" : "without"} auth`, async (t) => {
          const session = await openSession(t, server.url);
          assert.equal(await session.connect("/random", auth), '44/random,{"message":"Invalid namespace"}');
        });
      }

    });

    describe("DISCONNECT", () => {
      test("from `/`: other namespaces of the connection go on", async (t) => {
        const session = await openSession(t, server.url);
        await session.connect("/");
        await session.next();
        await session.connect("/counters");
        session.send("41");
        session.send('42/counters,1["state"]');
        assert.equal(await session.next(), '43/counters,1[{"count":0,"words":[]}]');
      });

      test("from a namespace, and back to it", async (t) => {
        const session = await openSession(t, server.url);
        await session.connect("/order");
        await session.next();
        await session.connect("/counters");
        session.send('42/counters,["add",5]', "41/counters,", '42/order,1["numbers"]');
        assert.equal(await session.next(), "43/order,1[[]]");
        assert.match(await session.connect("/counters"), /^40\/counters,\{"sid":/);
        session.send('42/counters,1["state"]');
        assert.equal(await session.next(), '43/counters,1[{"count":0,"words":[]}]');
      });

      test("by the server", async (t) => {
        const session = await openSession(t, server.url);
        await session.connect("/leaving");
        session.send('42/leaving,["kick me"]');
        assert.equal(await session.next(), "41/leaving,");
      });
    });

    describe("packets", () => {
      test("EVENT", async (t) => {
        const session = await echo(t);
        session.send('42/echo,["echo",1,"2",{"3":[true]}]');
        assert.equal(await session.next(), '42/echo,["echo",1,"2",{"3":[true]}]');
      });

      test("EVENT that asks for an ACK", async (t) => {
        const session = await echo(t);
        session.send('42/echo,456["echo",1,"2",{"3":[false]}]');
        assert.deepEqual([await session.next(), await session.next()].sort(), ['42/echo,["echo",1,"2",{"3":[false]}]', '43/echo,456[1,"2",{"3":[false]}]']);
      });

      test("BINARY_EVENT", async (t) => {
        const session = await echo(t);
        const text = '452-/echo,["echo",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]';
        session.send(text, Buffer.from([1, 2, 3]), Buffer.from([4, 5, 6]));
        assert.equal(await session.next(), text);
        assert.deepEqual(await session.next(), Buffer.from([1, 2, 3]));
        assert.deepEqual(await session.next(), Buffer.from([4, 5, 6]));
      });

      test("BINARY_EVENT whose placeholders are not in the order of the attachments", async (t) => {
        const session = await echo(t);
        session.send('452-/echo,["echo",{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]', Buffer.from("first"), Buffer.from("second"));
        assert.equal(await session.next(), '452-/echo,["echo",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]');
        assert.deepEqual(await session.next(), Buffer.from("second"));
        assert.deepEqual(await session.next(), Buffer.from("first"));
      });

      test("BINARY_EVENT that asks for an ACK", async (t) => {
        const session = await echo(t);
        session.send('451-/echo,789["echo",{"_placeholder":true,"num":0}]', Buffer.from([7]));
        const packets = [];
        for (let n = 0; n < 4; n++) packets.push(await session.next());
        const texts = packets.filter((packet) => typeof packet === "string").sort();
        assert.deepEqual(texts, ['451-/echo,["echo",{"_placeholder":true,"num":0}]', '461-/echo,789[{"_placeholder":true,"num":0}]']);
        assert.deepEqual(packets.filter((packet) => typeof packet !== "string"), [Buffer.from([7]), Buffer.from([7])]);
      });
    });

    describe("better than Node's server:", () => {
      test("events in the same breath as CONNECT are kept", async (t) => {
        const session = await openSession(t, server.url);
        session.send("40/order,", ...[0, 1, 2].map((n) => `42/order,["number",${n}]`), '42/order,7["numbers"]');
        assert.match(await session.next(), /^40\/order,\{"sid":/);
        assert.equal(await session.next(), '42/order,["connected late",124750]');
        assert.equal(await session.next(), "43/order,7[[0,1,2]]");
      });

      test("CONNECT in the same breath as DISCONNECT is answered", async (t) => {
        const session = await openSession(t, server.url);
        await session.connect("/counters");
        session.send('42/counters,["add",5]', "41/counters,", "40/counters,");
        assert.match(await session.next(), /^40\/counters,\{"sid":/);
        session.send('42/counters,1["state"]');
        assert.equal(await session.next(), '43/counters,1[{"count":0,"words":[]}]');
      });
    });

    describe("what no client sends closes the connection:", () => {
      const wrong = {
        "an unknown packet type": "4abc",
        "a payload that is no array": '42/echo,{"a":1}',
        "a payload that is no JSON": '42/echo,["echo",',
        "an ack id that is no number": '42/echo,abc["echo"]',
        "an event without a name": "42/echo,[]",
      };
      for (const [name, packet] of Object.entries(wrong)) {
        test(name, async (t) => {
          const session = await echo(t);
          session.send(packet);
          await session.closed;
        });
      }
    });

    test("who falls silent is heard of by the others", async (t) => {
      const { url } = await serve(t, here("scripts"), quickPings);
      const watching = await openSession(t, url);
      await watching.connect("/leaving");
      if (transport === "WebSocket") {
        (await openWeb(t, url, { silent: true })).send("40/leaving,");
      } else {
        await (await openPoll(url, { silent: true })).post("40/leaving,");
      }
      assert.equal(await watching.next(), '42/leaving,["left","ping timeout"]');
    });
  });
}

describe("several packets in one polling payload", () => {
  const server = serveAll(shippedScripts, quickPings);

  test("are handled in order", async () => {
    const poll = await openPoll(server.url);
    await poll.connect("/echo");
    assert.deepEqual(await poll.post(...[1, 2, 3].map((n) => `42/echo,["echo",${n}]`)), { status: 200, text: "ok" });
    for (const n of [1, 2, 3]) assert.equal(await poll.next(), `42/echo,["echo",${n}]`);
  });

  test("attachments travel as base64", async () => {
    const poll = await openPoll(server.url);
    await poll.connect("/echo");
    await poll.post('451-/echo,["echo",{"_placeholder":true,"num":0}]', "bAQIDBA==");
    assert.equal(await poll.next(), '451-/echo,["echo",{"_placeholder":true,"num":0}]');
    assert.equal(await poll.next(), "bAQIDBA==");
  });
});

describe("a connection that never sends CONNECT", () => {
  const server = serveAll(shippedScripts, ["--connect-timeout", "300ms"]);

  test("is closed, WebSocket", async (t) => {
    await (await openWeb(t, server.url)).closed;
  });

  test("is closed, polling", async () => {
    assert.equal((await (await openPoll(server.url)).untilGone()).status, 400);
  });
});
