// SPDX-License-Identifier: Apache-2.0
//
// An answer as the server streams it (docs/http_api.md).
import type { ChatRequest } from '../conversation/chat_request';
import type { AnswerCost } from '../conversation/conversation';
import { readEvents } from './sse';
import { Server, ServerError } from './server';

export interface StreamedAnswer {
  text: string;
  finishReason: string;
  requestId: string;
  cost: AnswerCost | null;
}

interface Chunk {
  error?: { message?: string };
  choices?: { delta?: { content?: string }; finish_reason?: string | null }[];
  usage?: {
    prompt_tokens: number;
    completion_tokens: number;
    prompt_tokens_details?: { cached_tokens?: number; image_tokens?: number };
  } | null;
  timings?: { predicted_n: number; predicted_ms: number };
}

const CUT_SHORT = 'the connection to the server was lost in the middle of the answer: see whether it still runs, then regenerate';

/// The part of the cost that the server states; the clock is the page's.
function costOf(chunk: Chunk, firstTokenSeconds: number, totalSeconds: number): AnswerCost | null {
  const { usage, timings } = chunk;
  if (!usage) return null;
  const intervals = timings ? timings.predicted_n - 1 : 0;
  return {
    promptTokens: usage.prompt_tokens,
    imageTokens: usage.prompt_tokens_details?.image_tokens ?? 0,
    cachedTokens: usage.prompt_tokens_details?.cached_tokens ?? 0,
    answerTokens: usage.completion_tokens,
    firstTokenSeconds,
    totalSeconds,
    tokensPerSecond: timings && intervals > 0 && timings.predicted_ms > 0 ? (intervals / timings.predicted_ms) * 1000 : null,
  };
}

/// Asks, and calls `onText` with all of the text so far whenever there is more of it.
///
/// Throws: ServerError when the server refuses or is lost; DOMException AbortError when `signal`
/// ends it, which also ends the server's work.
export async function streamAnswer(
  server: Server,
  request: ChatRequest,
  signal: AbortSignal,
  onText: (text: string) => void,
): Promise<StreamedAnswer> {
  const begin = performance.now();
  const seconds = () => (performance.now() - begin) / 1000;
  const body = { ...request, stream: true, stream_options: { include_usage: true }, timings: true };
  const response = await server.postJson(server.chatPath, body, signal);
  const answer: StreamedAnswer = { text: '', finishReason: '', requestId: response.headers.get('X-Request-Id') ?? '', cost: null };
  let firstTokenSeconds = 0;
  let isDone = false;
  try {
    for await (const data of readEvents(response.body!)) {
      isDone = data === '[DONE]';
      if (isDone) break;
      const chunk: Chunk = JSON.parse(data);
      if (chunk.error) throw new ServerError(chunk.error.message ?? 'the server failed in the middle of the answer');
      const choice = chunk.choices?.[0];
      answer.finishReason = choice?.finish_reason ?? answer.finishReason;
      answer.cost = costOf(chunk, firstTokenSeconds, seconds()) ?? answer.cost;
      if (!choice?.delta?.content) continue;
      firstTokenSeconds ||= seconds();
      answer.text += choice.delta.content;
      onText(answer.text);
    }
  } catch (error) {
    if (error instanceof ServerError || signal.aborted) throw error;
    throw new ServerError(CUT_SHORT);
  }
  signal.throwIfAborted();
  if (!isDone) throw new ServerError(CUT_SHORT);
  if (answer.text.trim() === '') throw new ServerError('the answer is empty: ask in another way, or regenerate with another seed');
  return answer;
}
