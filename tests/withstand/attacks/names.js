// A page whose own name leads to this machine (DNS rebinding).
import { WEBSOCKET, isServed, request, statusOf, target } from '../by-hand.js';

const PATHS = ['/', '/metrics', '/assets/page.js', '/none', target('polling'), target('polling', 'AAAAAAAAAAAAAAAAAAAA'),
  '/socket.io/socket.io.js'];
const EVIL = ['evil.example', 'evil.example:80', 'EVIL.EXAMPLE.', 'localhost.evil.example', '127.0.0.1.evil.example'];
const OWN = ['localhost', 'localhost:3000', 'app.localhost', '127.0.0.1', '[::1]:80'];

function* requests(host) {
  for (const path of PATHS) {
    yield request('GET', path, [`Origin: http://${host}`], host);
    yield request('OPTIONS', path, [`Origin: http://${host}`, 'Access-Control-Request-Method: GET'], host);
  }
  yield request('POST', target('polling'), ['Content-Length: 0'], host);
  yield request('GET', target('websocket'), [...WEBSOCKET, `Origin: http://${host}`], host);
}

async function rebinding(server, check) {
  const found = new Set();
  for (const host of EVIL) {
    for (const text of requests(host)) {
      const status = await statusOf(server, text);
      found.add(status);
      check(status === 403, `\`${host}\` is refused with 403, and found ${status} at ${text.split('\r\n')[0]}`);
    }
  }
  const hidden = [
    request('GET', 'http://evil.example/'),
    request('GET', '/', ['Host: evil.example']),
    request('GET', '/', [], 'evil.example').replace('Host:', 'hOST:'),
  ];
  for (const text of hidden) {
    const status = await statusOf(server, text);
    check(status === 403 || status === 400, `a hidden name is refused, and found ${status} at ${JSON.stringify(text)}`);
  }
  for (const host of OWN) {
    for (const text of [request('GET', target('polling'), [], host), request('GET', '/metrics', [], host)]) {
      check((await statusOf(server, text)) === 200, `\`${host}\` is answered`);
    }
    const status = await statusOf(server, request('GET', target('websocket'), WEBSOCKET, host));
    check(status === 101, `\`${host}\` is answered with a WebSocket, and found ${status}`);
  }
  check(await isServed(server), 'others are served');
  return `answered with ${[...found].sort().join(', ')}`;
}

export default [
  { name: 'requests for the name of another site', run: rebinding, options: ['--metrics'] },
];
