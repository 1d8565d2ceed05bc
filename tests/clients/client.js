// The official client, with everything it hears kept in order, so that a test can ask for the next event of a name.
//
// In: an address. Out: a `Client`. What must stay true: no event is missed, however late a test asks for it.

import { Manager } from "socket.io-client";
import { describe } from "node:test";
import { deferred } from "./server.js";

/** The ways of travelling; every behaviour is tested on each. */
const transports = {
  "WebSocket": ["websocket"],
  "polling": ["polling"],
  "polling, then upgrade": ["polling", "websocket"],
};

/** Declares the same tests once for each transport. `tests` gets `{ open, connect, via }`, bound to the transports. */
export function onEachTransport(subject, tests) {
  for (const [name, via] of Object.entries(transports)) {
    describe(`${subject}, ${name}`, () => tests({ via, open: open.bind(null, via), connect: connect.bind(null, via) }));
  }
}

/** The same tools for tests that need a WebSocket. */
export const onWebSocket = { open: open.bind(null, ["websocket"]), connect: connect.bind(null, ["websocket"]) };

/** A new connection with one namespace; it is not waited for. `settings` are the official client's. */
function open(via, t, url, namespace = "/", settings = {}) {
  const manager = new Manager(url, { transports: via, reconnection: false, ...settings });
  t.after(() => manager._close());
  return new Client(manager, namespace, settings);
}

/** The same, connected. */
async function connect(via, t, url, namespace, settings) {
  const client = open(via, t, url, namespace, settings);
  const refused = new Promise((_, reject) => client.socket.once("connect_error", reject));
  await Promise.race([client.next("connect"), refused]);
  return client;
}

class Client {
  #heard = [];
  #waiting = [];

  constructor(manager, namespace, settings) {
    this.manager = manager;
    this.socket = manager.socket(namespace, settings);
    for (const event of ["connect", "disconnect", "connect_error"]) {
      this.socket.on(event, (...args) => this.#hear(event, args));
    }
    this.socket.onAny((event, ...args) => this.#hear(event, args));
  }

  /** Another namespace on the same connection. */
  beside(namespace) {
    return new Client(this.manager, namespace);
  }

  emit(...args) {
    this.socket.emit(...args);
  }

  /** Emits and answers all that the ack brought, as an array. */
  ask(...args) {
    const { promise, resolve } = deferred(() => `no ack for ${JSON.stringify(args)}; ${this.#story()}`);
    this.socket.emit(...args, (...answer) => resolve(answer));
    return promise;
  }

  /** The arguments of the next event of this name that no earlier `next` has taken. */
  next(event) {
    const at = this.#heard.findIndex((heard) => heard.event === event);
    if (at >= 0) return Promise.resolve(this.#heard.splice(at, 1)[0].args);
    const { promise, resolve } = deferred(() => `no event \`${event}\`; ${this.#story()}`);
    this.#waiting.push({ event, resolve });
    return promise;
  }

  /** The names of the events that came and were not taken. */
  get untaken() {
    return this.#heard.map(({ event }) => event);
  }

  /** Leaves, and waits until that is done. */
  async leave() {
    this.socket.disconnect();
    await this.next("disconnect");
  }

  #hear(event, args) {
    const at = this.#waiting.findIndex((waiting) => waiting.event === event);
    if (at >= 0) this.#waiting.splice(at, 1)[0].resolve(args);
    else this.#heard.push({ event, args });
  }

  #story() {
    return `connected: ${this.socket.connected}, untaken: ${JSON.stringify(this.#heard)}`;
  }
}
