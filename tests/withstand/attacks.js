// Attacks of clients, one at a time on a fresh server, and what must hold: here, and what Node's server does beside it.
import bodies from './attacks/bodies.js';
import floods from './attacks/floods.js';
import hijack from './attacks/hijack.js';
import log from './attacks/log.js';
import memory from './attacks/memory.js';
import names from './attacks/names.js';
import namespaces from './attacks/namespaces.js';
import seats from './attacks/seats.js';
import { Server } from './server.js';

export const ATTACKS = [...memory, ...namespaces, ...floods, ...seats, ...bodies, ...hijack, ...log, ...names];

// Runs an attack and returns `{ found, failed }`: the figures, and what did not hold.
export async function attempt(attack, kind) {
  const server = await Server.start(kind, attack.options, attack.preset);
  const failed = [];
  const check = (holds, what) => { if (!holds) failed.push(what); };
  let found = '';
  try {
    found = await attack.run(server, check);
  } catch (error) {
    failed.push(error.message);
  }
  check(server.alive, `the server ended: ${server.exited}`);
  check(!server.output.includes('panicked'), 'nothing panics');
  await server.stop();
  return { found, failed };
}

// Prints a table of all attacks, or of those whose name has `part`.
export async function attacks(part = '', kinds = ['patchcord', 'node']) {
  console.log(`| attack | ${kinds.join(' | ')} |\n|---|${kinds.map(() => '---|').join('')}`);
  let held = true;
  for (const attack of ATTACKS.filter(({ name }) => name.includes(part))) {
    const row = [];
    for (const kind of kinds) {
      if (kind !== (attack.only ?? kind)) { row.push(''); continue; }
      const { found, failed } = await attempt(attack, kind);
      held &&= kind === 'node' || failed.length === 0;
      // What holds here and does not on Node's server is said once.
      const not = failed.slice(0, kind === 'node' ? 1 : undefined).map((what) => `NOT: ${what}`);
      row.push([found, ...not].filter(Boolean).join('; '));
    }
    console.log(`| ${attack.name} | ${row.join(' | ')} |`);
  }
  return held;
}
