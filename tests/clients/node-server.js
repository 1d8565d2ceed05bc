// Node's Socket.IO server on the twins of the scripts in a folder: `main.mjs` is the twin of `main.rhai`, for `/`.
//
// `SERVER=node node --test engine-protocol.test.js` runs the tests of a file against it instead of patchcord. In: the
// arguments of `patchcord serve` that have a counterpart. Out: the line with the address, as patchcord prints it.
// What must stay true: it sets nothing that Node's server has as a default, so that the tests show what Node does.

import { createServer } from "node:http";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { Server } from "socket.io";

const {
  positionals: [, folder],
  values,
} = parseArgs({
  allowPositionals: true,
  options: Object.fromEntries(
    ["port", "ping-interval", "ping-timeout", "connect-timeout", "upgrade-timeout"].map((name) => [
      name,
      { type: "string" },
    ]),
  ),
});

const options = {};
for (const name of ["ping-interval", "ping-timeout", "connect-timeout", "upgrade-timeout"]) {
  const time = values[name]?.match(/^(\d+)(ms|s)$/);
  const camelCase = name.replace(/-(.)/, (_, letter) => letter.toUpperCase());
  if (time) options[camelCase] = time[1] * (time[2] === "s" ? 1000 : 1);
}

const http = createServer();
const server = new Server(http, options);
for (const file of await readdir(folder)) {
  if (!file.endsWith(".mjs")) continue;
  const { default: twin } = await import(pathToFileURL(join(folder, file)));
  twin(server.of(file === "main.mjs" ? "/" : `/${file.slice(0, -".mjs".length)}`));
}
http.listen(Number(values.port), "127.0.0.1", () => {
  console.log(`listening on http://127.0.0.1:${http.address().port}`);
});
