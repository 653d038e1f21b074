// SPDX-License-Identifier: Apache-2.0
//
// What is drawn over a picture: how much of a word's attention each spot got.
import type { Grid } from './attention';

/// Attention per area of the picture at columns x rows spots of it, largest 1. Grids that lie over
/// each other are added. All zeros when there was none.
export function densityOf(grids: Grid[], weights: Float32Array[], columns: number, rows: number): Float32Array {
  const density = new Float32Array(columns * rows);
  grids.forEach((grid, index) => {
    const { x, y, width, height } = grid.rectangle;
    const cellArea = (width / grid.columns) * (height / grid.rows);
    for (let row = 0; row < rows; ++row) {
      const down = Math.floor((((row + 0.5) / rows - y) / height) * grid.rows);
      if (down < 0 || down >= grid.rows) continue;
      for (let column = 0; column < columns; ++column) {
        const across = Math.floor((((column + 0.5) / columns - x) / width) * grid.columns);
        if (across < 0 || across >= grid.columns) continue;
        density[row * columns + column]! += weights[index]![down * grid.columns + across]! / cellArea;
      }
    }
  });
  const largest = density.reduce((most, value) => Math.max(most, value), 0);
  return largest > 0 ? density.map((value) => value / largest) : density;
}

/// No place of placeOf has more letters.
export const LONGEST_PLACE = 'in the lower middle';

/// Where the attention is, in words for those who do not see the map.
export function placeOf(density: Float32Array, columns: number, rows: number): string {
  let total = 0;
  let across = 0;
  let down = 0;
  density.forEach((value, index) => {
    // Far above the mean of the rest, or the faint glow of all spots would pull it to the middle.
    const weight = value ** 2;
    total += weight;
    across += weight * (((index % columns) + 0.5) / columns);
    down += weight * ((Math.floor(index / columns) + 0.5) / rows);
  });
  if (total === 0) return 'nowhere';
  const third = (value: number, names: [string, string, string]) => names[Math.min(2, Math.floor(value * 3))]!;
  const vertical = third(down / total, ['upper', 'middle', 'lower']);
  const horizontal = third(across / total, ['left', 'middle', 'right']);
  if (vertical === 'middle' && horizontal === 'middle') return 'in the middle';
  if (horizontal === 'middle') return `in the ${vertical} middle`;
  return vertical === 'middle' ? `on the ${horizontal}` : `in the ${vertical} ${horizontal}`;
}

/// Pixels of the map: a dark veil where nothing was looked at, a glow where most was.
export function pixelsOf(density: Float32Array): Uint8ClampedArray<ArrayBuffer> {
  const pixels = new Uint8ClampedArray(4 * density.length);
  density.forEach((value, index) => {
    const part = value ** 0.7;
    const mix = (from: number, to: number) => from + (to - from) * part;
    pixels.set([mix(16, 255), mix(12, 214), mix(58, 40), 255 * mix(0.72, 0.36)], 4 * index);
  });
  return pixels;
}
