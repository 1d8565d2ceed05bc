// The program under test on a folder of scripts of its own.
//
// In: a folder to copy, or files by name. Out: an address to connect to, what the program printed, its exit code.
// What must stay true: a test never writes into the repository, and no program outlives its test.

import { spawn } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before } from "node:test";
import { fileURLToPath } from "node:url";

/** A path relative to this folder. */
export const here = (path) => fileURLToPath(new URL(path, import.meta.url));

/** The scripts that patchcord ships. */
export const shippedScripts = here("../../scripts");

/** True when the tests run against Node's server, on twins of the scripts, to show that they expect what it does. */
export const onNode = process.env.SERVER === "node";

const patchcord = process.env.PATCHCORD ?? here("../../target/release/patchcord");
const program = onNode ? [process.execPath, here("node-server.js")] : [patchcord];
/** So long a test waits for what must come; it is generous, and only a failure takes it. */
export const DEADLINE_MS = 20_000;

/** Serves a copy of `source` (a folder, or texts by file name) on a free port until the test `t` is over. */
export async function serve(t, source, args = []) {
  const server = new Server(source, args);
  t.after(() => server.remove());
  await server.start();
  return server;
}

/** The same, for all tests of the suite that is being declared; it runs by the time they do. */
export function serveAll(source, args = []) {
  const server = new Server(source, args);
  before(() => server.start());
  after(() => server.remove());
  return server;
}

/** A new folder with a copy of `source`. */
export async function temporaryFolder(source) {
  const folder = await mkdtemp(join(tmpdir(), "patchcord-"));
  if (typeof source === "string") await cp(source, folder, { recursive: true });
  else for (const [name, text] of Object.entries(source)) await save(join(folder, name), text);
  return folder;
}

class Server {
  /** Everything the program printed, on both streams. */
  output = "";
  #source;
  #args;
  #child;
  #waiting = new Set();

  constructor(source, args) {
    this.#source = source;
    this.#args = args;
  }

  async start() {
    this.folder ??= await temporaryFolder(this.#source);
    const from = this.output.length;
    const known = this.url && ["--port", new URL(this.url).port];
    const port = known ?? (this.#args.includes("--port") ? [] : ["--port", "0"]);
    const [command, ...before] = program;
    this.#child = spawn(command, [...before, "serve", this.folder, ...port, ...this.#args], {
      stdio: ["ignore", "pipe", "pipe"],
      // A machine that is busy with other tests must not end calls of scripts.
      env: { PATCHCORD_MAX_CALL_TIME: "20s", ...process.env, NO_COLOR: "1" },
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream.setEncoding("utf8").on("data", (text) => this.#heard(text));
    }
    /** How the program ended: `{ code, signal }`, after all it printed was read. */
    this.ended = new Promise((resolve, reject) => {
      this.#child.once("error", reject);
      this.#child.once("close", (code, signal) => resolve({ code, signal }));
    });
    const [, url] = await Promise.race([this.printed(/listening on (http:\/\/\S+)/, from), this.ended.then(() => [])]);
    if (!url) throw new Error(`the program ended before it was listening; it printed:\n${this.output}`);
    this.url = url;
  }

  /** The match of `pattern` in the output after `from`, now or as soon as it is printed. */
  printed(pattern, from = 0) {
    const { promise, resolve } = deferred(() => `no ${pattern} in the output:\n${this.output.slice(from)}`);
    const look = () => {
      const found = this.output.slice(from).match(pattern);
      if (!found) return;
      this.#waiting.delete(look);
      resolve(found);
    };
    this.#waiting.add(look);
    look();
    return promise;
  }

  /** Saves a file of the folder the way an editor does: `in place`, or `rename` (written beside it and moved over it). */
  async save(name, text, how = "in place") {
    const path = join(this.folder, name);
    if (how === "in place") return save(path, text);
    await save(`${path}.new~`, text);
    return rename(`${path}.new~`, path);
  }

  /** Changes a file of the folder: `change` gets the text and answers the new one. */
  async edit(name, change, how) {
    const before = await readFile(join(this.folder, name), "utf8");
    const after = change(before);
    if (after === before) throw new Error(`the edit of ${name} changes nothing`);
    await this.save(name, after, how);
  }

  /** Edits, and waits for the line by which the program reports the new version. */
  async reload(name, change, how) {
    const from = this.output.length;
    await this.edit(name, change, how);
    await this.printed(new RegExp(`${name}: version \\d+`), from);
  }

  /** Sends a signal to the program. */
  signal(name) {
    this.#child.kill(name);
  }

  /** Ends the program and answers how it ended. */
  stop(signal = "SIGTERM") {
    if (this.#child?.exitCode === null) this.#child.kill(signal);
    return this.ended;
  }

  /** Ends the program, lets `meanwhile` change the folder, and starts the program again at the same address. */
  async restart(signal = "SIGTERM", meanwhile = async () => {}) {
    const end = await this.stop(signal);
    await meanwhile();
    await this.start();
    return end;
  }

  /** Ends the program at once and removes its folder. */
  async remove() {
    await this.stop("SIGKILL");
    await rm(this.folder, { recursive: true, force: true });
  }

  #heard(text) {
    this.output += text;
    for (const look of [...this.#waiting]) look();
  }
}

/** A promise that fails with `complaint()` after a generous time. */
export function deferred(complaint) {
  const outside = {};
  outside.promise = new Promise((resolve, reject) => Object.assign(outside, { resolve, reject }));
  const timer = setTimeout(() => outside.reject(new Error(complaint())), DEADLINE_MS);
  outside.promise.then(() => clearTimeout(timer), () => clearTimeout(timer));
  return outside;
}

async function save(path, text) {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text);
}
