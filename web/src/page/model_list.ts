// SPDX-License-Identifier: Apache-2.0
//
// The models that the server has, and the dropdowns that choose among them.
import { Server, type Model, type PageConfig } from '../api/server';
import { find, make, notify } from './dom';

/// A list that is this young is not asked for again.
const FRESH_MS = 5000;

export class ModelList {
  models: Model[] = [];
  private readonly select = find<HTMLSelectElement>('model');
  private asked = 0;

  /// `onChange` is called when the list or the choice is another.
  constructor(
    private readonly server: Server,
    private readonly onChange: () => void,
  ) {
    this.select.addEventListener('change', onChange);
    find('model-refresh').addEventListener('click', () => this.refresh());
  }

  get chosen(): Model | undefined {
    return this.models.find((model) => model.id === this.select.value);
  }

  /// Chooses by name; nothing happens for a name that is not there.
  choose(name: string | null): void {
    if (!this.models.some((model) => model.id === name)) return;
    this.select.value = name!;
    this.onChange();
  }

  /// In the mode `reload`, the list is asked for whenever somebody looks at it.
  keepFresh(mode: PageConfig['model_list_mode']): void {
    if (mode !== 'reload') return;
    const refresh = () => {
      if (document.visibilityState === 'visible' && Date.now() - this.asked > FRESH_MS) void this.refresh();
    };
    this.select.addEventListener('focus', refresh);
    document.addEventListener('visibilitychange', refresh);
  }

  /// Asks the server; the choice stays where it is still there.
  async refresh(): Promise<void> {
    this.asked = Date.now();
    try {
      this.models = await this.server.models();
    } catch (error) {
      this.models = [];
      notify((error as Error).message);
    }
    this.fill(this.select);
    this.onChange();
  }

  /// Makes a dropdown offer the models.
  fill(select: HTMLSelectElement): void {
    const old = select.value;
    select.disabled = this.models.length === 0;
    select.replaceChildren(...this.models.map(({ id }) => make('option', { value: id, textContent: id })));
    if (this.models.length === 0) select.append(make('option', { value: '', textContent: 'no model available' }));
    else if (this.models.some(({ id }) => id === old)) select.value = old;
  }
}
