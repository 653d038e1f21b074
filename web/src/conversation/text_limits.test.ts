// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import test from 'node:test';
import type { Picture, Question } from './conversation';
import { lengthOf, limitOf, wholeTextOf, withinLimits } from './text_limits';

const ORIGINAL = { ofText: 1536, withPictures: 1200 };
const PICTURE: Picture = { digest: '', name: 'a.png', file: new Blob() };
const questionOf = (text: string, ...pictures: Picture[]): Question => ({ role: 'user', text, pictures });

test('texts are cut where the original cuts them, by code points', () => {
  for (const [limit, pictures] of [[1536, []], [1200, [PICTURE]], [1200, [PICTURE, PICTURE]]] as const) {
    assert.equal(limitOf(ORIGINAL, pictures.length), limit);
    // Each of these is two units of a JavaScript string.
    for (const character of ['a', '\u{1F30B}']) {
      const fits = questionOf(character.repeat(limit), ...pictures);
      assert.equal(withinLimits(fits, ORIGINAL), fits);
      const whole = character.repeat(limit) + 'xyz';
      const cut = withinLimits(questionOf(whole, ...pictures), ORIGINAL);
      assert.equal(cut.text, character.repeat(limit));
      assert.equal(cut.rest, 'xyz');
      assert.equal(wholeTextOf(cut), whole);
      assert.equal(lengthOf(cut.text), limit);
    }
  }
});

test('without bounds everything is sent', () => {
  const long = questionOf('a'.repeat(10_000), PICTURE);
  assert.equal(withinLimits(long, { ofText: 0, withPictures: 0 }), long);
  assert.equal(withinLimits(long, { ofText: 100, withPictures: 0 }).text.length, 100);
  assert.equal(withinLimits(questionOf('a'.repeat(50)), { ofText: 0, withPictures: 10 }).rest, undefined);
});
