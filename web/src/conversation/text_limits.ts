// SPDX-License-Identifier: Apache-2.0
//
// How much of a question's text is sent, where the operator bounds it as the original's page does.
// What is cut away stays with the question: it can be read under it, and edited.
import type { Question } from './conversation';

/// In characters (Unicode code points); 0: no bound.
export interface TextLimits {
  ofText: number;
  /// Of a question with pictures; the other bound counts for it as well.
  withPictures: number;
}

/// The bound of a question with that many pictures; Infinity where there is none.
export function limitOf(limits: TextLimits, numPictures: number): number {
  const bounds = numPictures > 0 ? [limits.ofText, limits.withPictures] : [limits.ofText];
  return Math.min(...bounds.map((bound) => bound || Infinity));
}

/// The question with a text that may be sent; what is beyond is its `rest`.
export function withinLimits(question: Question, limits: TextLimits): Question {
  const characters = Array.from(question.text);
  const limit = limitOf(limits, question.pictures.length);
  if (characters.length <= limit) return question;
  return { ...question, text: characters.slice(0, limit).join(''), rest: characters.slice(limit).join('') };
}

/// All that the user wrote.
export function wholeTextOf(question: Question): string {
  return question.text + (question.rest ?? '');
}

export function lengthOf(text: string): number {
  return Array.from(text).length;
}
