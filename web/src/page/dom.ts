// SPDX-License-Identifier: Apache-2.0
//
// Elements, made and found in one expression each. Text is always text, never markup.

type Child = Node | string | null | false;

/// An element with these properties ("role", "aria-" and "data-" names become attributes) and children.
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Record<string, unknown> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (/^(aria-|data-|role$)/.test(name)) element.setAttribute(name, String(value));
    else (element as unknown as Record<string, unknown>)[name] = value;
  }
  element.append(...children.filter((child): child is Node | string => child !== null && child !== false));
  return element;
}

/// The element of index.html with this id.
export function find<T extends HTMLElement>(id: string): T {
  const element = document.getElementById(id);
  if (!element) throw new Error(`index.html has no element '${id}'`);
  return element as T;
}

/// Tells screen readers.
export function announce(text: string): void {
  find('announcer').textContent = text;
}

/// Shows words to the user above everything else, until the next ones or "" take their place.
export function notify(message: string): void {
  find('notice-text').textContent = message;
  find('notice').hidden = message === '';
}

/// Opens a dialog of index.html; resolves with the value of the button that closes it, "" for Escape.
export function openDialog(dialog: HTMLDialogElement): Promise<string> {
  dialog.returnValue = '';
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener('close', () => resolve(dialog.returnValue), { once: true }));
}

/// Hands the user a file.
export function download(name: string, content: Blob): void {
  const link = make('a', { href: URL.createObjectURL(content), download: name });
  link.click();
  URL.revokeObjectURL(link.href);
}

/// A button that copies; it says for a moment that it did.
export function copyButton(label: string, textOf: () => string): HTMLButtonElement {
  const button = make('button', { type: 'button', className: 'small', textContent: label });
  button.addEventListener('click', async () => {
    await copy(textOf());
    button.textContent = 'Copied';
    announce('Copied');
    setTimeout(() => (button.textContent = label), 1500);
  });
  return button;
}

/// The clipboard interface exists on safe origins only; a phone in the house uses plain http.
async function copy(text: string): Promise<void> {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = make('textarea', { value: text });
  document.body.append(area);
  area.select();
  document.execCommand('copy');
  area.remove();
}
