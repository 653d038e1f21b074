// SPDX-License-Identifier: Apache-2.0
//
// A picture as the page shows it, with its number in the turn: models are told of pictures in order.
import type { Picture } from '../conversation/conversation';
import { make } from '../page/dom';

const addresses = new WeakMap<Blob, string>();

/// The file's address inside of this page; the same each time.
export function addressOf(file: Blob): string {
  let address = addresses.get(file);
  if (!address) addresses.set(file, (address = URL.createObjectURL(file)));
  return address;
}

/// `remove` makes a button that takes the picture away.
export function thumbnail(picture: Picture, number: number, remove?: () => void): HTMLElement {
  const image = make('img', { src: addressOf(picture.file), alt: `Picture ${number}: ${picture.name}` });
  const frame = make('span', { className: 'thumbnail' }, image, make('span', { className: 'number', textContent: String(number) }));
  if (remove) {
    const button = make('button', { type: 'button', className: 'small', textContent: '\u2715', 'aria-label': `Remove picture ${number}: ${picture.name}` });
    button.addEventListener('click', remove);
    frame.append(button);
  }
  return frame;
}
