// HTTP and Engine.IO by hand: what no client library sends, and every packet that comes back.
import { connect } from 'node:net';
import WebSocket from 'ws';
import { sleep } from './clients.js';

const DEADLINE_MS = 60_000;

// Waits until `fact` returns something true, and returns that.
export async function until(what, fact) {
  for (const end = performance.now() + DEADLINE_MS; performance.now() < end; await sleep(3)) {
    const found = await fact();
    if (found) return found;
  }
  throw new Error(`not within ${DEADLINE_MS} ms: ${what}`);
}

// Waits for a promise; fails with `what` when it takes too long.
export function within(what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${DEADLINE_MS} ms: ${what}`)), DEADLINE_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// A TCP connection: `received` is all that came, one character for each byte.
export class Tcp {
  constructor(server) {
    const { hostname, port } = new URL(server.url);
    this.received = '';
    this.isOpen = true;
    this.socket = connect(Number(port), hostname).setEncoding('latin1');
    this.socket.on('data', (text) => { this.received += text; });
    this.socket.on('error', () => {});
    this.socket.on('close', () => { this.isOpen = false; });
  }

  write(text) {
    return new Promise((resolve) => { this.socket.write(text, 'latin1', resolve); });
  }

  // The status of the first response; 0 when the connection ended without one.
  async status() {
    await until('a response, or the end', () => this.received.includes('\r\n\r\n') || !this.isOpen);
    return Number(this.received.match(/^HTTP\/1\.1 (\d+)/)?.[1] ?? 0);
  }

  end() { this.socket.destroy(); }
}

// The text of a request; `headers` are lines.
export function request(method, target, headers = [], host = 'localhost') {
  return [`${method} ${target} HTTP/1.1`, `Host: ${host}`, ...headers, '', ''].join('\r\n');
}

// Sends one request on a connection of its own and returns the status.
export async function statusOf(server, text) {
  const tcp = new Tcp(server);
  await tcp.write(text);
  const status = await tcp.status();
  tcp.end();
  return status;
}

export const target = (transport, sid, more = '') =>
  `/socket.io/?EIO=4&transport=${transport}${sid === undefined ? '' : `&sid=${sid}`}${more}`;

export const WEBSOCKET = ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='];

// A polling session: `packets` are those that came, pings left out.
export class Poll {
  static async open(server, headers = {}) {
    const poll = new Poll();
    Object.assign(poll, { server, headers, packets: [] });
    const [open] = await poll.get();
    poll.sid = JSON.parse(open.slice(1)).sid;
    return poll;
  }

  fetch(method, body, signal) {
    const { server, headers, sid } = this;
    return fetch(server.url + target('polling', sid), { method, headers, body, signal });
  }

  // The packets that one request brings; throws the status when it is refused.
  async get(signal) {
    const response = await this.fetch('GET', undefined, signal);
    const text = await response.text();
    if (response.status !== 200) throw new Error(`status ${response.status}: ${text}`);
    return text.split('\x1e');
  }

  async post(...packets) {
    const response = await this.fetch('POST', packets.join('\x1e'));
    await response.text();
    return response.status;
  }

  // Polls until a packet begins in this way, and returns its rest.
  async next(start) {
    for (;;) {
      const at = this.packets.findIndex((packet) => packet.startsWith(start));
      if (at >= 0) return this.packets.splice(at, 1)[0].slice(start.length);
      const packets = await this.get();
      if (packets.includes('2')) await this.post('3');
      this.packets.push(...packets);
    }
  }
}

// A WebSocket, packet by packet.
export class Web {
  constructor(server, { sid, headers = {}, more = '' } = {}) {
    const url = server.url.replace('http', 'ws') + target('websocket', sid, more);
    Object.assign(this, { packets: [], isOpen: true, refused: null });
    this.socket = new WebSocket(url, { headers, perMessageDeflate: false });
    this.socket.on('message', (data) => {
      const packet = data.toString();
      if (packet === '2') this.send('3');
      else this.packets.push(packet);
    });
    this.socket.on('error', () => {});
    this.socket.on('unexpected-response', (_, response) => {
      this.refused = response.statusCode;
      this.isOpen = false;
      response.resume();
    });
    this.closed = new Promise((resolve) => {
      this.socket.on('close', () => { this.isOpen = false; resolve(); });
    });
  }

  // Opens a session and enters a namespace.
  static async enter(server, namespace, settings) {
    const web = new Web(server, settings);
    await web.next('0{');
    const answer = await web.connect(namespace);
    if (!answer.startsWith('40')) throw new Error(`not let into ${namespace}: ${answer}`);
    web.id = answer.match(/"sid":"([^"]+)"/)[1];
    return web;
  }

  send(packet) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(packet);
  }

  // Sends CONNECT and returns the whole answer: `40` or `44`.
  async connect(namespace) {
    const place = namespace === '/' ? '' : `${namespace},`;
    this.send(`40${place}`);
    const starts = [`40${place}{`, `44${place}{`];
    const answer = await until(`an answer to CONNECT ${namespace}`, () =>
      this.take((packet) => starts.some((start) => packet.startsWith(start))) || (!this.isOpen && 'closed'));
    return answer;
  }

  take(matches) {
    const at = this.packets.findIndex(matches);
    return at < 0 ? undefined : this.packets.splice(at, 1)[0];
  }

  // Waits for a packet that begins in this way, and returns its rest.
  async next(start) {
    const found = await until(`a packet ${start}, in state ${this.socket.readyState}`, () => {
      if (!this.isOpen) throw new Error(`the client is disconnected before a packet ${start}`);
      return this.take((packet) => packet.startsWith(start));
    });
    return found.slice(start.length);
  }

  // Asks something that is answered, and returns the answer.
  async ask(namespace, event, ...args) {
    this.asked = (this.asked ?? 0) + 1;
    const place = namespace === '/' ? '' : `${namespace},`;
    this.send(`42${place}${this.asked}${JSON.stringify([event, ...args])}`);
    return JSON.parse(await this.next(`43${place}${this.asked}`));
  }

  pause() { this.socket._socket.pause(); }

  resume() { this.socket._socket.resume(); }

  end() { this.socket.terminate(); }
}

// Fails unless a client that comes now is served.
export async function isServed(server, namespace = '/good', settings = {}) {
  const web = await Web.enter(server, namespace, settings);
  const [answer] = await web.ask(namespace, 'echo', 7);
  web.end();
  return answer === 7;
}
