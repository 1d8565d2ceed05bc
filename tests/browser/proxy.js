// A reverse proxy in front of the program, as people put one there: it serves the program below a prefix, which it takes
// off.
//
// In: the program's address and a prefix. Out: the proxy's address, with the prefix. It ends with its test.

import { createServer, request } from "node:http";
import { once } from "node:events";

export async function proxy(t, target, prefix) {
  const { hostname, port } = new URL(target);
  const passedOn = ({ method, url, headers }) =>
    request({ hostname, port, method, path: url.slice(prefix.length - 1), headers });
  const below = (url) => url.startsWith(prefix);

  const server = createServer((asked, answer) => {
    if (!below(asked.url)) return answer.writeHead(404).end();
    const passing = passedOn(asked);
    passing.on("response", (response) => {
      answer.writeHead(response.statusCode, response.headers);
      response.pipe(answer);
    });
    passing.on("error", () => answer.destroy());
    asked.pipe(passing);
  });
  const sockets = new Set();
  server.on("connection", (socket) => sockets.add(socket));
  server.on("upgrade", (asked, client) => {
    if (!below(asked.url)) return client.destroy();
    const passing = passedOn(asked);
    passing.on("upgrade", ({ rawHeaders }, program, first) => {
      const lines = [];
      for (let n = 0; n < rawHeaders.length; n += 2) lines.push(`${rawHeaders[n]}: ${rawHeaders[n + 1]}\r\n`);
      client.write(`HTTP/1.1 101 Switching Protocols\r\n${lines.join("")}\r\n`);
      program.unshift(first);
      client.pipe(program).pipe(client);
      client.on("error", () => program.destroy());
      program.on("error", () => client.destroy());
    });
    for (const failed of ["response", "error"]) passing.on(failed, () => client.destroy());
    passing.end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `http://127.0.0.1:${server.address().port}${prefix}`;
}
