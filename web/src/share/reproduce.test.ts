// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import test from 'node:test';
import { append, newConversation, pathOf } from '../conversation/conversation';
import { DEFAULT_SETTINGS } from '../conversation/settings';
import { fragmentOf, recipeIn, recipeOf, unfold } from './reproduce';

const settings = { ...DEFAULT_SETTINGS, seed: 42, stop: ['\n'] };
const picture = { digest: 'ab'.repeat(32), name: '<b>\u{1F30B}.png' };

function recipe(conversation = newConversation()) {
  const question = append(conversation, null, { role: 'user', text: 'What \u2026?', pictures: [{ ...picture, file: new Blob() }] });
  append(conversation, question.id, { role: 'assistant', text: 'A', model: 'org/m', settings, finishReason: 'stop', requestId: '', cost: null });
  return recipeOf(pathOf(conversation));
}

test('a link gives back what it was made of', () => {
  const made = recipe();
  assert.deepEqual(made, { model: 'org/m', settings, turns: [{ role: 'user', text: 'What \u2026?', pictures: [picture] }] });
  const fragment = fragmentOf(made);
  assert.match(fragment, /^#reproduce=[A-Za-z0-9_-]+$/);
  assert.deepEqual(recipeIn(fragment), made);
});

test('pictures are found again where they are kept', () => {
  const kept = newConversation();
  const asked = recipe(kept);
  const answered = { role: 'assistant' as const, text: 'A', pictures: [] };
  const longer = { ...asked, turns: [asked.turns[0]!, answered, { role: 'user' as const, text: 'and?', pictures: [] }] };
  const { conversation, question, missing } = unfold(longer, [kept]);
  assert.deepEqual(pathOf(conversation).map(({ turn }) => turn.text), ['What \u2026?', 'A']);
  assert.deepEqual([question.text, missing], ['and?', []]);
  assert.deepEqual(unfold(longer, []).missing, [picture.name]);
});

test('other fragments are no links, damaged ones are refused', () => {
  assert.equal(recipeIn(''), null);
  assert.equal(recipeIn('#chatbot'), null);
  const fragment = fragmentOf(recipe());
  const damaged = (value: unknown) => '#reproduce=' + btoa(JSON.stringify(value));
  for (const wrong of [
    fragment.slice(0, -9),
    '#reproduce=',
    '#reproduce=%',
    damaged(null),
    damaged({ model: 1, turns: [] }),
    damaged({ model: 'm', turns: [{ role: 'assistant', text: '', pictures: [] }] }),
    damaged({ model: 'm', turns: [{ role: 'user', text: '', pictures: [{ digest: '../x', name: 'x' }] }] }),
  ]) {
    assert.throws(() => recipeIn(wrong), /damaged/, wrong);
  }
});
