// The WebSocket handshake as RFC 6455, 4.2.1 and 4.2.2 ask for it. `SERVER=node` runs this file against Node's server,
// which is laxer in places, and writes its refusals as `text/html`; where it differs, the test says so.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, test } from "node:test";
import { endpoint, openPoll } from "./raw.js";
import { here, onNode, serveAll } from "./server.js";
import { exchange, openTcp, request } from "./tcp.js";

const server = serveAll(here("twins"), ["--ping-interval", "60s"]);

/** The key of the example in RFC 6455, 1.3. */
const KEY = "dGhlIHNhbXBsZSBub25jZQ==";
const RIGHT = {
  Upgrade: "websocket",
  Connection: "Upgrade",
  "Sec-WebSocket-Version": "13",
  "Sec-WebSocket-Key": KEY,
};

describe("agreed to:", () => {
  const right = {
    "the least that is needed": {},
    "several values of `Connection`, as browsers send": { Connection: "keep-alive, Upgrade" },
    "several values of `Connection` without spaces": { Connection: "keep-alive,Upgrade,x" },
    "several lines of `Connection`": { Connection: ["keep-alive", "Upgrade"] },
    "values in capitals": { Upgrade: "WebSocket", Connection: "UPGRADE" },
    "values in small letters": { Upgrade: "websocket", Connection: "upgrade" },
    "another key": { "Sec-WebSocket-Key": Buffer.from("0123456789abcdef").toString("base64") },
    "a key with the last letters of base64": { "Sec-WebSocket-Key": Buffer.alloc(16, 0xfb).toString("base64") },
    "an extension that the server does not have": { "Sec-WebSocket-Extensions": "x-webkit-deflate-frame" },
    "headers of proxies, which nobody was told to trust": {
      "X-Forwarded-For": "203.0.113.1, 203.0.113.2",
      Via: "1.1 proxy",
    },
  };
  for (const [name, changed] of Object.entries(right)) {
    test(name, async (t) => {
      const headers = { ...RIGHT, ...changed };
      const answer = await handshake(t, headers);
      assert.equal(answer.status, 101);
      assert.equal(answer.headers.upgrade.toLowerCase(), "websocket");
      assert.equal(answer.headers.connection.toLowerCase(), "upgrade");
      assert.equal(answer.headers["sec-websocket-accept"], acceptOf(headers["Sec-WebSocket-Key"]));
      assert.equal(answer.headers["sec-websocket-extensions"], undefined);
    });
  }

  test("the example of the RFC", async (t) => {
    const answer = await handshake(t, RIGHT);
    assert.equal(answer.headers["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  });

  // No client may send them before it has the answer, and Node loses them.
  test("frames in the same breath as the request are read", { skip: onNode }, async (t) => {
    const tcp = openTcp(t, server.url);
    const connect = "\x81\x82\0\0\0\x0040";
    tcp.write(text(RIGHT) + connect);
    assert.equal((await tcp.answer()).status, 101);
    assert.match(await tcp.until(/40\{"sid":"[^"]+"\}.*\["welcome",\{\}\]/s), /^\x81.0\{"sid":/s);
  });
});

describe("rejected:", () => {
  /** Headers that differ from `RIGHT`, the status, and the status of Node where it is another. */
  const wrong = {
    "no `Upgrade`": [{ Upgrade: [] }, 400],
    "`Upgrade: h2c`": [{ Upgrade: "h2c" }, 400],
    "`Upgrade` of a longer word": [{ Upgrade: "websockets" }, 400],
    "no `Connection`": [{ Connection: [] }, 400],
    "`Connection` without `Upgrade`": [{ Connection: "keep-alive" }, 400],
    "`Connection` with a word that contains `Upgrade`": [{ Connection: "keep-alive, Upgraded" }, 400],
    "no version": [{ "Sec-WebSocket-Version": [] }, 426, 400],
    "version 99": [{ "Sec-WebSocket-Version": "99" }, 426, 400],
    // Node still agrees to version 8, which had another name for `Origin`.
    "version 8": [{ "Sec-WebSocket-Version": "8" }, 426, 101],
    "a version that is no number": [{ "Sec-WebSocket-Version": "x" }, 426, 400],
    "no key": [{ "Sec-WebSocket-Key": [] }, 400],
    "an empty key": [{ "Sec-WebSocket-Key": "" }, 400],
    "a key of one letter": [{ "Sec-WebSocket-Key": "x" }, 400],
    "a key of 15 bytes": [{ "Sec-WebSocket-Key": Buffer.alloc(15).toString("base64") }, 400],
    "a key of 17 bytes": [{ "Sec-WebSocket-Key": Buffer.alloc(17).toString("base64") }, 400],
    "a key without its padding": [{ "Sec-WebSocket-Key": KEY.slice(0, -2) }, 400],
    "a key with letters that base64 does not have": [{ "Sec-WebSocket-Key": `!${KEY.slice(1)}` }, 400],
    "two keys": [{ "Sec-WebSocket-Key": [KEY, KEY] }, 400, 400],
  };
  for (const [name, [changed, status, nodeStatus = status]] of Object.entries(wrong)) {
    test(name, async (t) => {
      const answer = await handshake(t, { ...RIGHT, ...changed });
      checkRefusal(answer, status, nodeStatus);
      if (status === 426 && !onNode) {
        assert.equal(answer.headers["sec-websocket-version"], "13");
        // RFC 9110, 15.5.22: the answer names the protocol that is required.
        assert.equal(answer.headers.upgrade?.toLowerCase(), "websocket");
      }
    });
  }

  // Node agrees to HTTP/1.0, and to any number of `Host`s in a request for an upgrade.
  test("HTTP/1.0", async (t) => {
    checkRefusal(await handshake(t, RIGHT, { version: "1.0" }), 400, 101);
  });

  test("no `Host`", async (t) => {
    checkRefusal(await handshake(t, RIGHT, { hosts: [] }), 400, 101);
  });

  test("two `Host`s", async (t) => {
    const { host } = new URL(server.url);
    checkRefusal(await handshake(t, RIGHT, { hosts: [host, host] }), 400, 101);
    checkRefusal(await handshake(t, RIGHT, { hosts: [host, "evil.example"] }), 400, 101);
  });

  for (const method of ["POST", "PUT", "HEAD"]) {
    test(`the method ${method}`, async (t) => {
      const answer = await exchange(t, server.url, request(server.url, method, address(), lines(RIGHT)));
      assert.equal(answer.status, 400);
      if (!onNode && method !== "HEAD")
        assert.deepEqual(JSON.parse(answer.body), { code: 2, message: "Bad handshake method" });
    });
  }

  test("a GET that asks for the transport and for no upgrade", async (t) => {
    const answer = await handshake(t, {});
    assert.equal(answer.status, 400);
    assert.match(answer.headers["content-type"], /^application\/json/);
    assert.deepEqual(JSON.parse(answer.body), { code: 3, message: "Bad request" });
  });

  test("an attempt for the session of a polling client, which goes on undisturbed", async (t) => {
    const poll = await openPoll(server.url);
    await poll.connect("/");
    await poll.next();
    for (const changed of [
      { "Sec-WebSocket-Key": "x" },
      { "Sec-WebSocket-Version": "99" },
      { Upgrade: "h2c" },
      { Connection: [] },
    ]) {
      const answer = await exchange(
        t,
        server.url,
        request(server.url, "GET", address({ sid: poll.sid }), lines({ ...RIGHT, ...changed })),
      );
      assert.ok(answer.status === 400 || answer.status === 426, `it was answered with ${answer.status}`);
    }
    await poll.post('42["echo","still here"]');
    assert.equal(await poll.next(), '42["echo","still here"]');
  });
});

/** Sends a handshake with these headers, of which an array is as many lines, and answers what came. */
function handshake(t, headers, how) {
  return exchange(t, server.url, text(headers, how));
}

function text(headers, how) {
  return request(server.url, "GET", address(), lines(headers), how);
}

function lines(headers) {
  return Object.entries(headers).flatMap(([name, values]) => [values].flat().map((value) => `${name}: ${value}`));
}

function address(parameters) {
  return endpoint(server.url, { EIO: 4, transport: "websocket", ...parameters });
}

function acceptOf(key) {
  return createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
}

function checkRefusal({ status, headers, body }, expected, onNodeExpected = expected) {
  assert.equal(status, onNode ? onNodeExpected : expected);
  if (onNode) return;
  assert.match(headers["content-type"], /^application\/json/);
  const { code, message, ...rest } = JSON.parse(body);
  assert.deepEqual([code, typeof message, rest], [3, "string", {}]);
}
