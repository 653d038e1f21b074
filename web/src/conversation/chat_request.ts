// SPDX-License-Identifier: Apache-2.0
//
// A conversation's path as the body of POST /v1/chat/completions. The whole of it is sent each
// time: the server keeps nothing.
import { stretchToSquare } from '../pictures/raster';
import type { Node, Picture } from './conversation';
import type { Settings } from './settings';

type Part = { type: 'text'; text: string } | { type: 'image_url'; image_url: { url: string } };

export interface Message {
  role: 'user' | 'assistant';
  content: string | Part[];
}

export interface ChatRequest {
  model: string;
  messages: Message[];
  [field: string]: unknown;
}

/// A file as a data: address.
export function dataUrlOf(file: Blob): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result as string);
    reader.onerror = () => reject(new Error('the browser cannot read the picture any more: add it again'));
    reader.readAsDataURL(file);
  });
}

async function messageOf(node: Node, fileOf: (picture: Picture) => Promise<Blob>): Promise<Message> {
  const turn = node.turn;
  if (turn.role === 'assistant') return { role: 'assistant', content: turn.text };
  if (turn.pictures.length === 0) return { role: 'user', content: turn.text };
  const content: Part[] = [];
  for (const picture of turn.pictures) {
    content.push({ type: 'image_url', image_url: { url: await dataUrlOf(await fileOf(picture)) } });
  }
  if (turn.text !== '') content.push({ type: 'text', text: turn.text });
  return { role: 'user', content };
}

/// The settings as fields of a request. Crop is the original's name for leaving pictures as they
/// are, as Default does; Resize has been done to the pictures.
export function fieldsOf(settings: Settings): Record<string, unknown> {
  return {
    temperature: settings.temperature,
    top_p: settings.topP,
    ...(settings.maxTokens > 0 && { max_tokens: settings.maxTokens }),
    ...(settings.seed !== null && { seed: settings.seed }),
    ...(settings.topK !== null && { top_k: settings.topK }),
    ...(settings.stop.length > 0 && { stop: settings.stop }),
    ...(settings.preprocess === 'Pad' && { mm_processor_kwargs: { image_aspect_ratio: 'pad' } }),
  };
}

export async function chatRequestOf(model: string, path: Node[], settings: Settings): Promise<ChatRequest> {
  const fileOf = async (picture: Picture) => (settings.preprocess === 'Resize' ? stretchToSquare(picture.file) : picture.file);
  const messages: Message[] = [];
  for (const node of path) messages.push(await messageOf(node, fileOf));
  return { model, messages, ...fieldsOf(settings) };
}
