// SPDX-License-Identifier: Apache-2.0
//
// The page as a whole: which part hears which button.
import type { PageConfig, Server } from '../api/server';
import { Arena } from '../arena/arena';
import { chatRequestOf } from '../conversation/chat_request';
import { newConversation, pathOf, showBranch, type Conversation, type Node, type Question, type Vote } from '../conversation/conversation';
import { Lane } from '../conversation/lane';
import type { ConversationStore } from '../conversation/store';
import { lengthOf } from '../conversation/text_limits';
import { Transcript } from '../conversation/transcript';
import { attentionOf } from '../look/attention';
import { drawExamples } from '../pictures/examples';
import { ConversationLog } from '../share/conversation_log';
import { exportOf, fileNameOf } from '../share/export';
import { fragmentOf, recipeIn, recipeOf, unfold, type Recipe } from '../share/reproduce';
import { buttonStatesOf } from './buttons';
import { Composer } from './composer';
import { ConversationList } from './conversation_list';
import { announce, copyButton, download, find, make, notify, openDialog } from './dom';
import { ModelList } from './model_list';
import { Parameters } from './parameters';

const VOTES: Vote[] = ['upvote', 'downvote', 'flag'];

export class App {
  private isArena = false;
  /// The question that is edited, if one is.
  private edited: Node | null = null;
  /// An answer that is being stopped must not bring its conversation back.
  private readonly removed = new WeakSet<Conversation>();
  private readonly parameters = new Parameters();
  private readonly composer: Composer;
  private readonly models: ModelList;
  private readonly lane: Lane;
  private readonly arena: Arena;
  private readonly list: ConversationList;
  private readonly log: ConversationLog;

  constructor(
    server: Server,
    config: PageConfig,
    private readonly store: ConversationStore | null,
  ) {
    this.log = new ConversationLog(server, config.keeps_log);
    this.models = new ModelList(server, () => this.showModels());
    this.models.keepFresh(config.model_list_mode);
    this.composer = new Composer(
      () => this.send(),
      (count) => this.roomFor(count),
      { ofText: config.max_text_length ?? 0, withPictures: config.max_picture_text_length ?? 0 },
    );
    const transcript = new Transcript(find('chatbot'), {
      edit: (node) => this.edit(node),
      reproduce: (node) => this.showLink(node),
      showBranch: (node) => this.showBranch(node),
      nameOf: (answer) => answer.model,
      ...(config.has_attention && { look: (node: Node, signal: AbortSignal) => attentionOf(server, this.lane.conversation, node, signal) }),
    });
    this.lane = new Lane(server, transcript, (changed) => this.laneChanged(changed));
    this.arena = new Arena(server, config, this.models, this.log, () => this.showButtons());
    this.list = new ConversationList({
      open: (conversation) => this.open(conversation),
      renamed: (conversation) => this.save(conversation),
      removed: (conversation) => this.remove(conversation),
    });
    this.bindButtons();
  }

  async start(): Promise<void> {
    find<HTMLDetailsElement>('conversations-box').open = !matchMedia('(max-width: 44rem)').matches;
    await this.models.refresh();
    this.models.choose(new URLSearchParams(location.search).get('model'));
    this.list.show(this.store ? await this.store.list() : []);
    this.open(this.list.current ?? newConversation());
    this.followLink();
    await this.showExamples();
    this.composer.focus();
    scrollTo(0, 0);
  }

  private bindButtons(): void {
    const on = (id: string, action: () => unknown) => find(id).addEventListener('click', () => void action());
    on('send', () => this.send());
    on('stop', () => this.stop());
    on('regenerate', () => this.regenerate());
    on('clear', () => this.clear());
    for (const vote of VOTES) on(vote, () => this.vote(vote));
    on('mode-chat', () => this.showMode(false));
    on('mode-arena', () => this.showMode(true));
    on('editing-cancel', () => this.endEdit());
    on('notice-close', () => notify(''));
    on('conversation-new', () => this.open(newConversation()));
    on('conversation-export', async () => download(fileNameOf(this.lane.conversation), await exportOf(this.lane.conversation)));
    document.addEventListener('keydown', (event) => {
      if (event.key === 'Escape' && this.state === 'answering') this.stop();
    });
    addEventListener('hashchange', () => this.followLink());
  }

  private get state() {
    return this.isArena ? this.arena.state : this.lane.state;
  }

  private roomFor(numPending: number): string | null {
    const path = this.edited ? this.pathBefore(this.edited) : pathOf(this.lane.conversation);
    const numShown = this.isArena ? this.arena.numPictures : path.reduce((sum, { turn }) => sum + (turn.role === 'user' ? turn.pictures.length : 0), 0);
    for (const model of this.isArena ? this.models.models : this.models.models.filter((each) => each === this.models.chosen)) {
      if (!model.hasVision) return `${model.id} sees no pictures: choose another model`;
      if (numShown + numPending > model.maxImages) {
        return `${model.id} takes at most ${model.maxImages} pictures in a conversation: start a new one with Clear`;
      }
    }
    return null;
  }

  private pathBefore(node: Node): Node[] {
    const path = pathOf(this.lane.conversation);
    return path.slice(0, path.indexOf(node));
  }

  // --- asking -----------------------------------------------------------------------------------

  private async send(): Promise<void> {
    const question = this.composer.question;
    if (!question || this.state === 'answering') return;
    const isReady = this.isArena ? this.models.models.length > 1 : this.models.chosen !== undefined;
    if (!isReady) return notify(this.isArena ? 'the arena needs two models, and this server has fewer' : 'there is no model to ask: refresh the list');
    notify(question.rest ? `The text was cut at ${lengthOf(question.text)} characters: what was not sent stands under the question.` : '');
    this.composer.question = null;
    this.composer.focus();
    if (this.isArena) return this.askBoth(question);
    const parent = this.edited ? this.edited.parent : this.lane.conversation.leaf;
    this.endEdit();
    await this.answered(this.lane.ask(parent, question, this.models.chosen!.id, this.parameters.settings));
  }

  private async askBoth(question: Question): Promise<void> {
    await this.arena.ask(question, this.parameters.settings);
    if (this.arena.refusal !== '') this.refuse(this.arena.refusal);
  }

  private async regenerate(): Promise<void> {
    this.composer.focus();
    if (this.isArena) return this.arena.regenerate(this.parameters.settings);
    if (!this.models.chosen) return notify('there is no model to ask: refresh the list');
    await this.answered(this.lane.regenerate(this.models.chosen.id, this.parameters.settings));
  }

  private async answered(run: ReturnType<Lane['regenerate']>): Promise<void> {
    announce('Answering');
    const conversation = this.lane.conversation;
    const request = await run;
    if (this.lane.refusal !== '') this.refuse(this.lane.refusal);
    const turn = pathOf(conversation).at(-1)?.turn;
    if (turn?.role !== 'assistant') return announce('');
    announce(`${turn.model} answers: ${turn.text}`);
    if (request) await this.log.chat(request, turn).catch((error: Error) => notify(error.message));
  }

  /// The question is gone; the box says why, as the original's does.
  private refuse(words: string): void {
    const { conversation } = this.lane;
    if (!this.isArena && conversation.nodes.length === 0) this.list.remove(conversation);
    this.composer.question = { role: 'user', text: words, pictures: [] };
    announce(words);
  }

  private stop(): void {
    if (this.isArena) this.arena.stop();
    else this.lane.stop();
    this.composer.focus();
  }

  private clear(): void {
    this.composer.question = null;
    if (this.isArena) this.arena.clear();
    else this.open(newConversation());
    this.showButtons();
    this.composer.focus();
  }

  private async vote(vote: Vote): Promise<void> {
    const answer = this.lane.answer;
    if (!answer) return;
    answer.vote = vote;
    this.composer.clearText();
    this.composer.focus();
    this.laneChanged(this.lane.conversation);
    const thanks = this.log.keeps ? 'Thank you for the vote.' : 'Thank you. This server keeps no votes: it stays in this browser.';
    try {
      const request = await chatRequestOf(answer.model, pathOf(this.lane.conversation).slice(0, -1), answer.settings);
      await this.log.vote(vote, [{ request, answer }]);
      notify(thanks);
    } catch (error) {
      notify((error as Error).message);
    }
  }

  private edit(node: Node): void {
    if (this.lane.state === 'answering' || node.turn.role !== 'user') return;
    this.edited = node;
    this.composer.question = node.turn;
    find('editing').hidden = false;
    this.composer.focus();
  }

  private endEdit(): void {
    if (this.edited) this.composer.question = null;
    this.edited = null;
    find('editing').hidden = true;
  }

  private showBranch(node: Node): void {
    if (this.lane.state === 'answering') return;
    showBranch(this.lane.conversation, node);
    this.endEdit();
    this.lane.show();
    // The button that had the focus is another one now.
    find('chatbot').focus({ preventScroll: true });
  }

  // --- conversations ----------------------------------------------------------------------------

  private open(conversation: Conversation): void {
    this.endEdit();
    this.lane.open(conversation);
    this.list.current = conversation;
  }

  private laneChanged(changed: Conversation): void {
    this.showButtons();
    if (changed.nodes.length === 0 || this.removed.has(changed)) return;
    this.list.add(changed);
    this.save(changed);
  }

  private save(conversation: Conversation): void {
    this.store?.save(conversation).catch((error: Error) => notify(`the browser cannot keep the conversation: ${error.message}`));
  }

  private remove(conversation: Conversation): void {
    this.removed.add(conversation);
    if (this.lane.conversation === conversation) this.open(newConversation());
    this.store?.remove(conversation.id).catch((error: Error) => notify(`the browser cannot delete the conversation: ${error.message}`));
    this.composer.focus();
  }

  // --- links ------------------------------------------------------------------------------------

  private async showLink(node: Node): Promise<void> {
    const path = pathOf(this.lane.conversation);
    const recipe = recipeOf(path.slice(0, path.indexOf(node) + 1));
    const link = find<HTMLInputElement>('link');
    link.value = new URL(fragmentOf(recipe), location.href).href;
    const copy = copyButton('Copy the link', () => link.value);
    find('link-buttons').prepend(copy);
    await openDialog(find<HTMLDialogElement>('link-dialog'));
    copy.remove();
  }

  /// Prepares what a link of the form #reproduce=... asks for; the user presses Send.
  private followLink(): void {
    try {
      const recipe = recipeIn(location.hash);
      if (!recipe) return;
      history.replaceState(null, '', location.pathname + location.search);
      this.showMode(false);
      this.prepare(recipe);
    } catch (error) {
      notify((error as Error).message);
    }
  }

  private prepare(recipe: Recipe): void {
    const { conversation, question, missing } = unfold(recipe, this.list.all);
    this.open(conversation);
    this.models.choose(recipe.model);
    this.parameters.settings = recipe.settings;
    this.composer.question = question;
    const lacks = missing.map((name) => `the picture ${name} has to be added`);
    if (this.models.chosen?.id !== recipe.model) lacks.unshift(`the model ${recipe.model} is not served here`);
    notify(`Ready to reproduce: press Send${lacks.length > 0 ? `; but ${lacks.join(', ')}` : ''}.`);
  }

  // --- what is shown ----------------------------------------------------------------------------

  private showModels(): void {
    this.arena.showModels();
    this.showButtons();
  }

  private showMode(isArena: boolean): void {
    if (this.state === 'answering') this.stop();
    this.isArena = isArena;
    this.endEdit();
    find('chat').hidden = isArena;
    find('arena').hidden = !isArena;
    find('model-row').hidden = isArena;
    find('conversations-box').hidden = isArena;
    for (const button of document.querySelectorAll<HTMLElement>('.chat-only')) button.hidden = isArena;
    find('mode-chat').setAttribute('aria-pressed', String(!isArena));
    find('mode-arena').setAttribute('aria-pressed', String(isArena));
    const isShort = isArena && this.models.models.length < 2;
    notify(isShort ? `The arena needs two models, this server has ${this.models.models.length}.` : '');
    this.showButtons();
  }

  private showButtons(): void {
    const states = buttonStatesOf(this.state);
    const enable = (id: string, isEnabled: boolean) => (find<HTMLButtonElement>(id).disabled = !isEnabled);
    for (const vote of VOTES) enable(vote, states.vote);
    enable('stop', states.stop);
    enable('regenerate', states.regenerate);
    enable('clear', states.clear);
    enable('send', !states.stop && this.models.models.length > 0);
    enable('conversation-export', pathOf(this.lane.conversation).length > 0);
  }

  private async showExamples(): Promise<void> {
    const examples = await drawExamples();
    find('examples').replaceChildren(
      ...examples.map(({ name, question, picture }) => {
        const image = make('img', { src: URL.createObjectURL(picture), alt: '' });
        const button = make('button', { type: 'button', className: 'example' }, image, question);
        button.addEventListener('click', async () => {
          this.composer.question = { role: 'user', text: question, pictures: [] };
          await this.composer.addFiles([{ blob: picture, name }]);
          this.composer.focus();
        });
        return button;
      }),
    );
  }
}
