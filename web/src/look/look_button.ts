// SPDX-License-Identifier: Apache-2.0
//
// The button under an answer that turns the look on and off. Nothing is asked before it is pressed,
// and nothing twice.
import type { Answer, Picture } from '../conversation/conversation';
import { announce, make, notify } from '../page/dom';
import type { Attention } from './attention';
import { lookPanel } from './look_panel';

/// What answers looked at, as long as the page has them.
const known = new WeakMap<Answer, Attention>();

/// `text` is where the answer stands; the panel takes its place.
export function lookButton(
  answer: Answer,
  pictures: Picture[],
  text: HTMLElement,
  ask: (signal: AbortSignal) => Promise<Attention>,
): HTMLButtonElement {
  const button = make('button', {
    type: 'button', className: 'small look-button', textContent: 'Where did it look', 'aria-pressed': 'false',
    title: 'Shows over the picture where each word of the answer looked',
  });
  let panel: HTMLElement | null = null;
  let asking: AbortController | null = null;
  const setOn = (isOn: boolean) => button.setAttribute('aria-pressed', String(isOn));
  const turnOff = () => {
    asking?.abort();
    panel?.replaceWith(text);
    panel = null;
    setOn(false);
  };
  button.addEventListener('click', async () => {
    if (panel || asking) return turnOff();
    const controller = new AbortController();
    asking = controller;
    setOn(true);
    button.setAttribute('aria-busy', 'true');
    try {
      const attention = known.get(answer) ?? (await ask(controller.signal));
      known.set(answer, attention);
      if (controller.signal.aborted) return;
      panel = lookPanel(attention, pictures);
      text.replaceWith(panel);
      announce('Point at a word of the answer, or move to it with the keyboard');
    } catch (error) {
      setOn(false);
      if (!controller.signal.aborted) notify((error as Error).message);
    } finally {
      button.removeAttribute('aria-busy');
      asking = null;
    }
  });
  return button;
}
