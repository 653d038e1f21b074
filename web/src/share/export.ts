// SPDX-License-Identifier: Apache-2.0
//
// A conversation as a file that other programs read: the messages have the form of OpenAI's API,
// pictures inside.
import { chatRequestOf } from '../conversation/chat_request';
import { pathOf, type Conversation } from '../conversation/conversation';
import { DEFAULT_SETTINGS } from '../conversation/settings';

export async function exportOf(conversation: Conversation): Promise<Blob> {
  const path = pathOf(conversation);
  const { messages } = await chatRequestOf('', path, DEFAULT_SETTINGS);
  const answers = path.flatMap(({ turn }) => {
    if (turn.role === 'user') return [];
    const { text: _text, role: _role, ...about } = turn;
    return [about];
  });
  const file = { title: conversation.title, updated: new Date(conversation.updated).toISOString(), messages, answers };
  return new Blob([JSON.stringify(file, null, 2)], { type: 'application/json' });
}

/// A name that every file system takes.
export function fileNameOf(conversation: Conversation): string {
  const words = conversation.title.normalize('NFKD').replace(/[^A-Za-z0-9]+/g, '-').replace(/^-|-$/g, '').toLowerCase();
  return `llava-${words.slice(0, 40) || 'conversation'}.json`;
}
