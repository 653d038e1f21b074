// SPDX-License-Identifier: Apache-2.0
//
// The panel of parameters, remembered by the browser.
import { DEFAULT_SETTINGS, readSettings, type Settings } from '../conversation/settings';
import { find } from './dom';

const KEY = 'llava.settings';

function stored(): unknown {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? 'null');
  } catch {
    return null;
  }
}

/// A whole number of a text box; null when it is empty.
function wholeIn(input: HTMLInputElement): number | null {
  return input.value === '' ? null : input.valueAsNumber;
}

export class Parameters {
  private readonly panel = find('parameters');
  private readonly temperature = find<HTMLInputElement>('temperature');
  private readonly topP = find<HTMLInputElement>('top-p');
  private readonly maxTokens = find<HTMLInputElement>('max-tokens');
  private readonly seed = find<HTMLInputElement>('seed');
  private readonly topK = find<HTMLInputElement>('top-k');
  private readonly stop = find<HTMLTextAreaElement>('stop-strings');

  constructor() {
    this.settings = readSettings(stored());
    this.panel.addEventListener('input', () => {
      this.showNumbers();
      localStorage.setItem(KEY, JSON.stringify(this.settings));
    });
    find('parameters-reset').addEventListener('click', () => {
      this.settings = DEFAULT_SETTINGS;
      localStorage.removeItem(KEY);
    });
  }

  get settings(): Settings {
    return readSettings({
      temperature: this.temperature.valueAsNumber,
      topP: this.topP.valueAsNumber,
      maxTokens: this.maxTokens.valueAsNumber,
      preprocess: this.panel.querySelector<HTMLInputElement>('input[name=preprocess]:checked')?.value,
      seed: wholeIn(this.seed),
      topK: wholeIn(this.topK),
      stop: this.stop.value.split('\n'),
    });
  }

  set settings(settings: Settings) {
    this.temperature.value = String(settings.temperature);
    this.topP.value = String(settings.topP);
    this.maxTokens.value = String(settings.maxTokens);
    this.seed.value = String(settings.seed ?? '');
    this.topK.value = String(settings.topK ?? '');
    this.stop.value = settings.stop.join('\n');
    for (const radio of this.panel.querySelectorAll<HTMLInputElement>('input[name=preprocess]')) {
      radio.checked = radio.value === settings.preprocess;
    }
    this.showNumbers();
  }

  private showNumbers(): void {
    for (const slider of [this.temperature, this.topP, this.maxTokens]) find(`${slider.id}-value`).textContent = slider.value;
  }
}
