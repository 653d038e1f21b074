// SPDX-License-Identifier: Apache-2.0
//
// The page's start: what the server wants of it, the key if it wants one, and what the browser keeps.
import { Server, type PageConfig } from './api/server';
import { ConversationStore } from './conversation/store';
import { App } from './page/app';
import { find, notify, openDialog } from './page/dom';
import { renderMarkdown } from './page/markdown';
import { DEFAULT_LICENSE, DEFAULT_TERMS } from './page/terms';
import { startTheme } from './page/theme';

async function askKey(wasWrong: boolean): Promise<string | null> {
  const input = find<HTMLInputElement>('key');
  input.value = '';
  find('key-wrong').hidden = !wasWrong;
  return (await openDialog(find<HTMLDialogElement>('key-dialog'))) === 'use' ? input.value.trim() : null;
}

function showTexts(config: PageConfig): void {
  document.documentElement.classList.toggle('embed', config.embed);
  find('terms').replaceChildren(renderMarkdown(config.terms ?? DEFAULT_TERMS, { breaks: false }));
  find('license').replaceChildren(renderMarkdown(config.license ?? DEFAULT_LICENSE, { breaks: false }));
}

async function openStore(): Promise<ConversationStore | null> {
  try {
    return await ConversationStore.open();
  } catch {
    notify('This browser gives pages no storage: conversations last until the page is closed.');
    return null;
  }
}

async function start(): Promise<void> {
  startTheme();
  const server = new Server(askKey);
  const config = await server.config();
  showTexts(config);
  await new App(server, config, await openStore()).start();
}

start().catch((error: Error) => notify(error.message));
