// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import test from 'node:test';
import { drawPair } from './pairing';

test('every ordered pair of different models can be drawn', () => {
  const seen = new Set<string>();
  for (const first of [0, 0.4, 0.99]) {
    for (const second of [0, 0.99]) {
      const numbers = [first, second];
      seen.add(drawPair(['a', 'b', 'c'], () => numbers.shift()!).join(''));
    }
  }
  assert.deepEqual([...seen].sort(), ['ab', 'ac', 'ba', 'bc', 'ca', 'cb']);
  assert.throws(() => drawPair(['a']), /two models/);
});
