// A server as a process of its own: patchcord with scripts of its own, or Node's with the same handlers.
import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const here = import.meta.dirname;
const program = process.env.PATCHCORD ?? join(here, '../../target/release/patchcord');

export class Server {
  static async start(kind, options = []) {
    const folder = mkdtempSync(join(tmpdir(), 'withstand-'));
    cpSync(join(here, 'scripts'), folder, { recursive: true });
    const [command, args] = kind === 'node'
      ? [process.execPath, [join(here, 'node-server.js')]]
      : [program, ['serve', folder, '--port', '0', ...options]];
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const server = new Server();
    Object.assign(server, { kind, folder, child, log: new Map(), exited: null });
    child.on('exit', (code, signal) => { server.exited = signal ?? `code ${code}`; });
    createInterface(child.stderr).on('line', (line) => server.note(line));
    for await (const line of createInterface(child.stdout)) {
      server.url = line.replace('listening on ', '');
      return server;
    }
    throw new Error(`${kind} does not listen: ${[...server.log.keys()].join('\n')}`);
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

  async stop() {
    if (this.alive) {
      const gone = new Promise((resolve) => this.child.once('exit', resolve));
      this.child.kill('SIGKILL');
      await gone;
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}
