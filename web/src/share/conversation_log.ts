// SPDX-License-Identifier: Apache-2.0
//
// What the server's conversation log is told (POST /web/log), where it keeps one.
import { Server } from '../api/server';
import type { ChatRequest, Message } from '../conversation/chat_request';
import type { Answer, Vote } from '../conversation/conversation';

/// The arena's votes have FastChat's names.
export type ArenaVote = 'leftvote' | 'rightvote' | 'tievote' | 'bothbad_vote';

function answered(request: ChatRequest, text: string): ChatRequest {
  return { ...request, messages: [...request.messages, { role: 'assistant', content: text }] };
}

/// A vote says where pictures stood, not again what they showed.
function withoutPictures(message: Message): Message {
  if (typeof message.content === 'string') return message;
  return { ...message, content: message.content.map((part) => (part.type === 'text' ? part : { type: 'image_url', image_url: { url: 'data:' } })) };
}

export class ConversationLog {
  constructor(
    private readonly server: Server,
    readonly keeps: boolean,
  ) {}

  /// An answer that came to its end.
  async chat(request: ChatRequest, answer: Answer): Promise<void> {
    if (!this.keeps) return;
    await this.server.postJson('/web/log', {
      type: 'chat',
      requests: [answered(request, answer.text)],
      seconds: answer.cost?.totalSeconds ?? 0,
      request_id: answer.requestId,
      finish_reason: answer.finishReason,
    });
  }

  async vote(type: Vote | ArenaVote, voted: { request: ChatRequest; answer: Answer }[]): Promise<void> {
    const requests = voted.map(({ request, answer }) => answered({ ...request, messages: request.messages.map(withoutPictures) }, answer.text));
    await this.server.postJson('/web/log', { type, requests });
  }
}
