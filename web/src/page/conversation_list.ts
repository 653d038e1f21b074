// SPDX-License-Identifier: Apache-2.0
//
// The list of conversations that this browser keeps.
import type { Conversation } from '../conversation/conversation';
import { find, make, openDialog } from './dom';

const OPENED = 'llava.opened';

export interface ListActions {
  open: (conversation: Conversation) => void;
  renamed: (conversation: Conversation) => void;
  removed: (conversation: Conversation) => void;
}

export class ConversationList {
  all: Conversation[] = [];
  private opened: Conversation | null = null;

  constructor(private readonly actions: ListActions) {}

  /// The one that was open last is open again.
  show(conversations: Conversation[]): void {
    this.all = conversations;
    this.opened = conversations.find(({ id }) => id === localStorage.getItem(OPENED)) ?? null;
    this.draw();
  }

  get current(): Conversation | null {
    return this.opened;
  }

  set current(conversation: Conversation | null) {
    this.opened = conversation;
    if (conversation) localStorage.setItem(OPENED, conversation.id);
    this.draw();
  }

  /// Puts a conversation on top; one that is there already stays where it is.
  add(conversation: Conversation): void {
    if (this.all.includes(conversation)) return;
    this.all = [conversation, ...this.all];
    this.draw();
  }

  private draw(): void {
    find('conversations').replaceChildren(...this.all.map((conversation) => this.item(conversation)));
  }

  private item(conversation: Conversation): HTMLElement {
    const title = conversation.title;
    const button = (label: string, text: string, action: () => void) => {
      const made = make('button', { type: 'button', className: 'small', textContent: text, 'aria-label': `${label} ${title}` });
      made.addEventListener('click', action);
      return made;
    };
    const opener = make('button', { type: 'button', className: 'title', textContent: title, 'aria-current': conversation === this.opened });
    opener.addEventListener('click', () => this.actions.open(conversation));
    return make(
      'li',
      {},
      opener,
      button('Rename', '\u270e', () => void this.rename(conversation)),
      button('Delete', '\u2715', () => this.remove(conversation)),
    );
  }

  private async rename(conversation: Conversation): Promise<void> {
    const input = find<HTMLInputElement>('rename');
    input.value = conversation.title;
    if ((await openDialog(find<HTMLDialogElement>('rename-dialog'))) !== 'rename') return;
    conversation.title = input.value.trim() || conversation.title;
    this.draw();
    this.actions.renamed(conversation);
  }

  remove(conversation: Conversation): void {
    this.all = this.all.filter((other) => other !== conversation);
    this.draw();
    this.actions.removed(conversation);
  }
}
