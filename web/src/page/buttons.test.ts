// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import test from 'node:test';
import { buttonStatesOf } from './buttons';

test('buttons follow the original', () => {
  const enabled = (state: Parameters<typeof buttonStatesOf>[0]) =>
    Object.entries(buttonStatesOf(state))
      .filter(([, isEnabled]) => isEnabled)
      .map(([name]) => name);
  assert.deepEqual(enabled('empty'), []);
  assert.deepEqual(enabled('answering'), ['stop']);
  assert.deepEqual(enabled('answered'), ['vote', 'regenerate', 'clear']);
  assert.deepEqual(enabled('voted'), ['regenerate', 'clear']);
  assert.deepEqual(enabled('failed'), ['regenerate', 'clear']);
});
