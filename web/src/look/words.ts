// SPDX-License-Identifier: Apache-2.0
//
// Tokens of an answer as words that can be pointed at.
import type { Gaze, LookedToken } from './attention';

/// Either a word, with the gaze of its tokens, or the space between two.
export interface Piece {
  text: string;
  /// One for each picture; empty for a space.
  gazes: Gaze[];
}

/// The mean of what tokens gave to each picture.
export function meanGazes(tokens: LookedToken[]): Gaze[] {
  const first = tokens[0];
  if (!first) return [];
  return first.gazes.map((gaze, picture) => {
    const weights = gaze.weights.map((values) => new Float32Array(values.length));
    let share = 0;
    for (const token of tokens) {
      const other = token.gazes[picture]!;
      share += other.share / tokens.length;
      weights.forEach((sums, grid) => sums.forEach((_, cell) => (sums[cell]! += other.weights[grid]![cell]! / tokens.length)));
    }
    return { share, weights };
  });
}

/// The text of the tokens, cut at white space. A word has the tokens that any of its characters are
/// of, or whose last bytes complete one.
export function piecesOf(tokens: LookedToken[]): Piece[] {
  const pieces: Piece[] = [];
  let word = '';
  let owners: LookedToken[] = [];
  /// Tokens that hold bytes of a character that is not complete yet.
  let waiting: LookedToken[] = [];
  const endWord = () => {
    if (word !== '') pieces.push({ text: word, gazes: meanGazes(owners) });
    word = '';
    owners = [];
  };
  for (const token of tokens) {
    if (token.text === '') waiting.push(token);
    for (const part of token.text.split(/(\s+)/).filter((each) => each !== '')) {
      if (/^\s/.test(part)) {
        endWord();
        const last = pieces.at(-1);
        if (last && last.gazes.length === 0) last.text += part;
        else pieces.push({ text: part, gazes: [] });
        continue;
      }
      word += part;
      owners.push(...waiting, token);
      waiting = [];
    }
  }
  endWord();
  return pieces;
}
