// A small Socket.IO client (protocol 5 on Engine.IO 4, WebSocket only), so that the built-in page needs no network.
//
// In: a namespace and what the page emits. Out: the server's events, and `connect`, `connect_error`, `disconnect`.
// What must stay true: all namespaces share one connection; a lost connection comes back by itself; events of one
// namespace are handed over in the order in which the server sent them.

const ENGINE = { open: "0", close: "1", ping: "2", pong: "3", message: "4" };
const PACKET = { connect: 0, disconnect: 1, event: 2, ack: 3, connectError: 4, binaryEvent: 5, binaryAck: 6 };
const BINARY = PACKET.binaryEvent - PACKET.event;
const RETRY_MS = { first: 500, longest: 5000 };

let shared;

/** Connects to a namespace of the server this page came from. */
export function connect(namespace = "/", { auth } = {}) {
  shared ??= new Connection(endpoint());
  return new Socket(shared, namespace, auth).connect();
}

/** The endpoint's address. A page names its path in `<meta name="socket-io-path">`, from where the page itself stands. */
function endpoint() {
  const path = document.querySelector('meta[name="socket-io-path"]')?.content ?? "/socket.io/";
  const url = new URL(path, document.baseURI);
  url.protocol = url.protocol.replace("http", "ws");
  url.search = "?EIO=4&transport=websocket";
  return url.href;
}

class Emitter {
  #listeners = new Map();

  /** Calls `listener` for each such event; the event `*` means every event that has no listener. */
  on(event, listener) {
    this.#listeners.set(event, [...(this.#listeners.get(event) ?? []), listener]);
  }

  off(event, listener) {
    const rest = (this.#listeners.get(event) ?? []).filter((other) => listener && other !== listener);
    rest.length ? this.#listeners.set(event, rest) : this.#listeners.delete(event);
  }

  hear(event, ...args) {
    const listeners = this.#listeners.get(event);
    for (const listener of listeners ?? this.#listeners.get("*") ?? []) {
      listeners ? listener(...args) : listener(event, ...args);
    }
  }
}

class Socket extends Emitter {
  #connection;
  #auth;
  #acks = new Map();
  #nextAck = 0;
  #waiting = [];

  id;

  constructor(connection, namespace, auth) {
    super();
    this.#connection = connection;
    this.#auth = auth;
    this.namespace = namespace;
  }

  get connected() {
    return this.id !== undefined;
  }

  connect() {
    this.#connection.add(this);
    return this;
  }

  disconnect() {
    if (this.connected) this.#connection.send({ type: PACKET.disconnect, namespace: this.namespace });
    this.#connection.remove(this);
    this.left("io client disconnect");
  }

  /** Sends an event; a function as last argument is called with the server's ack. Waits while there is no connection. */
  emit(event, ...args) {
    const packet = { type: PACKET.event, namespace: this.namespace, data: [event, ...args] };
    if (typeof args.at(-1) === "function") {
      packet.id = this.#nextAck++;
      this.#acks.set(packet.id, packet.data.pop());
    }
    this.connected ? this.#connection.send(packet) : this.#waiting.push(packet);
  }

  /** The connection is open: asks for the namespace. */
  opened() {
    this.#connection.send({ type: PACKET.connect, namespace: this.namespace, data: this.#auth });
  }

  /** The connection is lost, or one side has left the namespace. */
  left(reason) {
    if (!this.connected) return;
    this.id = undefined;
    this.#acks.clear();
    this.hear("disconnect", reason);
  }

  received({ type, id, data }) {
    if (type === PACKET.connect) {
      this.id = data.sid;
      for (const packet of this.#waiting.splice(0)) this.#connection.send(packet);
      this.hear("connect");
    } else if (type === PACKET.connectError) {
      this.#connection.remove(this);
      this.hear("connect_error", new Error(data.message));
    } else if (type === PACKET.disconnect) {
      this.#connection.remove(this);
      this.left("io server disconnect");
    } else if (type === PACKET.event) {
      const answer = (...args) => this.#connection.send({ type: PACKET.ack, namespace: this.namespace, id, data: args });
      this.hear(...data, ...(id === undefined ? [] : [answer]));
    } else if (type === PACKET.ack) {
      const ack = this.#acks.get(id);
      this.#acks.delete(id);
      ack?.(...data);
    }
  }
}

/** One WebSocket for all namespaces. It is open as long as there is a socket in `#sockets`. */
class Connection {
  #url;
  #sockets = new Map();
  #web;
  #ready = false;
  #attempts = 0;
  #retryTimer;
  #silenceTimer;
  #patience;
  #unfinished;

  constructor(url) {
    this.#url = url;
  }

  add(socket) {
    this.#sockets.set(socket.namespace, socket);
    if (this.#ready) socket.opened();
    else if (!this.#web) this.#open();
  }

  remove(socket) {
    if (this.#sockets.get(socket.namespace) === socket) this.#sockets.delete(socket.namespace);
    // Later, because a listener of the last socket may connect to another namespace.
    setTimeout(() => this.#sockets.size || this.#close("io client disconnect"));
  }

  send(packet) {
    const { text, attachments } = encode(packet);
    this.#web.send(ENGINE.message + text);
    for (const attachment of attachments) this.#web.send(attachment);
  }

  #open() {
    clearTimeout(this.#retryTimer);
    const web = (this.#web = new WebSocket(this.#url));
    web.binaryType = "arraybuffer";
    web.onmessage = ({ data }) => web === this.#web && this.#received(data);
    web.onclose = () => web === this.#web && this.#close("transport close");
  }

  #close(reason) {
    const web = this.#web;
    this.#web = undefined;
    this.#ready = false;
    this.#unfinished = undefined;
    clearTimeout(this.#silenceTimer);
    clearTimeout(this.#retryTimer);
    web?.close();
    for (const socket of this.#sockets.values()) socket.left(reason);
    if (this.#sockets.size && !this.#web) this.#retryLater();
  }

  // Spread out at random, so that a thousand pages do not come back in the same moment.
  #retryLater() {
    const pause = Math.min(RETRY_MS.first * 2 ** this.#attempts++, RETRY_MS.longest);
    this.#retryTimer = setTimeout(() => this.#open(), pause * (0.5 + Math.random()));
  }

  #received(data) {
    if (typeof data !== "string") return this.#attachment(data);
    const kind = data[0];
    if (kind === ENGINE.open) this.#opened(JSON.parse(data.slice(1)));
    else if (kind === ENGINE.close) this.#close("transport close");
    else if (kind === ENGINE.message) this.#packet(decode(data.slice(1)));
    else if (kind === ENGINE.ping) {
      this.#web.send(ENGINE.pong);
      this.#listenForPing();
    }
  }

  #opened({ pingInterval, pingTimeout }) {
    this.#ready = true;
    this.#attempts = 0;
    this.#patience = pingInterval + pingTimeout;
    this.#listenForPing();
    for (const socket of this.#sockets.values()) socket.opened();
  }

  #listenForPing() {
    clearTimeout(this.#silenceTimer);
    this.#silenceTimer = setTimeout(() => this.#close("ping timeout"), this.#patience);
  }

  #packet(packet) {
    if (packet.missing) this.#unfinished = { packet, attachments: [] };
    else this.#sockets.get(packet.namespace)?.received(packet);
  }

  #attachment(data) {
    if (!this.#unfinished) return this.#close("parse error");
    const { packet, attachments } = this.#unfinished;
    attachments.push(data);
    if (attachments.length < packet.missing) return;
    this.#unfinished = undefined;
    packet.data = replace(packet.data, (value) => (value?._placeholder === true ? attachments[value.num] : undefined));
    this.#packet({ ...packet, missing: 0 });
  }
}

/** A packet as text, with its binary values taken out, in order. */
function encode({ type, namespace, id = "", data }) {
  const attachments = [];
  const plain = replace(data, (value) => {
    if (!(value instanceof ArrayBuffer || ArrayBuffer.isView(value))) return undefined;
    return { _placeholder: true, num: attachments.push(value) - 1 };
  });
  const start = attachments.length ? `${type + BINARY}${attachments.length}-` : type;
  const place = namespace === "/" ? "" : `${namespace},`;
  return { text: `${start}${place}${id}${data === undefined ? "" : JSON.stringify(plain)}`, attachments };
}

/** The reverse of `encode`; `missing` tells how many attachments follow. */
function decode(text) {
  const [, type, missing, namespace, id, json] = /^(\d)(?:(\d+)-)?(?:(\/[^,]*),)?(\d+)?(.*)$/s.exec(text);
  return {
    type: missing === undefined ? Number(type) : Number(type) - BINARY,
    missing: Number(missing ?? 0),
    namespace: namespace ?? "/",
    id: id === undefined ? undefined : Number(id),
    data: json ? JSON.parse(json) : undefined,
  };
}

/** A copy of a JSON-like value; where `change` answers something, that stands in place of the value. */
function replace(value, change) {
  const changed = change(value);
  if (changed !== undefined) return changed;
  if (Array.isArray(value)) return value.map((item) => replace(item, change));
  if (value === null || typeof value !== "object" || typeof value.toJSON === "function") return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, replace(item, change)]));
}
