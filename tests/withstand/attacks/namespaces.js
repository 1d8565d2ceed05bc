// Clients that enter namespaces without end, and enter and leave them again and again.
import { Web, isServed, until } from '../by-hand.js';

const INSTANCES = 10_000;
const ALLOWED = 32;
// Enough for all instances that `--max-namespaces 1000` allows.
const VISITS = 40;
const PAIRS = 3_000;

// Says whether a namespace lets a new client in.
async function letsIn(server, namespace, settings) {
  const web = new Web(server, settings);
  await web.next('0{');
  const answer = await web.connect(namespace);
  web.end();
  return answer.startsWith('40');
}

async function exhaustion(server, check) {
  const greedy = new Web(server);
  await greedy.next('0{');
  const answers = [];
  for (let n = 0; n < ALLOWED + 8; n += 1) answers.push(await greedy.connect(`/room/few-${n}`));
  const entered = answers.filter((answer) => answer.startsWith('40')).length;
  check(entered === ALLOWED, `it enters ${ALLOWED} namespaces, and entered ${entered}`);
  check(await letsIn(server, '/room/lobby'), 'others are let in while it stays');
  for (let n = 0; n < INSTANCES; n += 1) greedy.send(`40/room/${n},`);
  if (server.kind === 'node') {
    await until('all are entered', () => greedy.packets.some((packet) => packet.startsWith(`40/room/${INSTANCES - 1},`)));
  } else {
    await until('it is disconnected', () => !greedy.isOpen);
    const refused = await server.metric('patchcord_connects_refused_total');
    check(refused >= 8, `refusals are counted, and found ${refused}`);
  }
  check(await letsIn(server, '/room/lobby'), 'others are let in afterwards');
  check(await isServed(server), 'others are served');
  const lines = server.output.split('\n').length;
  check(lines < 40, `the log has a few lines, and found ${lines}`);
  const more = greedy.isOpen ? `${INSTANCES} entered` : 'disconnected at a flood';
  return `${entered} entered of ${answers.length}; ${more}; memory at most ${server.memory().peak} MB`;
}

// A client that stays within its limit, leaves, and comes back, again and again.
async function comesBack(server, check) {
  const from = (address) => ({ headers: { 'X-Forwarded-For': address } });
  const early = await Web.enter(server, '/room/lobby', from('198.51.100.1'));
  let entered = 0;
  const visit = async (c) => {
    const web = new Web(server, from('203.0.113.9'));
    await web.next('0{');
    for (let n = 0; n < ALLOWED; n += 1) web.send(`40/room/${c}-${n},`);
    await until('all are answered', () => web.packets.filter((packet) => /^4[04]/.test(packet)).length === ALLOWED);
    entered += web.packets.filter((packet) => packet.startsWith('40')).length;
    web.end();
    await web.closed;
  };
  for (let c = 0; c < VISITS; c += 10) await Promise.all(Array.from({ length: 10 }, (_, n) => visit(c + n)));
  check(await letsIn(server, '/room/other', from('198.51.100.2')), 'others are let in');
  check((await early.ask('/room/lobby', 'echo', 1))[0] === 1, 'who is in a room is served');
  return `${entered} entered; others are let in; memory at most ${server.memory().peak} MB`;
}

// Enters and leaves `namespace(n)`, again and again.
const pairs = (namespace) => async (server, check) => {
  const restless = new Web(server);
  await restless.next('0{');
  for (let n = 0; n < PAIRS; n += 1) {
    restless.send(`40${namespace(n)},`);
    restless.send(`41${namespace(n)},`);
  }
  if (server.kind === 'node') {
    const last = `40${namespace(PAIRS - 1)},`;
    await until('all are entered', () => restless.packets.some((packet) => packet.startsWith(last)) || !restless.isOpen);
    const count = restless.packets.filter((packet) => packet.startsWith('40')).length;
    return `${count} entered${restless.isOpen ? '' : ', then disconnected'}`;
  }
  await until('it is disconnected', () => !restless.isOpen);
  const entered = await server.metric('patchcord_sockets_connected_total');
  check(entered < 200, `\`on_connection\` runs a few times, and ran ${entered} times`);
  check(await isServed(server), 'others are served');
  return `${entered} entered, then disconnected`;
};

export default [
  { name: `${INSTANCES} instances of a dynamic namespace, one client`, run: exhaustion, options: ['--metrics'] },
  { name: `${VISITS} times ${ALLOWED} instances of 1,000, by a client that leaves and comes back`, run: comesBack, only: 'patchcord',
    options: ['--trust-proxy=1', '--max-namespaces', '1000', '--metrics'] },
  { name: `${PAIRS} times CONNECT and DISCONNECT`, run: pairs(() => '/good'), options: ['--metrics'] },
  { name: `the same, each in another instance`, run: pairs((n) => `/room/${n}`), options: ['--metrics'] },
];
