// Clients that do not read.
import { Poll, Web, isServed, until } from '../by-hand.js';

const BIG = 'x'.repeat(950_000);
const MANY = 60;
const BROADCASTS = 14;
const ASKING = 24;
const ANSWERS = 16;

async function inRoom(server, room) {
  const client = await Web.enter(server, '/good');
  await client.ask('/good', 'join room', room);
  return client;
}

async function deaf(server, room) {
  const client = await inRoom(server, room);
  client.pause();
  return client;
}

// Sends so many times 950 kB to a room in which `reader` is, and waits until it has all of them.
async function flood(server, room, times, reader) {
  const sender = await Web.enter(server, '/hostile');
  for (let n = 0; n < times; n += 1) {
    sender.send(`42/hostile,${JSON.stringify(['flood room', room, BIG])}`);
    if (reader) await reader.next('42/good,["news"');
  }
  return sender;
}

async function many(server, check) {
  const reader = await inRoom(server, 'all');
  await Promise.all(Array.from({ length: MANY }, () => deaf(server, 'all')));
  const before = server.memory().now;
  await flood(server, 'all', BROADCASTS, reader);
  check(await isServed(server), 'others are served');
  const { peak } = server.memory();
  check(peak - before < 60, `memory rises by less than 60 MB, and rose from ${before} to ${peak}`);
  return `memory ${before} to ${peak} MB`;
}

async function unpolled(server, check) {
  const reader = await inRoom(server, 'all');
  for (let n = 0; n < MANY; n += 1) {
    const poll = await Poll.open(server);
    await poll.post('40/good,');
    await poll.next('40/good,');
    await poll.post('42/good,["join"]');
  }
  const before = server.memory().now;
  await flood(server, 'all', BROADCASTS, reader);
  check(await isServed(server), 'others are served');
  const { peak } = server.memory();
  check(peak - before < 60, `memory rises by less than 60 MB, and rose from ${before} to ${peak}`);
  return `memory ${before} to ${peak} MB`;
}

// Clients that ask for 1 MB each time, and do not read the answers: nothing of that is shared. Without a
// bound on all of them, it would take some 200 MB.
async function answers(server, check) {
  const clients = await Promise.all(Array.from({ length: ASKING }, () => deaf(server, 'none')));
  const before = server.memory().now;
  const isSent = () => clients.every(({ socket }) => socket.readyState !== 1 || socket.bufferedAmount === 0);
  const isOver = async () =>
    server.kind === 'patchcord' && await server.metric('patchcord_slow_consumers_total') === ASKING;
  for (let n = 0; n < ANSWERS && !(await isOver()); n += 1) {
    for (const client of clients) client.send(`42/good,${n}["echo","${BIG}"]`);
    await until('all is sent, or over', async () => isSent() || isOver());
  }
  check(await isServed(server), 'others are served');
  const { peak } = server.memory();
  check(peak - before < 120, `memory rises by less than 120 MB, and rose from ${before} to ${peak}`);
  return `memory ${before} to ${peak} MB`;
}

async function writeTimeout(server, check) {
  const [reader, silent] = [await inRoom(server, 'all'), await inRoom(server, 'all')];
  silent.pause();
  await flood(server, 'all', BROADCASTS, reader);
  await until('the client that reads nothing is disconnected', async () => {
    // It answers pings that it has not seen.
    silent.send('3');
    return await server.metric('patchcord_sockets{namespace="/good"}') === 1;
  });
  check((await reader.ask('/good', 'echo', 1))[0] === 1, 'the reader goes on');
  const told = server.output.match(/slow client .*/g) ?? [];
  check(told.length === 1, `one line says so, and found ${JSON.stringify(told)}`);
  return 'disconnected after 1 s, the reader is served';
}

async function slowestFirst(server, check) {
  const reader = await inRoom(server, 'least');
  const least = await deaf(server, 'least');
  await flood(server, 'least', BROADCASTS, reader);
  const most = await deaf(server, 'most');
  const both = await inRoom(server, 'most');
  // More waits for this one than for the other before there is too much in all.
  for (let n = 0; n < 60 && await server.metric('patchcord_slow_consumers_total') === 0; n += 1) {
    await flood(server, 'most', 1, both);
  }
  check(await server.metric('patchcord_slow_consumers_total') === 1, 'one client is disconnected');
  check(server.output.includes(most.id) && !server.output.includes(least.id), 'it is the one for which most waits');
  least.resume();
  for (let n = 0; n < BROADCASTS; n += 1) await least.next('42/good,["news"');
  check((await reader.ask('/good', 'echo', 1))[0] === 1, 'the readers go on');
  check((await both.ask('/good', 'echo', 1))[0] === 1, 'the readers go on');
  const { peak } = server.memory();
  return `memory up to ${peak} MB`;
}

export default [
  { name: `${MANY} clients that do not read, ${BROADCASTS} broadcasts of 950 kB`, run: many },
  { name: `the same, to ${MANY} clients that do not poll`, run: unpolled },
  { name: `${ASKING} clients that ask for ${ANSWERS} answers of 950 kB and read none`, run: answers,
    options: ['--max-backlog-total', '32MiB', '--metrics'] },
  { name: 'a client that reads nothing, and answers pings', run: writeTimeout, only: 'patchcord',
    options: ['--write-timeout', '1s', '--metrics'] },
  { name: 'clients that do not read, more than `--max-backlog-total` in all', run: slowestFirst, only: 'patchcord',
    options: ['--max-backlog-total', '30MiB', '--max-backlog', '100MiB', '--metrics'] },
];
