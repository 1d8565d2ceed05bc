// Socket.IO 5 as Node's server speaks it: every expectation of the socket.io-protocol test suite in our own words, and
// what the suite leaves open. `SERVER=node` runs this file against Node's server.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { onEachTransport } from "./client.js";
import { openPoll, openWeb, pollSession, reasonOf, watching } from "./raw.js";
import { here, serveAll } from "./server.js";

const twins = here("twins");
/** A server whose first ping comes later than any test ends. */
const calm = serveAll(twins, ["--ping-interval", "60s"]);
const impatient = serveAll(twins, ["--ping-interval", "60s", "--connect-timeout", "1s"]);

const sessions = {
  WebSocket: (t, url) => openWeb(t, url),
  polling: async (t, url) => pollSession(await openPoll(url)),
};

for (const [transport, openSession] of Object.entries(sessions)) {
  /** A session that is connected to `/`, and has taken its greeting. */
  async function connected(t) {
    const session = await openSession(t, calm.url);
    await session.connect("/");
    assert.equal(await session.next(), '42["welcome",{}]');
    return session;
  }

  /**
   * A session that has been in `/leaving`, and the id that it had there. It waits until the server has handled the
   * DISCONNECT: Node does so a moment after it has read the packet, and takes what it has read with it for earlier.
   */
  async function disconnected(t) {
    const { watcher, name } = await watching(t, calm.url);
    const session = await openSession(t, calm.url);
    const id = sidOf(await session.connect("/leaving", JSON.stringify({ name })), "40/leaving,");
    session.send("41/leaving,");
    assert.equal(await reasonOf(watcher, name), "client namespace disconnect");
    return { session, id };
  }

  describe(`CONNECT, ${transport}`, () => {
    const accepted = {
      "to `/`": ["40", "40", '42["welcome",{}]'],
      "to `/`, by name": ["40/,", "40", '42["welcome",{}]'],
      "to `/` with a payload": ['40{"token":"123"}', "40", '42["welcome",{"token":"123"}]'],
      "to a namespace": ["40/custom,", "40/custom,", '42/custom,["welcome",{}]'],
      "to a namespace, without the comma": ["40/custom", "40/custom,", '42/custom,["welcome",{}]'],
      "to a namespace with a payload": [
        '40/custom,{"token":"abc"}',
        "40/custom,",
        '42/custom,["welcome",{"token":"abc"}]',
      ],
    };
    for (const [name, [packet, prefix, greeting]] of Object.entries(accepted)) {
      test(`${name} is answered with the id of the socket`, async (t) => {
        const session = await openSession(t, calm.url);
        session.send(packet);
        assert.equal(typeof sidOf(await session.next(), prefix), "string");
        assert.equal(await session.next(), greeting);
      });
    }

    for (const packet of ["40/random", "40/random,", '40/random,{"token":"abc"}']) {
      test(`${packet} is answered with an error, and the session goes on`, async (t) => {
        const session = await openSession(t, calm.url);
        session.send(packet);
        assert.equal(await session.next(), '44/random,{"message":"Invalid namespace"}');
        assert.match(await session.connect("/"), /^40\{/);
      });
    }

    // The query belongs to the name. Version 2 of Socket.IO had it apart, and so does its documentation of the packets;
    // the official client takes it off a URL before it sends CONNECT.
    test("to a namespace with a query names another namespace", async (t) => {
      const session = await openSession(t, calm.url);
      session.send("40/custom?token=abc,");
      assert.equal(await session.next(), '44/custom?token=abc,{"message":"Invalid namespace"}');
    });

    for (const packet of [
      "4abc",
      "4",
      "40[1]",
      '40"text"',
      "40null",
      "40{",
      '42["echo",1]',
      "43[1]",
      '430["x"]',
      "41",
      '42/custom,["echo",1]',
      '44{"message":"x"}',
      Buffer.from([1]),
    ]) {
      test(`${text(packet)} in place of CONNECT ends the session`, async (t) => {
        const session = await openSession(t, calm.url);
        session.send(packet);
        await session.closed;
      });
    }

    test("a second one to the same namespace ends the session", async (t) => {
      const session = await connected(t);
      session.send("40");
      await session.closed;
    });

    // At the same time, for each waits for the server's clock.
    describe("not in time", { concurrency: true }, () => {
      test("ends the session", async (t) => {
        await (
          await openSession(t, impatient.url)
        ).closed;
      });

      test("or to an unknown namespace only, ends the session", async (t) => {
        const session = await openSession(t, impatient.url);
        session.send("40/random");
        assert.equal(await session.next(), '44/random,{"message":"Invalid namespace"}');
        await session.closed;
      });

      test("is harmless when another was in time", async (t) => {
        const [late, session] = [await openSession(t, impatient.url), await openSession(t, impatient.url)];
        await session.connect("/custom");
        await session.next();
        await late.closed;
        session.send('42/custom,["echo","still here"]');
        assert.equal(await session.next(), '42/custom,["echo","still here"]');
      });
    });
  });

  describe(`ids, ${transport}`, () => {
    test("every namespace has an id of its own, which its script knows and which is not the secret sid", async (t) => {
      const session = await openSession(t, calm.url);
      const ids = [];
      for (const [namespace, address] of [
        ["/", ""],
        ["/custom", "/custom,"],
      ]) {
        const id = sidOf(await session.connect(namespace), `40${address}`);
        await session.next();
        session.send(`42${address}7["id"]`);
        assert.equal(await session.next(), `43${address}7["${id}"]`);
        ids.push(id);
      }
      assert.equal(new Set([...ids, session.open.sid]).size, 3);
    });

    test("a socket that comes back has another id", async (t) => {
      const { session, id } = await disconnected(t);
      assert.notEqual(sidOf(await session.connect("/leaving"), "40/leaving,"), id);
    });
  });

  describe(`DISCONNECT, ${transport}`, () => {
    test("by the client from one namespace leaves the others", async (t) => {
      const session = await connected(t);
      await session.connect("/custom");
      await session.next();
      session.send("41/custom,");
      session.send('42["echo","to the other"]');
      assert.equal(await session.next(), '42["echo","to the other"]');
    });

    test("by the client from its only namespace leaves the session", async (t) => {
      const session = await connected(t);
      session.send("41");
      assert.match(await session.connect("/custom"), /^40\/custom,\{"sid":/);
    });

    test("by the client: a later event ends the session", async (t) => {
      const { session } = await disconnected(t);
      session.send('42/leaving,["echo",1]');
      await session.closed;
    });

    test("by the server from one namespace leaves the others", async (t) => {
      const session = await connected(t);
      await session.connect("/custom");
      await session.next();
      session.send('42["disconnect me"]');
      assert.equal(await session.next(), "41");
      session.send('42/custom,["echo","to the other"]');
      assert.equal(await session.next(), '42/custom,["echo","to the other"]');
    });

    test("by the server from all of them ends the session", async (t) => {
      const session = await connected(t);
      await session.connect("/custom");
      await session.next();
      session.send('42["close me"]');
      assert.deepEqual([await session.next(), await session.next()].sort(), ["41", "41/custom,"]);
      await session.closed;
    });
  });

  describe(`events, ${transport}`, () => {
    const values = ['1,"2",{"3":[true]}', "null,[],{}", '"é 漢 🎉"', "0.5,-7,1000000000", '"a,b","[","/custom,"'];
    for (const value of values) {
      test(`${value} comes back`, async (t) => {
        const session = await connected(t);
        session.send(`42["echo",${value}]`);
        assert.equal(await session.next(), `42["echo",${value}]`);
      });

      test(`${value} comes back in an ack`, async (t) => {
        const session = await connected(t);
        session.send(`42456["answer",${value}]`);
        assert.equal(await session.next(), `43456[${value}]`);
      });
    }

    test("binary comes back", async (t) => {
      const session = await connected(t);
      const packet = '452-["echo",{"_placeholder":true,"num":0},{"deep":[{"_placeholder":true,"num":1}]}]';
      const bytes = [Buffer.from([1, 2, 3]), Buffer.from([4, 5, 6])];
      session.send(packet, ...bytes);
      assert.deepEqual(await take(session, 3), [packet, ...bytes]);
    });

    test("binary comes back in an ack", async (t) => {
      const session = await connected(t);
      const bytes = [Buffer.from([1, 2, 3]), Buffer.from([])];
      session.send('452-789["answer",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]', ...bytes);
      assert.deepEqual(await take(session, 3), [
        '462-789[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]',
        ...bytes,
      ]);
    });

    test("attachments in another order than their placeholders find their places", async (t) => {
      const session = await connected(t);
      session.send(
        '452-["echo",{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]',
        Buffer.from([1]),
        Buffer.from([2]),
      );
      const packet = '452-["echo",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]';
      assert.deepEqual(await take(session, 3), [packet, Buffer.from([2]), Buffer.from([1])]);
    });

    test("the client's ack of plain values comes to the script", async (t) => {
      const session = await connected(t);
      session.send('42["ask me","how many?"]');
      const [, id] = (await session.next()).match(/^42(\d+)\["question","how many\?"\]$/);
      session.send(`43${id}[{"n":[1]}]`);
      assert.equal(await session.next(), '42["answered",{"n":[1]}]');
    });

    test("the client's ack of binary comes to the script", async (t) => {
      const session = await connected(t);
      session.send('451-["ask me",{"_placeholder":true,"num":0}]', Buffer.from([1]));
      const [, id] = (await session.next()).match(/^451-(\d+)\["question",\{"_placeholder":true,"num":0\}\]$/);
      assert.deepEqual(await session.next(), Buffer.from([1]));
      session.send(`461-${id}[{"_placeholder":true,"num":0}]`, Buffer.from([2]));
      assert.deepEqual(await take(session, 2), ['451-["answered",{"_placeholder":true,"num":0}]', Buffer.from([2])]);
    });

    test("an unknown event is harmless", async (t) => {
      const session = await connected(t);
      session.send(
        '42["nobody listens",1]',
        '429["nobody answers"]',
        '451-["nobody listens",{"_placeholder":true,"num":0}]',
        Buffer.from([1]),
      );
      session.send('42["echo","still here"]');
      assert.equal(await session.next(), '42["echo","still here"]');
    });

    test("an ack that nobody waits for is harmless", async (t) => {
      const session = await connected(t);
      session.send('43999["x"]', '461-999[{"_placeholder":true,"num":0}]', Buffer.from([1]));
      session.send('42["echo","still here"]');
      assert.equal(await session.next(), '42["echo","still here"]');
    });
  });

  describe(`event names, ${transport}`, () => {
    const names = {
      "chat/join": ['"chat/join"', '"chat\\/join"', '"\\u0063hat/join"'],
      café: ['"café"', '"caf\\u00e9"', '"caf\\u00E9"'],
      "🎉": ['"🎉"', '"\\ud83c\\udf89"', '"\\uD83C\\uDF89"'],
      'a "quoted" name': ['"a \\"quoted\\" name"', '"a \\u0022quoted\\u0022 name"'],
      "two\nlines": ['"two\\nlines"', '"two\\u000alines"'],
      "": ['""'],
      // Node emits these by what JavaScript makes of the number.
      5: ['"5"', "5", "5.0"],
      100: ["100", "1e2"],
      0.5: ["0.5", "5e-1"],
    };
    for (const [name, writtenAs] of Object.entries(names)) {
      for (const written of writtenAs) {
        test(`${written} reaches the listener of ${JSON.stringify(name)}, with and without an ack`, async (t) => {
          const session = await openSession(t, calm.url);
          await session.connect("/names");
          session.send(`42/names,[${written},"x"]`, `42/names,7[ ${written} , "y"]`);
          // Node's server sends what the listener emitted before the ack. The order is not what this is about.
          const packets = (await take(session, 3)).sort();
          assert.deepEqual(
            packets.map((packet) => packet.slice(0, "4x/names,".length)),
            ["42/names,", "42/names,", "43/names,"],
          );
          const [first, second] = packets.map((packet) =>
            JSON.parse(packet.slice("42/names,".length + (packet[1] === "3"))),
          );
          assert.deepEqual(
            [first, second],
            [
              [name, "x"],
              [name, "y"],
            ],
          );
          assert.equal(packets[2], `43/names,7${JSON.stringify([[name, "y"]])}`);
        });
      }
    }

    test("an escaped name of an event with attachments is understood, too", async (t) => {
      const session = await openSession(t, calm.url);
      await session.connect("/names");
      session.send('451-/names,["caf\\u00e9",{"_placeholder":true,"num":0}]', Buffer.from([1]));
      const packet = '451-/names,["café",{"_placeholder":true,"num":0}]';
      assert.deepEqual(await take(session, 2), [packet, Buffer.from([1])]);
    });

    for (const written of [
      "null",
      "true",
      "{}",
      "[]",
      '"connect"',
      '"disconnect"',
      '"newListener"',
      '"dis\\u0063onnect"',
    ]) {
      test(`${written} is no name of an event and ends the session`, async (t) => {
        const session = await connected(t);
        session.send(`42[${written},1]`);
        await session.closed;
      });
    }
  });

  describe(`invalid packets, ${transport}`, () => {
    const wrong = {
      "an unknown type": ["4abc"],
      "a type beyond the last": ["47"],
      "no type": ["4"],
      "an event that is no array": ["42{}"],
      "an event that is a string": ['42"echo"'],
      "an event without a name": ["42[]"],
      "an event that is no JSON": ['42["echo",'],
      "something behind an event": ['42["echo"]x'],
      "an ack id that is no number": ['42abc["echo",1]'],
      "an ack that is no array": ["430{}"],
      "DISCONNECT with a payload": ["41{}"],
      CONNECT_ERROR: ['44{"message":"x"}'],
      "an event to a namespace that the client is not in": ['42/custom,["echo",1]'],
      "DISCONNECT from a namespace that the client is not in": ["41/custom,"],
      "a binary event without a number of attachments": ['45["echo",{"_placeholder":true,"num":0}]'],
      "a binary event of a number that is none": ['45x-["echo",{"_placeholder":true,"num":0}]'],
      "a binary event of no attachments": ['450-["echo"]'],
      "a negative number of attachments": ['45-1-["echo"]'],
      "bytes that nobody announced": [Buffer.from([1])],
      "text in place of an attachment": ['451-["echo",{"_placeholder":true,"num":0}]', '42["echo",1]'],
      "a placeholder without an attachment": ['451-["echo",{"_placeholder":true,"num":1}]', Buffer.from([1])],
      "a placeholder of a number that is none": ['451-["echo",{"_placeholder":true,"num":"0"}]', Buffer.from([1])],
    };
    for (const [name, packets] of Object.entries(wrong)) {
      test(`${name} ends the session`, async (t) => {
        const session = await connected(t);
        session.send(...packets);
        await session.closed;
      });
    }
  });
}

describe("the answer to CONNECT comes when `on_connection` has run", () => {
  const ROUNDS = 20;

  /** Asks about a socket by a connection of its own. */
  async function observer(t) {
    const web = await openWeb(t, calm.url);
    await web.connect("/slow", '{"observer":true}');
    return async (id) => {
      web.send(`42/slow,1["is ready","${id}"]`);
      assert.equal(await web.next(), "43/slow,1[true]");
    };
  }

  for (const [transport, openSession] of Object.entries(sessions)) {
    test(transport, async (t) => {
      const isReady = await observer(t);
      for (let n = 0; n < ROUNDS; n++) {
        const session = await openSession(t, calm.url);
        await isReady(sidOf(await session.connect("/slow"), "40/slow,"));
      }
    });
  }

  test("WebSocket, many at the same time", async (t) => {
    await Promise.all(
      Array.from({ length: ROUNDS }, async () => {
        const [isReady, session] = [await observer(t), await openWeb(t, calm.url)];
        await isReady(sidOf(await session.connect("/slow"), "40/slow,"));
      }),
    );
  });

  onEachTransport("by the official client", ({ connect }) => {
    test("in many rounds", async (t) => {
      const isReady = await observer(t);
      for (let n = 0; n < ROUNDS; n++) {
        const client = await connect(t, calm.url, "/slow");
        await isReady(client.socket.id);
        client.manager._close();
      }
    });
  });
});

/** The id in an answer to CONNECT, which has nothing else. */
function sidOf(packet, prefix) {
  assert.equal(packet.slice(0, prefix.length), prefix);
  const answer = JSON.parse(packet.slice(prefix.length));
  assert.deepEqual(Object.keys(answer), ["sid"]);
  return answer.sid;
}

async function take(session, count) {
  const packets = [];
  while (packets.length < count) packets.push(await session.next());
  return packets;
}

function text(packet) {
  return typeof packet === "string" ? packet : "an attachment";
}
