// Takes the `socket.id` that scripts tell everybody for the secret of the session, and tries to act as its client.
import { io } from 'socket.io-client';
import { Poll, WEBSOCKET, Web, request, statusOf, target, until, within } from '../by-hand.js';

const ATTEMPTS = 10;

const RENAME = '42["set name","Mallory"]';

const send = (server, method, path, body) =>
  statusOf(server, request(method, path, [`Content-Length: ${body.length}`]) + body);

const post = (server, sid, body, method = 'POST') => send(server, method, target('polling', sid), body);

// Every way in which one who knows the id of a session acts as its client. Each returns a status.
const WAYS = {
  'an event': (server, id) => post(server, id, RENAME),
  'an answer': (server, id) => post(server, id, '430["yes"]'),
  'a close': (server, id) => post(server, id, '1'),
  'a disconnect': (server, id) => post(server, id, '41'),
  rubbish: (server, id) => post(server, id, '\xff'),
  'a poll': (server, id) => statusOf(server, request('GET', target('polling', id))),
  'a WebSocket': (server, id) => statusOf(server, request('GET', target('websocket', id), WEBSOCKET)),
  'the transport of the other': (server, id) => statusOf(server, request('GET', target('polling', id), WEBSOCKET)),
  'an escaped id': (server, id) => send(server, 'POST', `/socket.io/?EIO=4&transport=polling&%73id=${id}`, RENAME),
  ...Object.fromEntries(['DELETE', 'PUT', 'OPTIONS', 'PATCH'].map((method) => [method, (server, id) => post(server, id, '1', method)])),
};

// Clients that the attack is tried on: each tells its public id, and says whether it is as before.
const VICTIMS = {
  async polls(server) {
    const poll = await Poll.open(server);
    await poll.post('40');
    const { sid: id } = JSON.parse(await poll.next('40'));
    let asked = 0;
    const isWell = async () => {
      asked += 1;
      await poll.post(`42${asked}["set name","Victoria"]`);
      return (await poll.next(`43${asked}`)).length > 0;
    };
    return { id, sid: poll.sid, isWell, end: () => poll.post('1') };
  },
  async waits(server) {
    // A GET waits all the time.
    const socket = io(server.url, { transports: ['polling'], forceNew: true, reconnection: false });
    return official(socket);
  },
  async 'is on a WebSocket'(server) {
    return official(io(server.url, { transports: ['websocket'], forceNew: true, reconnection: false }));
  },
  async 'has upgraded'(server) {
    const socket = io(server.url, { forceNew: true, reconnection: false });
    const upgraded = new Promise((resolve) => { socket.io.engine.once('upgrade', resolve); });
    const victim = await official(socket);
    await within('an upgrade', upgraded);
    return victim;
  },
};

async function official(socket) {
  let lost = false;
  await within('a victim', new Promise((resolve) => { socket.once('connect', resolve); }));
  socket.on('disconnect', () => { lost = true; });
  const isWell = async () =>
    !lost && within('an answer', new Promise((resolve) => { socket.emit('set name', 'Victoria', () => resolve(!lost)); }));
  return { id: socket.id, sid: socket.io.engine.id, isWell, end: () => socket.disconnect() };
}

// Every way, ten times, against each kind of victim.
const ways = async (server, check) => {
  const own = await VICTIMS.polls(server);
  const witness = await Web.enter(server, '/');
  let attempts = 0;
  for (const [kind, start] of Object.entries(VICTIMS)) {
    const victim = await start(server);
    check(victim.id !== victim.sid, 'the id that a script sees is not that of the session');
    for (const [way, act] of Object.entries(WAYS)) {
      for (let n = 0; n < ATTEMPTS; n += 1) {
        const status = await act(server, victim.id);
        attempts += 1;
        // `OPTIONS` asks what is allowed, and does nothing.
        const isRefused = status === 400 || (way === 'OPTIONS' && status < 300);
        check(isRefused, `${way} to one who ${kind} is refused with 400, and found ${status}`);
      }
      check(await victim.isWell(), `one who ${kind} is undisturbed by ${way}`);
    }
    // The session of the attacker may act, but for nobody else.
    for (const more of [`${own.sid}&sid=${victim.id}`, `${victim.id}&sid=${own.sid}`]) await post(server, more, RENAME);
    check(await victim.isWell(), `one who ${kind} is undisturbed by a request with two ids`);
    await witness.ask('/', 'set name', 'Wilma');
    const renamed = witness.packets.filter((packet) => packet.includes(`{"id":"${victim.id}","name":"Mallory"}`));
    check(renamed.length === 0, `one who ${kind} keeps its name`);
    await victim.end();
  }
  return `0 of ${attempts} attempts`;
};

// An attacker that hears of each client that comes, and takes over while the client upgrades.
async function race(server, check) {
  const attacker = await Web.enter(server, '/');
  const tried = new Map();
  attacker.socket.on('message', (data) => {
    for (const [, id] of data.toString().matchAll(/"id":"([^"]+)"/g)) {
      if (id === attacker.id || tried.has(id)) continue;
      const web = new Web(server, { sid: id });
      web.socket.on('open', () => { web.send('2probe'); web.send('5'); });
      tried.set(id, Promise.all([
        until('an answer to the takeover', () => web.refused ?? (web.socket.readyState === 1 && 101)),
        WAYS['an event'](server, id), WAYS['a close'](server, id), WAYS['a poll'](server, id),
      ]));
    }
  });
  for (let n = 0; n < ATTEMPTS; n += 1) {
    const socket = io(server.url, { forceNew: true, reconnection: false });
    const upgraded = new Promise((resolve) => { socket.io.engine.once('upgrade', resolve); });
    const victim = await official(socket);
    // In `chat`, the id comes with the first message.
    socket.emit('chat message', 'hello');
    const attempt = await until('the attacker hears of it', () => tried.get(victim.id));
    const statuses = await attempt;
    check(statuses.every((status) => status === 400), `takeover ${n} is refused, and found ${statuses}`);
    await within('the upgrade', upgraded);
    check(await victim.isWell(), `victim ${n} is undisturbed`);
    victim.end();
  }
  return `0 of ${tried.size} takeovers`;
}

export default ['private', 'chat'].flatMap((preset) => [
  { name: `acting as another by its \`socket.id\`, preset \`${preset}\``, run: ways, preset, only: preset === 'chat' ? 'patchcord' : undefined },
  { name: `the same while it upgrades, preset \`${preset}\``, run: race, preset, only: preset === 'chat' ? 'patchcord' : undefined },
]);
