// Text of clients that would write lines of its own into the log, or change the terminal that shows it.
import { Tcp, Web, isServed, request, statusOf, target, until } from '../by-hand.js';

const FORGED = 'main.rhai: version 7 serves';
const NASTY = ['\x1b[2J\x1b]0;own\x07', `\n${FORGED}`, `\r${FORGED}`, '\u202egnp.exe', '\u009b31m', '\u2028x', '\0\x7f'];
// Controls but the end of a line, C1, the separators and the marks of direction.
const RAW = /[\0-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/;

function checkOutput(server, check) {
  const found = server.output.match(RAW);
  const around = found && JSON.stringify(server.output.slice(Math.max(0, found.index - 60), found.index + 20));
  check(!found, `the log has no raw control character, and found ${around}`);
  const forged = server.output.split('\n').filter((line) => line.startsWith(FORGED));
  check(forged.length === 0, 'no line is forged');
}

async function chat(server, check) {
  for (const nasty of NASTY) {
    const web = await Web.enter(server, '/');
    const [answer] = await web.ask('/', 'set name', nasty);
    check(server.kind === 'node' || answer.ok, `the name is taken, and found ${JSON.stringify(answer)}`);
    web.end();
  }
  await until('all are logged', () => server.output.split(' left: ').length > NASTY.length);
  if (server.kind === 'node') return RAW.test(server.output) ? 'raw characters in the log' : 'none';
  checkOutput(server, check);
  return 'escaped';
}

// Names of namespaces and events, headers, packets that cannot be read.
async function elsewhere(server, check) {
  for (const nasty of NASTY) {
    const web = new Web(server);
    await web.next('0{');
    for (const namespace of [`/room/x${nasty}`, `/${nasty}`]) {
      const answer = await web.connect(namespace);
      check(answer.startsWith('44'), `the namespace is refused, and found ${answer}`);
    }
    await web.connect('/good');
    web.send(`42/good,${JSON.stringify([nasty, 1])}`);
    web.send(`42/good,["echo",${nasty}]`);
    await until('it is disconnected', () => !web.isOpen);
    const other = await Web.enter(server, '/good');
    other.send(`4${nasty}`);
    await until('it is disconnected', () => !other.isOpen);
  }
  const bytes = ['\x1b[2J', '\x9b31m', '\xe2\x80\xae', '\t'];
  for (const nasty of bytes) {
    await statusOf(server, request('GET', target('polling'), [`Origin: http://${nasty}.example`]));
    await statusOf(server, request('GET', target('polling'), [], `${nasty}.example`));
    await statusOf(server, request('GET', target('polling'), [`X-Forwarded-For: ${nasty}`]));
    await statusOf(server, request('GET', `/${nasty}`));
    await statusOf(server, request('POST', target('polling', nasty), ['Content-Length: 0']));
    const tcp = new Tcp(server);
    await tcp.write(`${nasty}\r\n\r\n`);
    tcp.end();
  }
  check(await isServed(server), 'others are served');
  // The last of those hosts, of which the server has left out the tab.
  await until('all are logged', () => /[`"]\.example[`"]/.test(server.output));
  checkOutput(server, check);
  return 'escaped';
}

async function json(server, check) {
  const found = await elsewhere(server, check);
  const lines = server.output.split('\n').filter((line) => line.startsWith('{'));
  for (const line of lines.slice(0, -1)) {
    try { JSON.parse(line); } catch { check(false, `each line is JSON, and found ${line}`); }
  }
  check(lines.length > 10, 'it logs');
  return `${found}, each line is JSON`;
}

export default [
  { name: 'control characters in names of the chat', run: chat, preset: 'chat' },
  { name: 'control characters elsewhere', run: elsewhere, only: 'patchcord' },
  { name: 'control characters elsewhere, `--log-format json`', run: json, only: 'patchcord', options: ['--log-format', 'json'] },
];
