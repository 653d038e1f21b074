// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import test from 'node:test';
import { askAttention, floatsOf, type Grid, type LookedToken } from './attention';
import { LONGEST_PLACE, densityOf, pixelsOf, placeOf } from './heat';
import { piecesOf } from './words';

const token = (text: string, ...weights: number[]): LookedToken => ({
  text,
  gazes: [{ share: weights.reduce((a, b) => a + b, 0), weights: [Float32Array.from(weights)] }],
});

const whole = (columns: number, rows: number, x = 0, y = 0, width = 1, height = 1): Grid => ({ rows, columns, rectangle: { x, y, width, height } });

test('numbers come as little-endian float32', () => {
  assert.deepEqual([...floatsOf('AACAPwAAAD8AAAAA')], [1, 0.5, 0]);
});

test('a long answer is asked for in parts', async () => {
  const ranges: unknown[] = [];
  const server = {
    postJson: async (path: string, body: { tokens: [number, number]; model: string }) => {
      assert.equal(path, '/v1/attention');
      ranges.push(body.tokens);
      const [begin, end] = [body.tokens[0], Math.min(body.tokens[1], 300)];
      const tokens = Array.from({ length: end - begin }, (_, i) => ({ text: `${begin + i} `, images: [{ share: 1, weights: ['AACAPw=='] }] }));
      return new Response(JSON.stringify({ num_answer_tokens: 300, images: [{ grids: [whole(1, 1)] }], tokens }));
    },
  };
  const attention = await askAttention(server as never, { model: 'm', messages: [] }, new AbortController().signal);
  assert.deepEqual(ranges, [[0, 128], [128, 256], [256, 384]]);
  assert.equal(attention.tokens.length, 300);
  assert.equal(attention.tokens[299]!.text, '299 ');
  assert.equal(attention.pictures.length, 1);
});

test('words are what stands between white space, with the mean of their tokens', () => {
  const pieces = piecesOf([token('A', 1, 0), token(' tri', 0, 1), token('angle', 1, 0), token('.\n', 0, 0.5), token('\n', 9, 9), token(' red', 0.25, 0)]);
  assert.deepEqual(pieces.map(({ text }) => text), ['A', ' ', 'triangle.', '\n\n ', 'red']);
  assert.equal(pieces.map(({ text }) => text).join(''), 'A triangle.\n\n red');
  assert.deepEqual([...pieces[0]!.gazes[0]!.weights[0]!], [1, 0]);
  const [first, second] = pieces[2]!.gazes[0]!.weights[0]!;
  assert.ok(Math.abs(first! - 1 / 3) < 1e-6 && Math.abs(second! - 0.5) < 1e-6);
  assert.ok(Math.abs(pieces[2]!.gazes[0]!.share - 2.5 / 3) < 1e-6);
  assert.deepEqual(pieces[1]!.gazes, []);
  assert.deepEqual([...pieces[4]!.gazes[0]!.weights[0]!], [0.25, 0]);
});

test('a token that ends within a character belongs to the word that has it', () => {
  const pieces = piecesOf([token('x ', 0), token('', 1), token('\u{1F30B}', 0), token(' y', 0.5)]);
  assert.deepEqual(pieces.map(({ text }) => text), ['x', ' ', '\u{1F30B}', ' ', 'y']);
  assert.deepEqual([...pieces[2]!.gazes[0]!.weights[0]!], [0.5]);
  assert.deepEqual([...pieces[4]!.gazes[0]!.weights[0]!], [0.5]);
});

test('a map lies where its grid does', () => {
  // Two cells: the left half has three times as much.
  assert.deepEqual([...densityOf([whole(2, 1)], [Float32Array.from([0.3, 0.1])], 4, 1)].map((v) => Math.round(v * 100) / 100), [1, 1, 0.33, 0.33]);
  // A crop of the middle: nothing is known of the sides.
  assert.deepEqual([...densityOf([whole(2, 1, 0.25, 0, 0.5, 1)], [Float32Array.from([0.2, 0.2])], 4, 1)], [0, 1, 1, 0]);
  // A grid that reaches beyond the picture.
  assert.deepEqual([...densityOf([whole(1, 2, 0, -0.5, 1, 2)], [Float32Array.from([0, 1])], 1, 2)], [0, 1]);
  assert.deepEqual([...densityOf([whole(1, 1)], [Float32Array.from([0])], 2, 1)], [0, 0]);
  // Tiles count by their area beside the whole view.
  const both = densityOf([whole(1, 1), whole(2, 1)], [Float32Array.from([0.1]), Float32Array.from([0.05, 0.15])], 2, 1);
  assert.deepEqual([...both].map((v) => Math.round(v * 1000) / 1000), [0.5, 1]);
});

test('the place is said in words, and the most looked at glows', () => {
  const at = (column: number, row: number) => {
    const density = new Float32Array(81).fill(0.02);
    density[row * 9 + column] = 1;
    return placeOf(density, 9, 9);
  };
  assert.equal(at(0, 0), 'in the upper left');
  assert.equal(at(8, 4), 'on the right');
  assert.equal(at(4, 8), 'in the lower middle');
  assert.equal(at(4, 4), 'in the middle');
  assert.equal(placeOf(new Float32Array(4), 2, 2), 'nowhere');
  const places = [0, 4, 8].flatMap((column) => [0, 4, 8].map((row) => at(column, row)));
  assert.equal(Math.max(...places.map((place) => place.length)), LONGEST_PLACE.length);
  const [r0, , , a0, r1, , , a1] = pixelsOf(Float32Array.from([0, 1]));
  assert.ok(r1! > r0! && a0! > a1!);
});
