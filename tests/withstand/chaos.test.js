// A short run of `node run.js chaos`.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chaos } from './chaos.js';

test('good clients are answered while everything else goes wrong', async () => {
  assert.ok(await chaos(10));
});
