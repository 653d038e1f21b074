// SPDX-License-Identifier: Apache-2.0
//
// The arena: one question to two models, side by side, and a vote. As long as it is anonymous, the
// models are drawn by chance and named after the vote.
import type { PageConfig, Server } from '../api/server';
import { chatRequestOf, type ChatRequest } from '../conversation/chat_request';
import { newConversation, pathOf, showBranch, type Answer, type Node, type Question } from '../conversation/conversation';
import { Lane } from '../conversation/lane';
import type { Settings } from '../conversation/settings';
import { Transcript } from '../conversation/transcript';
import { attentionOf } from '../look/attention';
import { announce, find, notify } from '../page/dom';
import type { LaneState } from '../page/buttons';
import type { ModelList } from '../page/model_list';
import type { ArenaVote, ConversationLog } from '../share/conversation_log';
import { drawPair } from './pairing';

const VOTES: Record<string, ArenaVote> = {
  'vote-a': 'leftvote',
  'vote-b': 'rightvote',
  'vote-tie': 'tievote',
  'vote-both-bad': 'bothbad_vote',
};

interface Side {
  letter: 'A' | 'B';
  lane: Lane;
  select: HTMLSelectElement;
  heading: HTMLElement;
  model: string;
}

export class Arena {
  private readonly sides: [Side, Side];
  private readonly anonymous = find<HTMLInputElement>('anonymous');
  private hasVoted = false;

  constructor(
    private readonly server: Server,
    private readonly config: PageConfig,
    private readonly models: ModelList,
    private readonly log: ConversationLog,
    private readonly onChange: () => void,
  ) {
    this.sides = [this.makeSide('A'), this.makeSide('B')];
    for (const [id, vote] of Object.entries(VOTES)) find(id).addEventListener('click', () => this.vote(vote));
    this.anonymous.addEventListener('change', () => this.clear());
    for (const side of this.sides) side.select.addEventListener('change', () => this.clear());
  }

  /// Both have ended, or either has not.
  get state(): LaneState {
    const states = this.sides.map(({ lane }) => lane.state);
    if (states.includes('answering')) return 'answering';
    if (states.includes('failed')) return 'failed';
    if (states.includes('empty')) return 'empty';
    return this.hasVoted ? 'voted' : 'answered';
  }

  get numPictures(): number {
    return pathOf(this.sides[0].lane.conversation).reduce((sum, { turn }) => sum + (turn.role === 'user' ? turn.pictures.length : 0), 0);
  }

  /// Offers the models there are; two different ones where nothing was chosen yet.
  showModels(): void {
    const [a, b] = this.sides;
    const hasChoice = a.select.value !== '' && b.select.value !== '';
    for (const side of this.sides) this.models.fill(side.select);
    if (!hasChoice && this.models.models.length > 1) b.select.selectedIndex = 1;
    this.show();
  }

  async ask(question: Question, settings: Settings): Promise<void> {
    if (this.state === 'empty' || this.hasVoted) this.begin();
    this.hasVoted = false;
    await this.both((side) => side.lane.ask(side.lane.conversation.leaf, question, side.model, settings));
  }

  async regenerate(settings: Settings): Promise<void> {
    await this.both((side) => side.lane.regenerate(side.model, settings));
  }

  /// The words of a server that will not answer the last question; else empty.
  get refusal(): string {
    return this.sides.map(({ lane }) => lane.refusal).find((words) => words !== '') ?? '';
  }

  stop(): void {
    for (const { lane } of this.sides) lane.stop();
  }

  /// A new round.
  clear(): void {
    for (const side of this.sides) {
      side.model = '';
      side.lane.open(newConversation());
    }
    this.hasVoted = false;
    this.show();
  }

  /// Chooses who meets; after a vote, others may.
  private begin(): void {
    const [a, b] = this.sides;
    if (this.hasVoted && this.anonymous.checked) this.clear();
    if (this.anonymous.checked) {
      [a.model, b.model] = drawPair(this.models.models.map(({ id }) => id));
    } else {
      a.model = a.select.value;
      b.model = b.select.value;
    }
    this.show();
  }

  private async both(run: (side: Side) => Promise<ChatRequest | null>): Promise<void> {
    await Promise.all(
      this.sides.map(async (side) => {
        const request = await run(side);
        const answer = side.lane.answer;
        if (request && answer) await this.log.chat(request, answer).catch((error: Error) => notify(error.message));
      }),
    );
    announce(this.state === 'answered' ? 'Both models have answered: vote for the better one' : '');
  }

  private async vote(vote: ArenaVote): Promise<void> {
    this.hasVoted = true;
    for (const { lane } of this.sides) lane.show();
    announce(this.sides.map(({ letter, model }) => `Model ${letter} is ${model}`).join(', '));
    try {
      await this.log.vote(vote, await Promise.all(this.sides.map((side) => this.voted(side))));
    } catch (error) {
      notify((error as Error).message);
    }
  }

  private async voted({ lane }: Side): Promise<{ request: ChatRequest; answer: Answer }> {
    const answer = lane.answer!;
    return { request: await chatRequestOf(answer.model, pathOf(lane.conversation).slice(0, -1), answer.settings), answer };
  }

  private makeSide(letter: 'A' | 'B'): Side {
    const id = letter.toLowerCase();
    const transcript = new Transcript(find(`arena-${id}`), {
      showBranch: (node) => {
        if (lane.state === 'answering') return;
        showBranch(lane.conversation, node);
        lane.show();
      },
      nameOf: () => this.nameOf(side),
      ...(this.config.has_attention && { look: (node: Node, signal: AbortSignal) => attentionOf(this.server, lane.conversation, node, signal) }),
    });
    const lane: Lane = new Lane(this.server, transcript, () => {
      this.show();
      this.onChange();
    });
    const side: Side = { letter, lane, select: find(`arena-model-${id}`), heading: find(`arena-name-${id}`), model: '' };
    return side;
  }

  private nameOf({ letter, model }: Side): string {
    const isNamed = model !== '' && (!this.anonymous.checked || this.hasVoted);
    return isNamed ? `Model ${letter}: ${model}` : `Model ${letter}`;
  }

  private show(): void {
    for (const side of this.sides) {
      side.heading.textContent = this.nameOf(side);
      side.select.hidden = this.anonymous.checked;
    }
    for (const id of Object.keys(VOTES)) find<HTMLButtonElement>(id).disabled = this.state !== 'answered';
  }
}
