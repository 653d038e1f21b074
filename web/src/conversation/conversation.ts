// SPDX-License-Identifier: Apache-2.0
//
// A conversation is a tree: an edited question or another answer is a branch beside the first one.
// What is shown, and sent, is the path from the root to `leaf`.
import type { Settings } from './settings';

export interface Picture {
  /// SHA-256 of the file, in hexadecimal.
  digest: string;
  name: string;
  file: Blob;
}

export interface Question {
  role: 'user';
  text: string;
  /// What the user wrote beyond the server's bound: it was not sent.
  rest?: string;
  pictures: Picture[];
}

/// What the server says of the work that an answer was.
export interface AnswerCost {
  promptTokens: number;
  imageTokens: number;
  cachedTokens: number;
  answerTokens: number;
  firstTokenSeconds: number;
  totalSeconds: number;
  /// Between the first and the last token; null where the server does not time.
  tokensPerSecond: number | null;
}

export type Vote = 'upvote' | 'downvote' | 'flag';

export interface Answer {
  role: 'assistant';
  text: string;
  model: string;
  settings: Settings & { seed: number };
  /// "stopped": by the user.
  finishReason: string;
  requestId: string;
  /// Null for an answer that was stopped.
  cost: AnswerCost | null;
  vote?: Vote;
}

export type Turn = Question | Answer;

export interface Node {
  id: string;
  parent: string | null;
  turn: Turn;
}

export interface Conversation {
  id: string;
  title: string;
  /// Milliseconds since 1970.
  updated: number;
  nodes: Node[];
  leaf: string | null;
}

/// 128 random bits. (crypto.randomUUID exists on safe origins only, and a phone in the house comes
/// over plain http.)
function newId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

export function newConversation(): Conversation {
  return { id: newId(), title: '', updated: Date.now(), nodes: [], leaf: null };
}

function find(conversation: Conversation, id: string | null): Node | undefined {
  return conversation.nodes.find((node) => node.id === id);
}

/// The nodes from the root to the leaf.
export function pathOf(conversation: Conversation): Node[] {
  const path: Node[] = [];
  for (let node = find(conversation, conversation.leaf); node; node = find(conversation, node.parent)) path.unshift(node);
  return path;
}

/// The pictures of the path's questions in front of a node of it.
export function picturesBefore(conversation: Conversation, node: Node): Picture[] {
  const path = pathOf(conversation);
  return path.slice(0, path.indexOf(node)).flatMap(({ turn }) => (turn.role === 'user' ? turn.pictures : []));
}

/// All nodes that stand in the place of this one, oldest first.
export function siblingsOf(conversation: Conversation, node: Node): Node[] {
  return conversation.nodes.filter((other) => other.parent === node.parent && other.turn.role === node.turn.role);
}

/// Puts a turn behind `parent` and makes it the leaf.
export function append(conversation: Conversation, parent: string | null, turn: Turn): Node {
  const node = { id: newId(), parent, turn };
  conversation.nodes.push(node);
  conversation.leaf = node.id;
  conversation.updated = Date.now();
  if (conversation.title === '' && turn.role === 'user') conversation.title = titleOf(turn);
  return node;
}

/// Takes a turn without anything behind it away; the one before it is the leaf.
export function withdraw(conversation: Conversation, node: Node): void {
  conversation.nodes = conversation.nodes.filter((other) => other !== node);
  conversation.leaf = node.parent;
  conversation.updated = Date.now();
  if (conversation.nodes.length === 0) conversation.title = '';
}

/// Shows the branch through `node`: down to its latest end.
export function showBranch(conversation: Conversation, node: Node): void {
  let last = node;
  for (;;) {
    const children = conversation.nodes.filter((child) => child.parent === last.id);
    if (children.length === 0) break;
    last = children[children.length - 1]!;
  }
  conversation.leaf = last.id;
}

function titleOf(question: Question): string {
  const text = question.text.trim().replace(/\s+/g, ' ') || question.pictures[0]?.name || 'Conversation';
  const characters = Array.from(text);
  return characters.length > 48 ? characters.slice(0, 47).join('') + '\u2026' : text;
}
