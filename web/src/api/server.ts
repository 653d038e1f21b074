// SPDX-License-Identifier: Apache-2.0
//
// The server that the page came from: its key, its errors, and its paths.

/// What the server or the way to it has against a request, in words for the user.
export class ServerError extends Error {
  constructor(
    message: string,
    readonly status = 0,
    readonly code = '',
  ) {
    super(message);
  }
}

/// GET /web/config: how the server wants the page.
export interface PageConfig {
  embed: boolean;
  model_list_mode: 'once' | 'reload';
  terms: string | null;
  license: string | null;
  keeps_log: boolean;
  /// Whether POST /v1/attention is there; older servers do not say.
  has_attention?: boolean;
  /// Characters of a question that are sent, and of one with pictures; 0, or nothing from older
  /// servers: all.
  max_text_length?: number;
  max_picture_text_length?: number;
  /// Where chats are sent.
  chat_path: string;
}

/// One of GET /v1/models.
export interface Model {
  id: string;
  hasVision: boolean;
  maxImages: number;
}

/// Asks the user for a key; `wasWrong` when the last one was not taken. Null: the user gave up.
export type AskKey = (wasWrong: boolean) => Promise<string | null>;

const KEY = 'llava.key';

/// What an error answer says; its status where it is none of ours.
async function errorOf(response: Response): Promise<ServerError> {
  const text = await response.text().catch(() => '');
  try {
    const { message, code } = (JSON.parse(text)?.error ?? {}) as { message?: unknown; code?: unknown };
    if (typeof message === 'string' && message !== '') return new ServerError(message, response.status, typeof code === 'string' ? code : '');
  } catch {
    // Some proxy's page: the status says more.
  }
  return new ServerError(`the server answered ${response.status} ${response.statusText}`.trim(), response.status);
}

interface ModelEntry {
  id: string;
  capabilities?: { vision?: boolean; max_images?: number };
}

export class Server {
  chatPath = '/v1/chat/completions';

  constructor(private readonly askKey: AskKey) {}

  /// Sends a request; the answer is one of success.
  ///
  /// Throws: ServerError; DOMException AbortError when `signal` ends it.
  async fetch(path: string, init: RequestInit = {}): Promise<Response> {
    let wasWrong = false;
    for (;;) {
      const key = sessionStorage.getItem(KEY);
      const headers = new Headers(init.headers);
      if (key) headers.set('Authorization', `Bearer ${key}`);
      const response = await this.reach(path, { ...init, headers });
      if (response.ok) return response;
      if (response.status !== 401) throw await errorOf(response);
      sessionStorage.removeItem(KEY);
      const given = await this.askKey(wasWrong || key !== null);
      if (given === null) throw new ServerError('the server wants a key: try again to enter one', 401);
      wasWrong = true;
      sessionStorage.setItem(KEY, given);
    }
  }

  postJson(path: string, body: unknown, signal?: AbortSignal): Promise<Response> {
    return this.fetch(path, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
      signal: signal ?? null,
    });
  }

  async config(): Promise<PageConfig> {
    const config: PageConfig = await (await this.fetch('/web/config')).json();
    this.chatPath = config.chat_path;
    return config;
  }

  async models(): Promise<Model[]> {
    const list: { data: ModelEntry[] } = await (await this.fetch('/v1/models')).json();
    const entries = await Promise.all(list.data.map((entry) => (entry.capabilities ? entry : this.wholeEntry(entry))));
    return entries.map(({ id, capabilities }) => ({
      id,
      hasVision: capabilities?.vision ?? true,
      maxImages: capabilities?.max_images ?? 1,
    }));
  }

  /// A gateway's list has names only; the model's worker says more, unless it is one of the original.
  private async wholeEntry(entry: ModelEntry): Promise<ModelEntry> {
    try {
      return await (await this.fetch(`/v1/models/${encodeURIComponent(entry.id)}`)).json();
    } catch {
      return entry;
    }
  }

  private async reach(path: string, init: RequestInit): Promise<Response> {
    try {
      return await fetch(path, { ...init, cache: 'no-store' });
    } catch (error) {
      if (error instanceof DOMException && error.name === 'AbortError') throw error;
      throw new ServerError(`the server at ${location.origin} cannot be reached: see whether it still runs`);
    }
  }
}
