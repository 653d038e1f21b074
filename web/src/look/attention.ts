// SPDX-License-Identifier: Apache-2.0
//
// Where an answer looked, as the server says it (docs/http_api.md, /v1/attention).
import type { Server } from '../api/server';
import { chatRequestOf, type ChatRequest } from '../conversation/chat_request';
import { pathOf, type Answer, type Conversation, type Node } from '../conversation/conversation';

/// Equal cells over a picture. The rectangle is in fractions of the picture and may reach beyond it.
export interface Grid {
  rows: number;
  columns: number;
  rectangle: { x: number; y: number; width: number; height: number };
}

/// What one token gave to one picture: all of it, and the weights of each grid's cells, row by row.
export interface Gaze {
  share: number;
  weights: Float32Array[];
}

export interface LookedToken {
  text: string;
  gazes: Gaze[];
}

export interface Attention {
  /// The grids of each picture, in the order of the conversation.
  pictures: Grid[][];
  tokens: LookedToken[];
}

interface Body {
  num_answer_tokens: number;
  images: { grids: Grid[] }[];
  tokens: { text: string; images: { share: number; weights: string[] }[] }[];
}

/// Tokens asked for at a time: the server bounds how many numbers one answer may have.
const TOKENS_AT_A_TIME = 128;

/// Little-endian float32 numbers in base64.
export function floatsOf(base64: string): Float32Array {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Float32Array.from({ length: bytes.length / 4 }, (_, index) => view.getFloat32(4 * index, true));
}

/// Asks for all tokens of the answer that ends the request's messages.
///
/// Throws: ServerError; DOMException AbortError when `signal` ends it.
export async function askAttention(server: Server, request: ChatRequest, signal: AbortSignal): Promise<Attention> {
  const attention: Attention = { pictures: [], tokens: [] };
  for (;;) {
    const begin = attention.tokens.length;
    const range = { tokens: [begin, begin + TOKENS_AT_A_TIME], encoding_format: 'base64' };
    const body: Body = await (await server.postJson('/v1/attention', { ...request, ...range }, signal)).json();
    attention.pictures = body.images.map(({ grids }) => grids);
    for (const token of body.tokens) {
      const gazes = token.images.map(({ share, weights }) => ({ share, weights: weights.map(floatsOf) }));
      attention.tokens.push({ text: token.text, gazes });
    }
    if (body.tokens.length === 0 || attention.tokens.length >= body.num_answer_tokens) return attention;
  }
}

/// Asks where an answer of a conversation looked, which is `node` on its path.
export async function attentionOf(server: Server, conversation: Conversation, node: Node, signal: AbortSignal): Promise<Attention> {
  const path = pathOf(conversation);
  const answer = node.turn as Answer;
  return askAttention(server, await chatRequestOf(answer.model, path.slice(0, path.indexOf(node) + 1), answer.settings), signal);
}
