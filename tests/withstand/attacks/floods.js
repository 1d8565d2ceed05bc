// Packets without end that a limit on events would not see.
import { Poll, Web, isServed, until } from '../by-hand.js';

const MANY = 100_000;

// Sends so many packets until the server has enough of them.
async function sendAll(web, packet) {
  for (let n = 0; n < MANY && web.isOpen; n += 1) {
    packet(n);
    if (n % 1000 === 0) await new Promise(setImmediate);
  }
}

const flood = (send) => async (server, check) => {
  const web = await Web.enter(server, '/good');
  await sendAll(web, (n) => send(web, n));
  if (server.kind === 'node') {
    await web.ask('/good', 'echo', 1);
    return 'all taken';
  }
  await until('it is disconnected', () => !web.isOpen);
  check(await isServed(server), 'others are served');
  const ended = await server.metric('patchcord_clients_disconnected_total');
  check(ended === 1, `it is counted once, and found ${ended}`);
  const told = server.output.match(/.* disconnected: .*/g) ?? [];
  check(told.length === 1, `one line says so, and found ${told.length}`);
  return told[0]?.replace(/^.*disconnected: /, 'disconnected: ') ?? '';
};

async function polled(server, check) {
  const poll = await Poll.open(server);
  await poll.post('40/good,');
  await poll.next('40/good,');
  const status = await poll.post(...Array.from({ length: 20_000 }, () => '42/good,["echo",1]'));
  if (server.kind === 'node') return `status ${status}`;
  const ended = await until('it is disconnected', () => server.metric('patchcord_clients_disconnected_total'));
  check(ended === 1, `it is counted once, and found ${ended}`);
  check(await isServed(server), 'others are served');
  const told = server.output.match(/.* disconnected: .*/g) ?? [];
  check(told.length === 1, `one line says so, and found ${told.length}`);
  return told[0]?.replace(/^.*disconnected: /, 'disconnected: ') ?? '';
}

const options = ['--max-events-per-second', '10', '--metrics'];

export default [
  { name: `${MANY} pongs`, run: flood((web) => web.send('3')), options },
  { name: `${MANY} acks that nobody asked for`, run: flood((web, n) => web.send(`43/good,${n}[1]`)), options },
  { name: `${MANY} events`, run: flood((web) => web.send('42/good,["echo",1]')), options },
  { name: `${MANY} pings of the WebSocket`, run: flood((web) => web.isOpen && web.socket.ping()), options },
  { name: '20,000 events in one POST', run: polled, options },
];
