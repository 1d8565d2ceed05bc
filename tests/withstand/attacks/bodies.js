// Messages that do not end, and requests of the polling transport that are given up or overlap.
import { Poll, Tcp, Web, isServed, request, target, until } from '../by-hand.js';

const BODIES = 300;
const LENGTH = 'Content-Length: 1000000';
const ATTACHMENT = Buffer.alloc(999_000);
const PART = 'x'.repeat(64_000);

// The head of a POST and the first 64 kB of its body, of which the rest never comes.
async function beginPost(server, sid, headers = [LENGTH]) {
  const tcp = new Tcp(server);
  await tcp.write(request('POST', target('polling', sid), headers));
  tcp.write(PART);
  return tcp;
}

async function unknown(server, check) {
  const before = server.memory().now;
  const posts = await Promise.all(Array.from({ length: BODIES }, () => beginPost(server, 'AAAAAAAAAAAAAAAAAAAA')));
  const statuses = new Set(await Promise.all(posts.map((tcp) => tcp.status())));
  check(statuses.size === 1 && statuses.has(400), `each is answered with 400, and found ${[...statuses]}`);
  const expecting = await beginPost(server, 'AAAAAAAAAAAAAAAAAAAA', [LENGTH, 'Expect: 100-continue']);
  const status = await expecting.status();
  check(status === 400, `no body is asked for, and found status ${status}`);
  check(await isServed(server), 'others are served');
  const { peak } = server.memory();
  check(peak - before < 20, `memory rises by less than 20 MB, and rose from ${before} to ${peak}`);
  [...posts, expecting].forEach((tcp) => tcp.end());
  return `answered with ${[...statuses]}, memory ${before} to ${peak} MB`;
}

// A polling client in a namespace.
async function enter(server) {
  const poll = await Poll.open(server);
  await poll.post('40/good,');
  await poll.next('40/good,');
  return poll;
}

const sockets = (server) => server.metric('patchcord_sockets{namespace="/good"}');

async function isOver(poll) {
  return (await poll.post('42/good,["echo",1]')) === 400;
}

async function overlappingPosts(server, check) {
  const poll = await enter(server);
  const before = server.memory().now;
  const posts = [];
  for (let n = 0; n < 100; n += 1) posts.push(await beginPost(server, poll.sid));
  // Whichever came first waits for the rest of its body.
  const answered = await until('all but one are answered', () => {
    const those = posts.filter((tcp) => tcp.received.includes('\r\n\r\n'));
    return those.length >= posts.length - 1 && those;
  });
  const statuses = new Set(await Promise.all(answered.map((tcp) => tcp.status())));
  check(String([...statuses]) === '400', `they are answered with 400, and found ${[...statuses]}`);
  await until('the session is over', () => isOver(poll));
  check(await isServed(server), 'others are served');
  const { peak } = server.memory();
  check(peak - before < 20, `memory rises by less than 20 MB, and rose from ${before} to ${peak}`);
  posts.forEach((tcp) => tcp.end());
  return `the session ends, memory ${before} to ${peak} MB`;
}

async function overlappingPolls(server, check) {
  for (let n = 0; n < 50; n += 1) {
    const poll = await enter(server);
    const answers = Array.from({ length: 3 }, () => poll.get().then(() => 200, (error) => error.message.slice(7, 10)));
    const found = (await Promise.all(answers)).map(Number).sort();
    if (server.kind === 'patchcord') check(String(found) === '200,400,400', `one is served, and found ${found}`);
    await until('the session is over', () => isOver(poll));
  }
  check(await isServed(server), 'others are served');
  if (server.kind === 'patchcord') await until('no socket is left', async () => await sockets(server) === 0);
  return 'each session ends';
}

async function abortedPolls(server, check) {
  const polls = await Promise.all(Array.from({ length: 200 }, () => enter(server)));
  if (server.kind === 'patchcord') check(await sockets(server) === 200, 'all are there');
  const waiting = await Promise.all(polls.map(async (poll) => {
    const tcp = new Tcp(server);
    await tcp.write(request('GET', target('polling', poll.sid)));
    return tcp;
  }));
  // The server has taken those requests before it answers these.
  for (let n = 0; n < 3; n += 1) await isServed(server);
  waiting.forEach((tcp) => tcp.end());
  await Promise.all(polls.map((poll) => until('the session is over', () => isOver(poll))));
  if (server.kind === 'patchcord') await until('no socket is left', async () => await sockets(server) === 0);
  check(await isServed(server), 'others are served');
  return 'each session ends';
}

// A packet that announces nine attachments, and eight of them.
async function attachments(server, check) {
  const before = server.memory().now;
  const clients = await Promise.all(Array.from({ length: 40 }, () => Web.enter(server, '/good')));
  for (const client of clients) {
    client.send(`459-/good,["echo",${Array.from({ length: 9 }, (_, num) => `{"_placeholder":true,"num":${num}}`)}]`);
    for (let n = 0; n < 8; n += 1) client.send(ATTACHMENT);
  }
  await until('all is sent', () => clients.every(({ socket }) => socket.bufferedAmount === 0));
  check(await isServed(server), 'others are served');
  // Nothing limits what waits for further attachments in all so far, so this is a figure and no check.
  return `memory ${before} to ${server.memory().peak} MB`;
}

const options = ['--metrics'];

export default [
  { name: `${BODIES} bodies that do not end, for a session that does not exist`, run: unknown },
  { name: '100 bodies that do not end, for one session', run: overlappingPosts },
  { name: '40 packets of nine attachments, of which the last does not come', run: attachments },
  { name: '50 sessions with three polls at once', run: overlappingPolls, options },
  { name: '200 polls that are given up', run: abortedPolls, options },
];
