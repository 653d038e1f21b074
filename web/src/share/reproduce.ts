// SPDX-License-Identifier: Apache-2.0
//
// A link to a question with everything that its answer depends on: model, settings, seed, what was
// said before, and which pictures. Pictures do not fit into a link: it names them by their digests.
import { append, newConversation, type Conversation, type Node, type Picture, type Question } from '../conversation/conversation';
import { readSettings, withSeed, type Settings } from '../conversation/settings';

export interface LinkedPicture {
  digest: string;
  name: string;
}

export interface LinkedTurn {
  role: 'user' | 'assistant';
  text: string;
  pictures: LinkedPicture[];
}

export interface Recipe {
  model: string;
  settings: Settings;
  /// The last one is the question.
  turns: LinkedTurn[];
}

const PREFIX = '#reproduce=';

/// What leads to an answer, the last node of `path`.
export function recipeOf(path: Node[]): Recipe {
  const answer = path.at(-1)?.turn;
  if (answer?.role !== 'assistant') throw new Error('the path does not end with an answer');
  const turns = path.slice(0, -1).map(({ turn }) => ({
    role: turn.role,
    text: turn.text,
    pictures: turn.role === 'user' ? turn.pictures.map(({ digest, name }) => ({ digest, name })) : [],
  }));
  return { model: answer.model, settings: answer.settings, turns };
}

/// The part of an address from "#" on.
export function fragmentOf(recipe: Recipe): string {
  const bytes = new TextEncoder().encode(JSON.stringify(recipe));
  let binary = '';
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return PREFIX + btoa(binary).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}

function readTurn(value: unknown, index: number): LinkedTurn | null {
  const turn = value as Partial<LinkedTurn> | null;
  const role = index % 2 === 0 ? 'user' : 'assistant';
  if (turn?.role !== role || typeof turn.text !== 'string' || !Array.isArray(turn.pictures)) return null;
  const isPicture = (each: Partial<LinkedPicture> | null) => typeof each?.name === 'string' && typeof each.digest === 'string' && /^[0-9a-f]{64}$/.test(each.digest);
  if (!turn.pictures.every(isPicture) || (role === 'assistant' && turn.pictures.length > 0)) return null;
  return { role, text: turn.text, pictures: turn.pictures.map(({ digest, name }) => ({ digest, name })) };
}

/// Null when the fragment is no such link.
///
/// Throws: Error in words for the user for a link that is damaged.
export function recipeIn(fragment: string): Recipe | null {
  if (!fragment.startsWith(PREFIX)) return null;
  try {
    const binary = atob(fragment.slice(PREFIX.length).replaceAll('-', '+').replaceAll('_', '/'));
    const bytes = Uint8Array.from(binary, (character) => character.charCodeAt(0));
    const value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    const turns: (LinkedTurn | null)[] = Array.isArray(value?.turns) ? value.turns.map(readTurn) : [];
    if (typeof value?.model === 'string' && turns.length % 2 === 1 && turns.every((turn) => turn !== null)) {
      return { model: value.model, settings: readSettings(value.settings), turns: turns as LinkedTurn[] };
    }
  } catch {
    // Neither base64, nor text, nor JSON.
  }
  throw new Error('the link to reproduce an answer is damaged: copy it again, whole');
}

/// The conversation up to the question, and the question. Pictures are looked for in `kept`; the
/// names of those that are not there are `missing`.
export function unfold(recipe: Recipe, kept: Conversation[]): { conversation: Conversation; question: Question; missing: string[] } {
  const known = new Map<string, Picture>();
  for (const { turn } of kept.flatMap(({ nodes }) => nodes)) {
    if (turn.role === 'user') for (const picture of turn.pictures) known.set(picture.digest, picture);
  }
  const missing = recipe.turns.flatMap(({ pictures }) => pictures.filter(({ digest }) => !known.has(digest)).map(({ name }) => name));
  const questionOf = ({ text, pictures }: LinkedTurn): Question => ({
    role: 'user',
    text,
    pictures: pictures.flatMap(({ digest }) => known.get(digest) ?? []),
  });
  const about = { model: recipe.model, settings: withSeed(recipe.settings), finishReason: 'stop', requestId: '', cost: null };
  const conversation = newConversation();
  for (const turn of recipe.turns.slice(0, -1)) {
    append(conversation, conversation.leaf, turn.role === 'user' ? questionOf(turn) : { role: 'assistant', text: turn.text, ...about });
  }
  return { conversation, question: questionOf(recipe.turns.at(-1)!), missing };
}
