// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import test from 'node:test';
import { append, newConversation, pathOf, showBranch, siblingsOf, withdraw, type Answer, type Question } from './conversation';
import { DEFAULT_SETTINGS, readSettings, withSeed } from './settings';

const question = (text: string): Question => ({ role: 'user', text, pictures: [] });
const answer = (text: string): Answer => ({
  role: 'assistant',
  text,
  model: 'm',
  settings: { ...DEFAULT_SETTINGS, seed: 1 },
  finishReason: 'stop',
  requestId: '',
  cost: null,
});

test('branches stand beside each other and are shown to their end', () => {
  const conversation = newConversation();
  const texts = () => pathOf(conversation).map((node) => node.turn.text);
  const first = append(conversation, null, question('Q1'));
  const a1 = append(conversation, first.id, answer('A1'));
  const second = append(conversation, a1.id, question('Q2'));
  append(conversation, second.id, answer('A2'));
  assert.deepEqual(texts(), ['Q1', 'A1', 'Q2', 'A2']);

  const again = append(conversation, first.id, answer('A1 again'));
  assert.deepEqual(texts(), ['Q1', 'A1 again']);
  assert.deepEqual(siblingsOf(conversation, again), [a1, again]);

  append(conversation, null, question('Q1 edited'));
  assert.deepEqual(texts(), ['Q1 edited']);

  showBranch(conversation, a1);
  assert.deepEqual(texts(), ['Q1', 'A1', 'Q2', 'A2']);
  showBranch(conversation, first);
  assert.deepEqual(texts(), ['Q1', 'A1 again']);
});

test('the title is the first question, shortened between characters', () => {
  const conversation = newConversation();
  append(conversation, null, question('\u{1F30B}'.repeat(60)));
  assert.equal(conversation.title, '\u{1F30B}'.repeat(47) + '\u2026');
});

test('settings from outside are taken where they are right', () => {
  const read = readSettings({ temperature: 2, topP: 0.5, maxTokens: '9', preprocess: 'Pad', seed: 7, topK: 0, stop: ['', 1, 'x'] });
  assert.deepEqual(read, { ...DEFAULT_SETTINGS, topP: 0.5, preprocess: 'Pad', seed: 7, stop: ['x'] });
  assert.deepEqual(readSettings(null), DEFAULT_SETTINGS);
  assert.equal(withSeed(read).seed, 7);
  assert.ok(Number.isInteger(withSeed(DEFAULT_SETTINGS).seed));
});

test('a question that is taken back leaves the conversation as it was', () => {
  const conversation = newConversation();
  const first = append(conversation, null, question('Q1'));
  const a1 = append(conversation, first.id, answer('A1'));
  withdraw(conversation, append(conversation, a1.id, question('bad')));
  assert.deepEqual(conversation.nodes, [first, a1]);
  assert.equal(conversation.leaf, a1.id);
  assert.equal(conversation.title, 'Q1');
  const other = newConversation();
  withdraw(other, append(other, null, question('bad')));
  assert.deepEqual([other.nodes, other.leaf, other.title], [[], null, '']);
});
