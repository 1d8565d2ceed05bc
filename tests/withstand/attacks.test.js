// Every attack, against patchcord: `node run.js attacks` shows the figures, and Node's server beside them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ATTACKS, attempt } from './attacks.js';

for (const attack of ATTACKS) {
  test(attack.name, async () => {
    const { failed } = await attempt(attack, 'patchcord');
    assert.deepEqual(failed, []);
  });
}
