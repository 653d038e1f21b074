// SPDX-License-Identifier: Apache-2.0
//
// Where conversations are kept: the browser's own database, pictures included. The server keeps none.
import type { Conversation } from './conversation';

const STORE = 'conversations';

function resultOf<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error('the database failed'));
  });
}

export class ConversationStore {
  private constructor(private readonly database: IDBDatabase) {}

  /// Throws: where the browser gives pages no storage.
  static async open(): Promise<ConversationStore> {
    const request = indexedDB.open('llava', 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: 'id' });
    return new ConversationStore(await resultOf(request));
  }

  /// All conversations, the one last changed first.
  async list(): Promise<Conversation[]> {
    const all: Conversation[] = await resultOf(this.begin('readonly').getAll());
    return all.sort((a, b) => b.updated - a.updated);
  }

  /// Resolves when it is on the disk.
  save(conversation: Conversation): Promise<void> {
    return this.write((store) => store.put(conversation));
  }

  remove(id: string): Promise<void> {
    return this.write((store) => store.delete(id));
  }

  private begin(mode: IDBTransactionMode): IDBObjectStore {
    return this.database.transaction(STORE, mode).objectStore(STORE);
  }

  private write(change: (store: IDBObjectStore) => IDBRequest): Promise<void> {
    const store = this.begin('readwrite');
    change(store);
    return new Promise((resolve, reject) => {
      store.transaction.oncomplete = () => resolve();
      store.transaction.onabort = () => reject(store.transaction.error ?? new Error('the database failed'));
    });
  }
}
