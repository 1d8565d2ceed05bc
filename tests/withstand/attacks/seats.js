// Sessions that nobody uses.
import { Poll, Tcp, isServed, request, target, until } from '../by-hand.js';

const HANDSHAKES = 20_000;
const ATTACKER = 'X-Forwarded-For: 203.0.113.9';
const other = (n) => ({ headers: { 'X-Forwarded-For': `198.51.100.${n % 250}` } });

async function handshakes(server, check) {
  const before = server.memory().now;
  const tcp = new Tcp(server);
  const one = request('GET', target('polling'), [ATTACKER]);
  for (let sent = 0; sent < HANDSHAKES; sent += 1000) tcp.socket.write(one.repeat(1000));
  let others = 0;
  const isAnswered = () => tcp.received.split('HTTP/1.1 ').length > HANDSHAKES;
  while (tcp.isOpen && !isAnswered()) {
    check(await isServed(server, '/good', other(others)), 'a client of another address connects meanwhile');
    others += 1;
  }
  check(await isServed(server, '/good', other(others)), 'a client of another address connects afterwards');
  const statuses = tcp.received.match(/HTTP\/1\.1 \d+/g).map((status) => status.slice(9));
  check(statuses.length === HANDSHAKES, `each is answered, and found ${statuses.length}`);
  const opened = statuses.filter((status) => status === '200').length;
  check(opened <= 3_334, `one address opens a third of half of 20,000 sessions, and opened ${opened}`);
  tcp.end();
  return `${opened} opened, ${others} others connected meanwhile, memory ${before} to ${server.memory().peak} MB`;
}

async function fromLoopback(server, check) {
  const polls = [];
  for (let n = 0; n < 50; n += 1) polls.push(await Poll.open(server));
  check(polls.length === 50, 'from loopback, no limit per address holds');
  check(await isServed(server), 'and clients are served');
  const far = { headers: { 'X-Forwarded-For': '203.0.113.9' } };
  const first = [await Poll.open(server, far.headers), await Poll.open(server, far.headers)];
  await until('the third one of a far address is refused', async () =>
    (await fetch(server.url + target('polling'), far)).status === 429);
  return `${polls.length} opened from loopback, ${first.length} of a far address`;
}

export default [
  { name: `${HANDSHAKES} handshakes of one address in one go`, run: handshakes, options: ['--trust-proxy=1'] },
  { name: 'limits per address, from loopback', run: fromLoopback, only: 'patchcord',
    options: ['--trust-proxy=1', '--max-connections-per-address', '2'] },
];
