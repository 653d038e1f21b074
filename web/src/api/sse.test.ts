// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import test from 'node:test';
import { EventSplitter, readEvents } from './sse';

const STREAM = ': ping\n\ndata: {"a":1}\n\nevent: x\ndata: one\ndata: two\n\ndata: \u{1F30B}\r\n\r\ndata: [DONE]\n\n';
const EVENTS = ['{"a":1}', 'one\ntwo', '\u{1F30B}', '[DONE]'];

test('events are the same wherever the text is cut', () => {
  for (let at = 0; at <= STREAM.length; ++at) {
    const splitter = new EventSplitter();
    assert.deepEqual([...splitter.push(STREAM.slice(0, at)), ...splitter.push(STREAM.slice(at))], EVENTS, `cut at ${at}`);
  }
});

test('an event that is not complete is none', () => {
  assert.deepEqual(new EventSplitter().push('data: half\n'), []);
});

test('bytes are cut inside of characters', async () => {
  const bytes = new TextEncoder().encode(STREAM);
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const byte of bytes) controller.enqueue(Uint8Array.of(byte));
      controller.close();
    },
  });
  const events: string[] = [];
  for await (const data of readEvents(body)) events.push(data);
  assert.deepEqual(events, EVENTS);
});
