// SPDX-License-Identifier: Apache-2.0
//
// "Where did it look": the words of an answer beside the pictures of its conversation. The word that
// is pointed at, or has the focus, shows over each picture where it looked; a click or tap keeps it.
import type { Picture } from '../conversation/conversation';
import { make } from '../page/dom';
import { addressOf } from '../pictures/thumbnail';
import type { Attention, Gaze } from './attention';
import { LONGEST_PLACE, densityOf, pixelsOf, placeOf } from './heat';
import { piecesOf } from './words';

/// Pixels of the longer side of a picture, where there is room.
const SIDE = 288;

/// Spots of a picture, across and down, that a map has.
const SPOTS = 96;

const HINT = 'Point at a word, tap it, or move with the arrow keys.';

/// A picture and the map over it.
class Canvas {
  readonly frame: HTMLElement;
  private readonly map = make('canvas', { width: SPOTS, height: SPOTS, 'aria-hidden': 'true' });

  constructor(picture: Picture, number: number) {
    const image = make('img', { src: addressOf(picture.file), alt: `Picture ${number}: ${picture.name}` });
    image.addEventListener('load', () => {
      const scale = SIDE / Math.max(image.naturalWidth, image.naturalHeight);
      image.style.width = `${Math.max(24, image.naturalWidth * scale)}px`;
    });
    this.frame = make('span', { className: 'looked-at' }, image, this.map);
  }

  draw(density: Float32Array | null): void {
    this.map.classList.toggle('shown', density !== null);
    if (density) this.map.getContext('2d')!.putImageData(new ImageData(pixelsOf(density), SPOTS, SPOTS), 0, 0);
  }
}

/// What is said of a word: its share and its place on each picture.
function sentenceOf(word: string, shares: number[], places: string[]): string {
  const parts = shares.map((share, index) => {
    const picture = shares.length > 1 ? `picture ${index + 1}` : 'the picture';
    return `${(share * 100).toFixed(0)} % of its attention on ${picture}, most ${places[index]}`;
  });
  return `\u201c${word}\u201d: ${parts.join('; ')}.`;
}

/// The panel for an answer whose attention is known.
export function lookPanel(attention: Attention, pictures: Picture[]): HTMLElement {
  const canvases = pictures.map((picture, index) => new Canvas(picture, index + 1));
  const said = make('span', { textContent: HINT });
  const line = make('p', { className: 'look-said', role: 'status' }, said);
  const words: { element: HTMLElement; gazes: Gaze[]; text: string }[] = [];
  let kept: number | null = null;

  const show = (index: number | null) => {
    const word = index === null ? undefined : words[index];
    words.forEach(({ element }) => element.classList.toggle('looking', element === word?.element));
    if (!word) {
      canvases.forEach((canvas) => canvas.draw(null));
      said.textContent = HINT;
      return;
    }
    const densities = word.gazes.map((gaze, picture) => densityOf(attention.pictures[picture]!, gaze.weights, SPOTS, SPOTS));
    canvases.forEach((canvas, picture) => canvas.draw(densities[picture] ?? null));
    said.textContent = sentenceOf(word.text, word.gazes.map(({ share }) => share), densities.map((density) => placeOf(density, SPOTS, SPOTS)));
  };
  const keep = (index: number | null) => {
    kept = index;
    words.forEach(({ element }, each) => element.setAttribute('aria-pressed', String(each === kept)));
    show(kept);
  };
  const focus = (index: number) => {
    const next = words[Math.max(0, Math.min(words.length - 1, index))];
    if (!next) return;
    words.forEach(({ element }) => (element.tabIndex = element === next.element ? 0 : -1));
    next.element.focus();
  };

  const text = make('div', { className: 'text plain look-words', role: 'group', 'aria-label': 'Words of the answer' });
  for (const piece of piecesOf(attention.tokens)) {
    if (piece.gazes.length === 0) {
      text.append(piece.text);
      continue;
    }
    const index = words.length;
    const element = make('span', { className: 'word', role: 'button', tabIndex: index === 0 ? 0 : -1, textContent: piece.text, 'aria-pressed': 'false' });
    element.addEventListener('mouseenter', () => show(index));
    element.addEventListener('mouseleave', () => show(kept));
    element.addEventListener('focus', () => show(index));
    element.addEventListener('blur', () => show(kept));
    element.addEventListener('click', () => keep(kept === index ? null : index));
    element.addEventListener('keydown', (event) => {
      const target = { ArrowRight: index + 1, ArrowDown: index + 1, ArrowLeft: index - 1, ArrowUp: index - 1, Home: 0, End: words.length - 1 }[event.key];
      if (target !== undefined) focus(target);
      else if (event.key === 'Enter' || event.key === ' ') keep(kept === index ? null : index);
      else return;
      event.preventDefault();
    });
    words.push({ element, gazes: piece.gazes, text: piece.text });
    text.append(element);
  }
  // Room for whatever is said: in a narrow panel, words would else move from under the pointer.
  const longest = words.reduce((most, word) => (word.text.length > most.length ? word.text : most), '');
  line.dataset.longest = sentenceOf(longest, pictures.map(() => 1), pictures.map(() => LONGEST_PLACE));
  return make('div', { className: 'look' }, make('div', { className: 'look-pictures' }, ...canvases.map(({ frame }) => frame)), line, text);
}
