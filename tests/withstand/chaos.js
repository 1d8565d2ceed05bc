// Everything at once: hostile scripts, mutated packets, saves, clients that do not read, and good clients that check
// every answer.
import { writeFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Good, deaf, insist, mutate, raw, sleep } from './clients.js';
import { Server } from './server.js';

const HOSTILE = ['spin', 'recurse', 'throw', 'fill', 'keep', 'chain', 'nest', 'listen', 'timers', 'sort'].map((e) => [e]);
const BIG = 'x'.repeat(50_000);

async function save(server, until) {
  const file = join(server.folder, 'good.rhai');
  const text = readFileSync(file, 'utf8');
  let saves = 0;
  while (performance.now() < until) {
    // Every third save is broken.
    writeFileSync(file, saves % 3 === 2 ? `${text}\nfn (` : `${text}\n// ${saves}`);
    saves += 1;
    await sleep(300);
  }
  return saves;
}

async function deafOnes(server, until) {
  let count = 0;
  while (performance.now() < until && server.alive) {
    const client = await deaf(server);
    count += 1;
    const sender = raw(server, '/hostile');
    await Promise.race([sender.ready, sleep(1000)]);
    for (let n = 0; n < 40; n += 1) {
      sender.emit('flood', BIG);
      await sleep(20);
    }
    sender.socket.terminate();
    client.socket.terminate();
  }
  return count;
}


export async function chaos(seconds) {
  const server = await Server.start('patchcord', ['--max-backlog', '1MiB']);
  const good = await Good.start(server, 10);
  const until = performance.now() + seconds * 1000;
  const faults = [
    ...HOSTILE.map((_, n) => insist(server, until, [...HOSTILE.slice(n), ...HOSTILE.slice(0, n)], 50)),
    mutate(server, until), mutate(server, until), save(server, until), deafOnes(server, until),
  ];
  const counts = await Promise.all(faults);
  await sleep(500);
  await good.stop();
  const times = good.times.sort((a, b) => a - b);
  const at = (part) => `${times[Math.floor((times.length - 1) * part)].toFixed(1)} ms`;
  const wrong = good.wrong + good.lost;
  const [mutatedA, mutatedB, saves, deafCount] = counts.slice(HOSTILE.length);
  console.log(`${seconds} s of chaos: ${times.length} answers checked, ${wrong} wrong or lost`);
  console.log(`  answers took ${at(0.5)} (half), ${at(0.99)} (99 of 100), ${at(1)} (all)`);
  console.log(`  ${mutatedA + mutatedB} mutated packets, ${saves} saves, ${deafCount} clients that do not read`);
  console.log(`  memory at its highest ${server.memory().peak} MB; the server ${server.alive ? 'serves' : `ended: ${server.exited}`}`);
  const lines = [...server.log].sort((a, b) => b[1] - a[1]).filter(([line]) => /^(error|warning|0 times)/.test(line));
  for (const [line, count] of lines.slice(0, 20)) console.log(`  ${String(count).padStart(6)}  ${line.slice(0, 140)}`);
  const panicked = [...server.log.keys()].some((line) => line.includes('panicked'));
  const held = server.alive && wrong === 0 && times.length > seconds * 10 && !panicked;
  await server.stop();
  return held;
}
