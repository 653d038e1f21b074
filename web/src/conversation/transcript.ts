// SPDX-License-Identifier: Apache-2.0
//
// A conversation on the screen: its turns, the answer that is being written, and what went wrong.
import type { Attention } from '../look/attention';
import { lookButton } from '../look/look_button';
import { copyButton, make } from '../page/dom';
import { renderMarkdown } from '../page/markdown';
import { thumbnail } from '../pictures/thumbnail';
import { pathOf, picturesBefore, siblingsOf, type Answer, type Conversation, type Node, type Question } from './conversation';
import { lengthOf } from './text_limits';

/// What the user can do with a turn.
export interface TurnActions {
  edit?: (node: Node, question: Question) => void;
  reproduce?: (node: Node) => void;
  showBranch: (node: Node) => void;
  /// Asks where an answer looked.
  look?: (node: Node, signal: AbortSignal) => Promise<Attention>;
  /// The name over an answer.
  nameOf: (answer: Answer) => string;
}

/// Milliseconds between two drawings of an answer that is being written.
const REDRAW_MS = 60;

/// What an answer cost, in one line.
function costLine(answer: Answer): string {
  const parts: string[] = [];
  const cost = answer.cost;
  if (answer.finishReason === 'stopped') parts.push('stopped');
  if (answer.finishReason === 'length') parts.push('cut at the most tokens allowed');
  if (cost) {
    parts.push(`${cost.answerTokens} tokens in ${cost.totalSeconds.toFixed(1)} s`);
    if (cost.tokensPerSecond !== null) parts.push(`${cost.tokensPerSecond.toFixed(1)} tokens/s`);
    parts.push(`first after ${cost.firstTokenSeconds.toFixed(2)} s`);
    parts.push(`prompt ${cost.promptTokens} tokens, ${cost.imageTokens} of pictures, ${cost.cachedTokens} from the cache`);
  }
  return parts.join(' \u00b7 ');
}

/// What was cut from a question.
function unsent(text: string, rest: string): HTMLElement {
  const summary = `Cut at ${lengthOf(text)} characters: ${lengthOf(rest)} more were not sent`;
  return make('details', { className: 'unsent' }, make('summary', { textContent: summary }), make('div', { className: 'text plain', textContent: rest }));
}

export class Transcript {
  private written: HTMLElement | null = null;
  private timer = 0;

  constructor(
    private readonly panel: HTMLElement,
    private readonly actions: TurnActions,
  ) {}

  /// Draws all turns of the path.
  show(conversation: Conversation): void {
    this.endWriting();
    this.panel.replaceChildren(
      ...pathOf(conversation).map((node) => {
        const turn = node.turn;
        return turn.role === 'user' ? this.question(conversation, node, turn) : this.answer(conversation, node, turn);
      }),
    );
    this.scrollToEnd();
  }

  /// Draws the answer so far, with a cursor behind it.
  write(text: string): void {
    if (!this.written) {
      this.written = make('div', { className: 'text' });
      this.panel.append(make('article', { className: 'turn answer', 'aria-label': 'Answer being written', 'aria-busy': 'true' }, this.written));
      this.draw(text);
    }
    if (this.timer !== 0) clearTimeout(this.timer);
    const element = this.written;
    const since = performance.now() - Number(element.dataset.drawn ?? 0);
    if (since >= REDRAW_MS) this.draw(text);
    else this.timer = window.setTimeout(() => this.draw(text), REDRAW_MS - since);
  }

  /// Shows what went wrong behind the turns. It is no part of the conversation.
  fail(message: string): void {
    this.endWriting();
    this.panel.append(make('div', { className: 'turn failure', role: 'alert', textContent: message }));
    this.scrollToEnd();
  }

  private draw(text: string): void {
    this.timer = 0;
    if (!this.written) return;
    const isAtEnd = this.panel.scrollHeight - this.panel.scrollTop - this.panel.clientHeight < 40;
    this.written.replaceChildren(renderMarkdown(text), make('span', { className: 'cursor', 'aria-hidden': 'true', textContent: '\u258c' }));
    this.written.dataset.drawn = String(performance.now());
    if (isAtEnd) this.scrollToEnd();
  }

  private endWriting(): void {
    clearTimeout(this.timer);
    this.timer = 0;
    this.written?.parentElement?.remove();
    this.written = null;
  }

  private scrollToEnd(): void {
    this.panel.scrollTop = this.panel.scrollHeight;
  }

  private question(conversation: Conversation, node: Node, question: Question): HTMLElement {
    const tools = this.branchTools(conversation, node);
    const edit = this.actions.edit;
    if (edit) {
      const button = make('button', { type: 'button', className: 'small', textContent: 'Edit' });
      button.addEventListener('click', () => edit(node, question));
      tools.append(button);
    }
    const pictures = question.pictures.map((picture, index) => thumbnail(picture, index + 1));
    return make(
      'article',
      { className: 'turn question', 'aria-label': 'You' },
      pictures.length > 0 && make('div', { className: 'thumbnails' }, ...pictures),
      make('div', { className: 'text plain', textContent: question.text }),
      question.rest !== undefined && unsent(question.text, question.rest),
      tools,
    );
  }

  private answer(conversation: Conversation, node: Node, answer: Answer): HTMLElement {
    const tools = this.branchTools(conversation, node);
    tools.append(copyButton('Copy', () => answer.text));
    const reproduce = this.actions.reproduce;
    if (reproduce) {
      const button = make('button', { type: 'button', className: 'small', textContent: 'Reproduce', title: `A link to this question with its settings and the seed ${answer.settings.seed}` });
      button.addEventListener('click', () => reproduce(node));
      tools.append(button);
    }
    const text = make('div', { className: 'text' }, renderMarkdown(answer.text));
    const pictures = picturesBefore(conversation, node);
    const look = this.actions.look;
    if (look && pictures.length > 0) {
      tools.append(lookButton(answer, pictures, text, (signal) => look(node, signal)));
    }
    const name = this.actions.nameOf(answer);
    return make(
      'article',
      { className: 'turn answer', 'aria-label': name },
      make('div', { className: 'name', textContent: name }),
      text,
      make('div', { className: 'cost', textContent: costLine(answer) }),
      tools,
    );
  }

  /// Where a turn has others beside it: which of them this is, and ways to its neighbours.
  private branchTools(conversation: Conversation, node: Node): HTMLElement {
    const tools = make('div', { className: 'tools' });
    const siblings = siblingsOf(conversation, node);
    if (siblings.length < 2) return tools;
    const index = siblings.indexOf(node);
    const step = (label: string, symbol: string, target: Node | undefined) => {
      const button = make('button', { type: 'button', className: 'small', textContent: symbol, 'aria-label': label, disabled: !target });
      if (target) button.addEventListener('click', () => this.actions.showBranch(target));
      return button;
    };
    tools.append(
      step('Previous version', '\u2039', siblings[index - 1]),
      make('span', { className: 'branch', textContent: `${index + 1}/${siblings.length}` }),
      step('Next version', '\u203a', siblings[index + 1]),
    );
    return tools;
  }
}
