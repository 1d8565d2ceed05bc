// Good clients that check every answer, and those that do what they should not.
import { once } from 'node:events';
import { connect } from 'node:net';
import { Worker } from 'node:worker_threads';
import WebSocket from 'ws';

export const sleep = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

// Clients that check every answer, on a thread of their own: `times` in ms, `wrong` and `lost` once they have stopped.
export class Good {
  static async start(server, count = 1, pause = 5) {
    const good = new Good();
    good.worker = new Worker(new URL('./good.js', import.meta.url), { workerData: { url: server.url, pause, count } });
    await once(good.worker, 'message');
    return good;
  }

  async stop() {
    this.worker.postMessage('stop');
    const [found] = await once(this.worker, 'message');
    Object.assign(this, found);
    await this.worker.terminate();
  }
}

// A WebSocket in a namespace, packet by packet.
export function raw(server, namespace) {
  const socket = new WebSocket(`${server.url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket`);
  socket.on('error', () => {});
  const ready = new Promise((resolve) => {
    socket.on('message', (data) => {
      const packet = data.toString();
      if (packet.startsWith('0')) socket.send(`40${namespace},`);
      if (packet === '2') socket.send('3');
      if (packet.startsWith('40')) resolve(true);
    });
    socket.on('close', () => resolve(false));
  });
  const emit = (event, ...args) => {
    if (socket.readyState === WebSocket.OPEN) socket.send(`42${namespace},${JSON.stringify([event, ...args])}`);
  };
  return { socket, ready, emit, isOpen: () => socket.readyState === WebSocket.OPEN };
}

// Does the same again and again, on a new connection when the old one is gone.
export async function insist(server, until, events, pause) {
  let client = null;
  for (let n = 0; performance.now() < until && server.alive; n += 1) {
    if (!client?.isOpen()) {
      client?.socket.terminate();
      client = raw(server, '/hostile');
      await Promise.race([client.ready, sleep(1000)]);
    }
    client.emit(...events[n % events.length]);
    await sleep(pause);
  }
  client?.socket.terminate();
}

// Connects, and never reads again.
export async function deaf(server) {
  const client = raw(server, '/good');
  await Promise.race([client.ready, sleep(1000)]);
  client.emit('join');
  await sleep(50);
  client.socket._socket?.pause();
  return client;
}

const PACKETS = ['0', '1', '2probe', '3', '5', '40', '40/good,', '40/good,{"token":1}', '41/good,', '42["echo",1]',
  '42/good,7["echo",{"a":[1,2,{"b":null}]}]', '43/good,1[1]', '44', '451-/good,["echo",{"_placeholder":true,"num":0}]',
  '4599999-["x"]', '46/good,1-3[]', '42/good,["disconnect"]', '42/good,["\u0000any"]', '2', '6', ''];

const pick = (list) => list[Math.floor(Math.random() * list.length)];

// A packet with some of its bytes changed, doubled, taken out or put elsewhere.
export function mutated() {
  const bytes = [...Buffer.from(pick(PACKETS))];
  for (let n = Math.floor(Math.random() * 5); n > 0; n -= 1) {
    const at = Math.floor(Math.random() * (bytes.length + 1));
    const change = Math.floor(Math.random() * 5);
    if (change === 0) bytes[at] = Math.floor(Math.random() * 256);
    if (change === 1) bytes.splice(at, 1);
    if (change === 2) bytes.splice(at, 0, ...bytes.slice(0, at));
    if (change === 3) bytes.splice(at, 0, ...Buffer.from(pick(['[', '{', '"', '\\u', ',', '-', '9'.repeat(20), '['.repeat(200)])));
    if (change === 4) bytes.splice(at, bytes.length, ...Buffer.from(pick(PACKETS)));
  }
  return Buffer.from(bytes);
}

// Sends mutated packets on connection after connection; gives how many.
export async function mutate(server, until) {
  let sent = 0;
  while (performance.now() < until && server.alive) {
    const client = raw(server, pick(['/good', '/hostile', '/none']));
    await Promise.race([client.ready, sleep(200)]);
    for (let n = 0; n < 50 && client.isOpen(); n += 1) {
      client.socket.send(mutated(), { binary: Math.random() < 0.3 });
      sent += 1;
    }
    await sleep(1);
    client.socket.terminate();
  }
  return sent;
}

// The beginning of a request, and nothing more.
export function loris(server) {
  const { hostname, port } = new URL(server.url);
  const socket = connect(Number(port), hostname, () => socket.write('GET /socket.io/?EIO=4 HTTP/1.1\r\nHost: x\r\n'));
  const stream = { socket, open: true };
  socket.on('error', () => {});
  socket.on('close', () => { stream.open = false; });
  return stream;
}
