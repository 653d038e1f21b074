// SPDX-License-Identifier: Apache-2.0
//
// Lane: one conversation with one model at a time, from the question to the answer that is kept. The
// chat has one lane, the arena two.
import { streamAnswer } from '../api/chat_stream';
import { Server, ServerError } from '../api/server';
import type { LaneState } from '../page/buttons';
import { chatRequestOf, type ChatRequest } from './chat_request';
import { append, newConversation, pathOf, withdraw, type Answer, type Conversation, type Node, type Question } from './conversation';
import { withSeed, type Settings } from './settings';
import type { Transcript } from './transcript';

/// The code of a question that the server's moderation does not let pass.
const MODERATED = 'content_moderated';

export class Lane {
  conversation: Conversation = newConversation();
  private controller: AbortController | null = null;
  private hasFailed = false;
  /// The words of a server that will not answer the last question, which is gone then; else empty.
  refusal = '';

  /// `onChange` is called whenever the state or a conversation is another than before.
  constructor(
    private readonly server: Server,
    private readonly transcript: Transcript,
    private readonly onChange: (changed: Conversation) => void,
  ) {}

  get state(): LaneState {
    if (this.controller) return 'answering';
    const turn = this.leaf?.turn;
    if (!turn) return 'empty';
    // A question without an answer is what is left of one that failed, or that a reload cut short.
    if (this.hasFailed || turn.role === 'user') return 'failed';
    return turn.vote ? 'voted' : 'answered';
  }

  get leaf(): Node | undefined {
    return pathOf(this.conversation).at(-1);
  }

  /// The last answer, where the last turn is one.
  get answer(): Answer | null {
    const turn = this.leaf?.turn;
    return turn?.role === 'assistant' ? turn : null;
  }

  /// Shows another conversation, ending what is under way.
  open(conversation: Conversation): void {
    this.stop();
    this.controller = null;
    this.conversation = conversation;
    this.hasFailed = false;
    this.show();
  }

  show(): void {
    this.transcript.show(this.conversation);
    this.onChange(this.conversation);
  }

  /// Puts a question behind `parent` and has it answered.
  ask(parent: string | null, question: Question, model: string, settings: Settings): Promise<ChatRequest | null> {
    append(this.conversation, parent, question);
    return this.run(model, settings);
  }

  /// Takes the last question back, with the server's words for the user; false where it has been
  /// answered before.
  private takesBack(conversation: Conversation, words: string): boolean {
    const node = pathOf(conversation).at(-1);
    if (!node || conversation.nodes.some(({ parent }) => parent === node.id)) return false;
    withdraw(conversation, node);
    this.refusal = words;
    return true;
  }

  /// Another answer to the last question, beside the one that is there.
  regenerate(model: string, settings: Settings): Promise<ChatRequest | null> {
    const leaf = this.leaf;
    if (leaf?.turn.role === 'assistant') this.conversation.leaf = leaf.parent;
    return this.run(model, settings);
  }

  /// Ends the answer that is being written; what there is of it stays.
  stop(): void {
    this.controller?.abort();
  }

  /// Answers the leaf, which is a question. The request that was answered to its end, for the log;
  /// null when there is none.
  private async run(model: string, settings: Settings): Promise<ChatRequest | null> {
    const conversation = this.conversation;
    const question = conversation.leaf;
    const controller = new AbortController();
    const seeded = withSeed(settings);
    this.controller = controller;
    this.hasFailed = false;
    this.refusal = '';
    this.show();
    this.transcript.write('');
    let text = '';
    const keep = (parts: Pick<Answer, 'text' | 'finishReason' | 'requestId' | 'cost'>) =>
      append(conversation, question, { role: 'assistant', model, settings: seeded, ...parts });
    let request: ChatRequest | null = null;
    let failure = '';
    try {
      request = await chatRequestOf(model, pathOf(conversation), seeded);
      const answer = await streamAnswer(this.server, request, controller.signal, (soFar) => {
        text = soFar;
        if (this.conversation === conversation) this.transcript.write(soFar);
      });
      keep(answer);
    } catch (error) {
      request = null;
      const isModerated = error instanceof ServerError && error.code === MODERATED;
      if (isModerated && this.takesBack(conversation, error.message)) text = '';
      else if (!controller.signal.aborted) failure = wordsOf(error);
      else if (text !== '') keep({ text, finishReason: 'stopped', requestId: '', cost: null });
    }
    if (this.controller === controller) this.controller = null;
    if (this.conversation !== conversation) {
      this.onChange(conversation);
      return request;
    }
    this.hasFailed = failure !== '';
    this.show();
    if (failure !== '') this.transcript.fail(failure);
    return request;
  }
}

function wordsOf(error: unknown): string {
  if (error instanceof ServerError && error.status === 503) return `${error.message}; try again in a moment`;
  return error instanceof Error ? error.message : String(error);
}
