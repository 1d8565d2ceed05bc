// What the server withstands: `node run.js chaos|faults|soak [seconds or visits] [patchcord|node]`, or
// `node run.js attacks [part of a name] [patchcord|node]`.
// PATCHCORD names the program; the default is the release build. The exit code is 0 when everything held.
import { attacks } from './attacks.js';
import { chaos } from './chaos.js';
import { faults } from './faults.js';
import { soak } from './soak.js';

const [what, amount, ...kinds] = process.argv.slice(2);
const runs = {
  attacks: () => attacks(amount, kinds.length ? kinds : undefined),
  chaos: () => chaos(Number(amount ?? 60)),
  faults: () => faults(Number(amount ?? 5), kinds.length ? kinds : undefined),
  soak: () => soak(Number(amount ?? 100_000), kinds.length ? kinds : undefined),
};
if (!runs[what]) {
  console.error('usage: node run.js chaos|faults|soak [seconds or visits] [patchcord|node]\n       node run.js attacks [part of a name] [patchcord|node]');
  process.exit(2);
}
const held = await runs[what]();
console.log(held ? 'held' : 'did not hold');
process.exit(held ? 0 : 1);
