// A server as a process of its own: patchcord with scripts of its own, or Node's with the same handlers.
import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const here = import.meta.dirname;
const program = process.env.PATCHCORD ?? join(here, '../../target/release/patchcord');

export class Server {
  // `preset`: the name of a preset that serves in place of `scripts`.
  static async start(kind, options = [], preset = null) {
    const folder = mkdtempSync(join(tmpdir(), 'withstand-'));
    cpSync(join(here, 'scripts'), folder, { recursive: true });
    const [command, args] = kind === 'node'
      ? [process.execPath, [join(here, 'node-server.js')]]
      : [program, ['serve', ...(preset ? ['--preset', preset] : [folder]), '--port', '0', ...options]];
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const server = new Server();
    Object.assign(server, { kind, folder, child, log: new Map(), exited: null, output: '' });
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => { server.keep(text); });
    }
    child.on('exit', (code, signal) => { server.exited = signal ?? `code ${code}`; });
    createInterface(child.stderr).on('line', (line) => server.note(line));
    for await (const line of createInterface(child.stdout)) {
      server.url = line.replace('listening on ', '');
      // The end of the loop stops the stream, and a full pipe would stop the server.
      setImmediate(() => child.stdout.resume());
      return server;
    }
    throw new Error(`${kind} does not listen: ${[...server.log.keys()].join('\n')}`);
  }

  // Keeps what the server writes, as it is, up to a size that no single attack reaches.
  keep(text) {
    if (this.output.length < 4_000_000) this.output += text;
  }

  // Counts lines of the log, without the numbers and ids in them.
  note(line) {
    const kind = line.replace(/[\w-]{16,}/g, '#').replace(/\d+/g, '0');
    this.log.set(kind, (this.log.get(kind) ?? 0) + 1);
  }

  get alive() { return this.exited === null; }

  // Resident memory now, and its highest so far, in MB.
  memory() {
    try {
      const status = readFileSync(`/proc/${this.child.pid}/status`, 'utf8');
      const mb = (name) => Math.round(Number(status.match(`${name}:\\s+(\\d+)`)[1]) / 1024);
      return { now: mb('VmRSS'), peak: mb('VmHWM') };
    } catch {
      return { now: NaN, peak: NaN };
    }
  }

  // The value of a metric; of all its labels together, unless the name has one.
  async metric(name) {
    const text = await (await fetch(`${this.url}/metrics`)).text();
    const lines = text.split('\n').filter((line) => line.startsWith(name) && /[ {]/.test(line.at(name.length) ?? ''));
    return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
  }

  async stop() {
    if (this.alive) {
      const gone = new Promise((resolve) => this.child.once('exit', resolve));
      this.child.kill('SIGKILL');
      await gone;
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}
