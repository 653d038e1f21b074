// SPDX-License-Identifier: Apache-2.0
//
// The parameters of an answer, as the page offers them.

export const PREPROCESS_MODES = ['Crop', 'Resize', 'Pad', 'Default'] as const;
export type PreprocessMode = (typeof PREPROCESS_MODES)[number];

export interface Settings {
  temperature: number;
  topP: number;
  maxTokens: number;
  preprocess: PreprocessMode;
  /// Null: another one for each answer.
  seed: number | null;
  /// Null: all tokens.
  topK: number | null;
  stop: string[];
}

export const DEFAULT_SETTINGS: Settings = {
  temperature: 0.2,
  topP: 0.7,
  maxTokens: 512,
  preprocess: 'Default',
  seed: null,
  topK: null,
  stop: [],
};

const LARGEST_SEED = 2 ** 32 - 1;

function numberOf(value: unknown, low: number, high: number): number | null {
  return typeof value === 'number' && value >= low && value <= high ? value : null;
}

function wholeOf(value: unknown, low: number, high: number): number | null {
  const number = numberOf(value, low, high);
  return number !== null && Number.isInteger(number) ? number : null;
}

/// Settings out of whatever a link or the browser's storage holds: what is wrong takes its default.
export function readSettings(value: unknown): Settings {
  const given = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>;
  const defaults = DEFAULT_SETTINGS;
  const stop = Array.isArray(given.stop) ? given.stop.filter((each) => typeof each === 'string' && each !== '') : [];
  return {
    temperature: numberOf(given.temperature, 0, 1) ?? defaults.temperature,
    topP: numberOf(given.topP, 0, 1) ?? defaults.topP,
    maxTokens: wholeOf(given.maxTokens, 0, 1024) ?? defaults.maxTokens,
    preprocess: PREPROCESS_MODES.find((mode) => mode === given.preprocess) ?? defaults.preprocess,
    seed: wholeOf(given.seed, 0, LARGEST_SEED),
    topK: wholeOf(given.topK, 1, 1_000_000),
    stop: stop.slice(0, 16) as string[],
  };
}

/// The same with a seed, so that the answer can be had again.
export function withSeed(settings: Settings): Settings & { seed: number } {
  return { ...settings, seed: settings.seed ?? crypto.getRandomValues(new Uint32Array(1))[0]! };
}
