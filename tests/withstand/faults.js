// One fault at a time on a fresh server, and what a good client sees of it: here, and on Node's server.
import { Good, deaf, insist, loris, mutate, raw, sleep } from './clients.js';
import { Server } from './server.js';

const BIG = 'x'.repeat(50_000);
const again = (event, pause = 50, many = 1) => (server, until) =>
  Promise.all(Array.from({ length: many }, () => insist(server, until, [[event]], pause)));

async function unread(server, until) {
  await deaf(server);
  await insist(server, until, [['flood', BIG]], 2);
}

async function attachments(server) {
  const client = raw(server, '/good');
  await client.ready;
  client.socket.send('459999-/good,["echo",1]');
  for (let n = 0; n < 200 && client.isOpen(); n += 1) {
    client.socket.send(Buffer.alloc(500_000));
    if (n % 20 === 0) await sleep(10);
  }
  await sleep(500);
  client.socket.terminate();
}

async function halfRequests(server, until) {
  const open = Array.from({ length: 300 }, () => loris(server));
  while (performance.now() < until) await sleep(100);
  const left = open.filter((stream) => stream.open).length;
  open.forEach((stream) => stream.socket.destroy());
  return `${left} of 300 still open`;
}

async function burst(server) {
  const client = raw(server, '/good');
  await client.ready;
  for (let n = 0; n < 100_000 && client.isOpen(); n += 1) {
    client.emit('echo', n);
    if (n % 1000 === 0) await sleep(0);
  }
  await sleep(1000);
  client.socket.terminate();
}

const FAULTS = [
  ['a handler that never ends', again('spin')],
  ['the same on eight connections at once', again('spin', 10, 8)],
  ['a handler that throws', again('throw')],
  ['a function that calls itself without end', again('recurse')],
  ['a handler that fills the memory', again('fill')],
  ['an array that holds itself, deeper and deeper', again('nest')],
  ['listeners without end', again('listen')],
  ['timers without end', again('timers')],
  ['a sort whose comparison never ends', again('sort')],
  ['100 KB more kept at each event', again('keep', 2)],
  ['a client that does not read', unread],
  ['mutated packets', mutate],
  ['a packet of 9,999 attachments', attachments],
  ['300 requests that stop half-way', halfRequests],
  ['100,000 events in one go', burst],
];

async function run(kind, fault, seconds) {
  const server = await Server.start(kind);
  const good = await Good.start(server);
  const before = server.memory().now;
  const until = performance.now() + seconds * 1000;
  const note = await Promise.race([fault(server, until), sleep(seconds * 1000 + 5000)]);
  await sleep(200);
  const gone = server.exited;
  const peak = server.memory().peak;
  await good.stop();
  const longest = Math.max(0, ...good.times);
  const answered = good.times.length - good.wrong;
  await server.stop();
  if (gone) return `ended (${gone})`;
  if (good.wrong || answered < seconds * 5) return `serves nobody: ${answered} answers in ${seconds} s`;
  const extra = typeof note === 'string' ? `; ${note}` : '';
  return `longest answer ${longest.toFixed(0)} ms, memory ${before} to ${peak} MB${extra}`;
}

export async function faults(seconds, kinds = ['patchcord', 'node']) {
  console.log(`| fault, for ${seconds} s | ${kinds.join(' | ')} |\n|---|${kinds.map(() => '---|').join('')}`);
  let held = true;
  for (const [name, fault] of FAULTS) {
    const row = [];
    for (const kind of kinds) row.push(await run(kind, fault, seconds));
    held &&= row[0].startsWith('longest');
    console.log(`| ${name} | ${row.join(' | ')} |`);
  }
  return held;
}
