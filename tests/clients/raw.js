// Engine.IO spoken by hand, so that the tests see every packet, and can send what no client would.
//
// In: an address. Out: a `Web` (WebSocket) or a `Poll` (long polling). Both answer the server's pings unless they are
// told to be silent, and hand over every other packet in order.

import { WebSocket } from "ws";
import { DEADLINE_MS, deferred } from "./server.js";

const PING = "2";
const PONG = "3";

/** The address of the Engine.IO endpoint with these parameters; an undefined one is left out. */
export function endpoint(url, parameters) {
  const address = new URL("/socket.io/", url);
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined) address.searchParams.set(name, value);
  }
  return address;
}

/** Opens a WebSocket session; `open` is the server's handshake. */
export async function openWeb(t, url, settings) {
  const web = new Web(t, url, {}, settings);
  web.open = JSON.parse((await web.next()).slice(1));
  return web;
}

export class Web {
  #packets = [];
  #waiting = [];
  #silent;
  #closed;

  constructor(t, url, parameters = {}, { silent = false } = {}) {
    const address = endpoint(url, { EIO: 4, transport: "websocket", ...parameters });
    address.protocol = "ws";
    this.#silent = silent;
    this.web = new WebSocket(address);
    this.web.on("message", (data, binary) => this.#received(binary ? data : data.toString()));
    this.#closed = new Promise((resolve) => this.web.on("close", resolve).on("error", () => {}));
    /** Answers when the server has agreed to the WebSocket; fails with its refusal. */
    this.opened = new Promise((resolve, reject) => this.web.once("open", resolve).once("error", reject));
    this.opened.catch(() => {});
    t.after(() => this.web.terminate());
  }

  send(...packets) {
    for (const packet of packets) this.web.send(packet);
  }

  /** Answers when the connection is over, or never came to be. */
  get closed() {
    const { promise, resolve } = deferred(() => "the connection was not closed");
    this.#closed.then(resolve);
    return promise;
  }

  /** The next packet: a string, or the bytes of an attachment. */
  next() {
    if (this.#packets.length) return Promise.resolve(this.#packets.shift());
    const { promise, resolve } = deferred(() => `no packet came; the connection is in state ${this.web.readyState}`);
    this.#waiting.push(resolve);
    return promise;
  }

  /** Sends CONNECT and answers the server's packet. */
  connect(namespace, auth = "") {
    this.send(`40${namespace === "/" ? "" : `${namespace},`}${auth}`);
    return this.next();
  }

  #received(packet) {
    if (packet === PING && !this.#silent) return this.web.send(PONG);
    if (this.#waiting.length) this.#waiting.shift()(packet);
    else this.#packets.push(packet);
  }
}

/** Opens a polling session; `open` is the server's handshake. */
export async function openPoll(url, settings) {
  const poll = new Poll(url, settings);
  poll.open = JSON.parse((await poll.next()).slice(1));
  poll.sid = poll.open.sid;
  return poll;
}

class Poll {
  sid;
  #url;
  #packets = [];
  #silent;

  constructor(url, { silent = false } = {}) {
    this.#url = url;
    this.#silent = silent;
  }

  get address() {
    return endpoint(this.#url, { EIO: 4, transport: "polling", sid: this.sid });
  }

  /** One GET, as it is: `{ status, text }`. */
  get() {
    return this.#request({ method: "GET" });
  }

  /** One POST with these packets: `{ status, text }`. */
  post(...packets) {
    return this.#request({ method: "POST", body: packets.join("\x1e") });
  }

  /** The next packet, polling for it when there is none. */
  async next() {
    while (!this.#packets.length) {
      const { status, text } = await this.get();
      if (status !== 200) throw new Error(`the poll was answered with ${status}: ${text}`);
      const packets = text.split("\x1e");
      if (!this.#silent && packets.includes(PING)) await this.post(PONG);
      this.#packets = packets.filter((packet) => this.#silent || packet !== PING);
    }
    return this.#packets.shift();
  }

  /** Polls until the session is unknown, and answers the packets that came before that. */
  async untilGone() {
    const packets = [];
    for (const end = Date.now() + DEADLINE_MS; Date.now() < end; ) {
      const { status, text } = await this.get();
      if (status !== 200) return { packets, status };
      packets.push(...text.split("\x1e"));
    }
    throw new Error(`the session is still there after ${packets.length} packets, the last ones ${packets.slice(-3)}`);
  }

  async connect(namespace, auth = "") {
    await this.post(`40${namespace === "/" ? "" : `${namespace},`}${auth}`);
    return this.next();
  }

  async #request(request) {
    const response = await fetch(this.address, { ...request, signal: AbortSignal.timeout(DEADLINE_MS) });
    return { status: response.status, text: await response.text() };
  }
}

/** A polling session with the words of a WebSocket one. */
export function pollSession(poll) {
  let sent = Promise.resolve();
  return {
    open: poll.open,
    async connect(...args) {
      await sent;
      return poll.connect(...args);
    },
    send(...packets) {
      const texts = packets.map((packet) => (typeof packet === "string" ? packet : `b${packet.toString("base64")}`));
      sent = sent.then(() => poll.post(...texts));
    },
    async next() {
      await sent;
      const packet = await poll.next();
      return packet[0] === "b" ? Buffer.from(packet.slice(1), "base64") : packet;
    },
    get closed() {
      // A server that ends the session may end the connection of the request with it.
      return sent.catch(() => {}).then(() => poll.untilGone());
    },
  };
}

/** A client that hears of those who leave `/leaving` (of `twins/`), and a name for the one of this test. */
export async function watching(t, url) {
  const watcher = await openWeb(t, url);
  await watcher.connect("/leaving");
  return { watcher, name: t.name };
}

/** The reason for which the client of this name left. */
export async function reasonOf(watcher, name) {
  for (;;) {
    const [, who, reason] = JSON.parse((await watcher.next()).slice("42/leaving,".length));
    if (who === name) return reason;
  }
}
