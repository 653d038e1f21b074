// SPDX-License-Identifier: Apache-2.0
//
// Server-sent events out of a stream of bytes: the data of each, whatever way the bytes are cut.

/// Splits text that comes in pieces into the data of events. Comments and other fields are skipped.
export class EventSplitter {
  private rest = '';

  /// The data of the events that are complete with this piece.
  push(piece: string): string[] {
    this.rest += piece;
    const events: string[] = [];
    for (;;) {
      const end = /\r?\n\r?\n/.exec(this.rest);
      if (!end) return events;
      const lines = this.rest.slice(0, end.index).split(/\r?\n/);
      this.rest = this.rest.slice(end.index + end[0].length);
      const data = lines.filter((line) => line.startsWith('data:'));
      if (data.length > 0) events.push(data.map((line) => line.slice(5).replace(/^ /, '')).join('\n'));
    }
  }
}

/// The data of the events of a response's body, as they come.
export async function* readEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  const splitter = new EventSplitter();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield* splitter.push(decoder.decode(value, { stream: true }));
    }
  } finally {
    // A reader that leaves early ends the request.
    await reader.cancel().catch(() => undefined);
  }
}
