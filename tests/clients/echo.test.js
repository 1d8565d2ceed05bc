// Every value a client can send comes back unchanged, as event and as ack.

import assert from "node:assert/strict";
import { test } from "node:test";
import { onEachTransport } from "./client.js";
import { serveAll, shippedScripts } from "./server.js";

const bytes = (...values) => Buffer.from(values);
const twice = bytes(7, 7, 7);

/** What a client sends, by name. Where JSON or the protocol makes something else of it, `comesBack` says what. */
const cases = {
  "no arguments": [],
  "integers": [0, 1, -1, 42, -2147483649, 4294967296],
  "the largest exact integers": [2 ** 53, -(2 ** 53), 2 ** 53 - 1],
  "floats": [0.1, -1.5, 1e300, 5e-324, 1.7976931348623157e308, 1e21, 3.141592653589793],
  "null and booleans": [null, false, true],
  "empty values": ["", [], {}],
  "strings": ["text", "ä ß 漢字 🎉 👩‍👩‍👧", "line\nbreak\ttab \"quoted\" back\\slash /", "\u2028\u2029\u0000\u001f\u007f\ufeff"],
  "text that looks like a packet": ["42[\"echo\"]", "/chat,1[]", "451-[]", "b64"],
  "keys that need care": [{ "": 1, "a\"b": 2, "ü🎉": 3, "with space": 4, default: 5, null: 6, constructor: 7 }],
  "a map whose first key needs an escape": [{ "\n": [1] }],
  "what looks like a placeholder": [{ _placeholder: true, num: 0 }],
  "arrays": [[1, [2, [3, []]]], [null, [], {}], [[]]],
  "a deep value": [{ a: { b: [{ c: { d: [1, { e: null }] } }] } }],
  "a long array": [Array.from({ length: 1000 }, (_, i) => i)],
  "eight arguments": [1, "two", 3.5, null, true, [6], { seven: 7 }, "eight"],
  "a big string": ["x".repeat(100_000)],
  "a big string of wide letters": ["漢".repeat(33_000)],
  "a buffer": [bytes(0, 1, 2, 127, 128, 255)],
  "an empty buffer": [bytes()],
  "two buffers in order": [bytes(1), bytes(2)],
  "the same buffer twice": [twice, twice],
  "buffers among other values": ["text", bytes(1, 2), 3, bytes(4), null],
  "nested buffers": [{ list: [bytes(1), { deep: bytes(2, 3) }], other: 1, last: bytes(4) }],
  "a big buffer": [Buffer.alloc(100_000, "patchcord")],
};

const converted = {
  "dates": { sent: [new Date(0), { at: new Date(86_400_000) }], comesBack: ["1970-01-01T00:00:00.000Z", { at: "1970-01-02T00:00:00.000Z" }] },
  "what JSON does not know": { sent: [undefined, NaN, { gone: undefined, kept: 1 }], comesBack: [null, null, { kept: 1 }] },
  "an ArrayBuffer": { sent: [Uint8Array.of(1, 2, 3).buffer], comesBack: [bytes(1, 2, 3)] },
  "typed arrays": {
    sent: [Uint8Array.of(9, 8), Uint16Array.of(258), new DataView(Uint8Array.of(1, 2, 3, 4).buffer, 1, 2)],
    comesBack: [bytes(9, 8), bytes(2, 1), bytes(2, 3)],
  },
};

onEachTransport("echo", ({ connect }) => {
  const server = serveAll(shippedScripts);

  for (const [name, { sent, comesBack }] of Object.entries({ ...plain(cases), ...converted })) {
    test(name, async (t) => {
      const client = await connect(t, server.url, "/echo");
      const [ack, event] = await Promise.all([client.ask("echo", ...sent), client.next("echo")]);
      assert.deepEqual(event, comesBack);
      assert.deepEqual(ack, comesBack);
    });
  }

  test("without asking for an ack", async (t) => {
    const client = await connect(t, server.url, "/echo");
    client.emit("echo", 1, "two");
    assert.deepEqual(await client.next("echo"), [1, "two"]);
  });

  test("by `emitWithAck`", async (t) => {
    const client = await connect(t, server.url, "/echo");
    assert.deepEqual(await client.socket.emitWithAck("echo", { a: [1] }), { a: [1] });
  });

  test("by `timeout().emitWithAck`", async (t) => {
    const client = await connect(t, server.url, "/echo");
    assert.equal(await client.socket.timeout(10_000).emitWithAck("echo", "in time"), "in time");
  });

  test("by `timeout().emit`", async (t) => {
    const client = await connect(t, server.url, "/echo");
    const answer = await new Promise((resolve) => {
      client.socket.timeout(10_000).emit("echo", 1, 2, (...answer) => resolve(answer));
    });
    assert.deepEqual(answer, [null, 1, 2]);
  });

  test("many events keep their order, and each ack finds its question", async (t) => {
    const client = await connect(t, server.url, "/echo");
    const numbers = Array.from({ length: 300 }, (_, i) => i);
    const acks = await Promise.all(numbers.map((n) => client.ask("echo", n)));
    assert.deepEqual(acks.flat(), numbers);
    for (const n of numbers) assert.deepEqual(await client.next("echo"), [n]);
  });
});

function plain(all) {
  return Object.fromEntries(Object.entries(all).map(([name, sent]) => [name, { sent, comesBack: sent }]));
}
