// SPDX-License-Identifier: Apache-2.0
//
// Which buttons can be pressed when: the original's rules, and Stop.

export type LaneState = 'empty' | 'answering' | 'answered' | 'voted' | 'failed';

export interface ButtonStates {
  vote: boolean;
  regenerate: boolean;
  clear: boolean;
  stop: boolean;
}

export function buttonStatesOf(state: LaneState): ButtonStates {
  const hasEnded = state === 'answered' || state === 'voted' || state === 'failed';
  return { vote: state === 'answered', regenerate: hasEnded, clear: hasEnded, stop: state === 'answering' };
}
