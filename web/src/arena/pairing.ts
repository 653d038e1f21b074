// SPDX-License-Identifier: Apache-2.0
//
// Which two models meet when their names are hidden.

/// Two different ones by chance, in either order. `random` gives numbers from 0 to below 1.
export function drawPair<T>(models: T[], random: () => number = Math.random): [T, T] {
  if (models.length < 2) throw new Error(`the arena needs two models, this server has ${models.length}`);
  const first = Math.floor(random() * models.length);
  const second = Math.floor(random() * (models.length - 1));
  return [models[first]!, models[second < first ? second : second + 1]!];
}
