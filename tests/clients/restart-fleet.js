// Many official clients that talk all the time, and restarts of the program in place: counts what clients notice.
//
// node restart-fleet.js [clients] [restarts]: prints one line per restart, and exits with 1 if anything is lost. A test
// runs it with few clients; by hand it takes thousands (`ulimit -n` must allow two descriptors for each).

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { Manager } from "socket.io-client";
import { deferred, serve } from "./server.js";

const MAIN = `
fn on_connection(socket) {
    let received = 0;
    socket.on("say", |n| { received += 1; socket.emit("said", n, received); });
    socket.on("ask", |n, ack| { received += 1; ack.call(received); });
}
`;

/** Time between two words of a client, in milliseconds. */
const PAUSE_MS = 1000;

/** Waits for an event, but not forever. */
function next(socket, event) {
  const { promise, resolve } = deferred(() => `no event \`${event}\` for ${socket.id}`);
  socket.once(event, resolve);
  return promise;
}

class Talker {
  said = 0;
  heard = 0;
  wrong = [];
  ids = new Set();

  constructor(url) {
    this.manager = new Manager(url, { transports: ["websocket"], reconnectionDelay: 200, reconnectionDelayMax: 1000 });
    this.socket = this.manager.socket("/");
    this.socket.on("connect", () => this.ids.add(this.socket.id));
    this.socket.on("connect_error", (error) => this.socket.active || this.wrong.push(error.message));
    this.socket.on("said", (n, received) => {
      this.heard += 1;
      if (n !== this.heard || received !== this.heard) this.wrong.push(`${n} of ${this.heard}, received ${received}`);
    });
  }

  connected() {
    return this.socket.connected ? Promise.resolve() : next(this.socket, "connect");
  }

  talk() {
    this.timer = setTimeout(() => {
      this.said += 1;
      this.socket.emit("say", this.said);
      this.talk();
    }, PAUSE_MS * (0.5 + Math.random()));
  }

  /** Stops, and waits until everything that was said has come back. */
  async finish() {
    clearTimeout(this.timer);
    while (this.heard < this.said && this.wrong.length === 0) await next(this.socket, "said");
  }
}

/** Connects and leaves, again and again; answers how often that failed. */
async function newcomers(url, until) {
  let connects = 0;
  const failures = [];
  while (!until()) {
    const manager = new Manager(url, { transports: ["websocket"], reconnection: true, reconnectionDelay: 50 });
    const socket = manager.socket("/");
    socket.on("connect_error", (error) => failures.push(error.message));
    await next(socket, "connect");
    connects += 1;
    manager._close();
  }
  return { connects, failures };
}

/** Runs `restarts` restarts under `count` clients. Answers what was lost. */
export async function run(t, count, restarts, report = () => {}) {
  const folder = await mkdtemp(join(tmpdir(), "patchcord-store-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const args = ["--data", join(folder, "state.redb"), "--recovery", "2m", "--max-connections", "none"];
  const more = ["--max-connections-per-address", "none", "--max-connects-per-second", "none", "--max-connects-per-second-per-address", "none"];
  const server = await serve(t, { "main.rhai": MAIN }, [...args, ...more]);
  const talkers = [];
  for (let n = 0; n < count; n += 1) {
    talkers.push(new Talker(server.url));
    if (n % 200 === 199) await Promise.all(talkers.map((talker) => talker.connected()));
  }
  await Promise.all(talkers.map((talker) => talker.connected()));
  talkers.forEach((talker) => talker.talk());
  let stop = false;
  const coming = newcomers(server.url, () => stop);
  for (let n = 0; n < restarts; n += 1) {
    const begun = performance.now();
    const gone = talkers.map((talker) => next(talker.socket, "disconnect"));
    const from = server.output.length;
    server.signal("SIGUSR2");
    await server.printed(/listening on/, from);
    const up = performance.now() - begun;
    await Promise.all(gone);
    await Promise.all(talkers.map((talker) => talker.connected()));
    report({ restart: n + 1, up: Math.round(up), all: Math.round(performance.now() - begun) });
  }
  stop = true;
  const { connects, failures } = await coming;
  await Promise.all(talkers.map((talker) => talker.finish()));
  talkers.forEach((talker) => talker.manager._close());
  const total = (of) => talkers.reduce((sum, talker) => sum + of(talker), 0);
  return {
    said: total((talker) => talker.said),
    heard: total((talker) => talker.heard),
    wrong: talkers.flatMap((talker) => talker.wrong),
    ids: total((talker) => talker.ids.size),
    connects,
    failures,
  };
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [count = 1000, restarts = 3] = process.argv.slice(2).map(Number);
  const ends = [];
  const lost = await run({ after: (end) => ends.push(end) }, count, restarts, (line) => console.log(JSON.stringify(line)));
  console.log(JSON.stringify({ ...lost, wrong: lost.wrong.slice(0, 5), wrongs: lost.wrong.length }));
  for (const end of ends) await end();
  const failed = lost.said !== lost.heard || lost.wrong.length > 0 || lost.ids !== count || lost.failures.length > 0;
  process.exit(failed ? 1 : 0);
}
