// SPDX-License-Identifier: Apache-2.0
//
// Light or dark: as the system has it, until the user says otherwise.
import { find } from './dom';

const KEY = 'llava.theme';

export function startTheme(): void {
  const button = find<HTMLButtonElement>('theme');
  const system = matchMedia('(prefers-color-scheme: dark)');
  const show = () => {
    const theme = localStorage.getItem(KEY) ?? (system.matches ? 'dark' : 'light');
    document.documentElement.dataset.theme = theme;
    button.textContent = theme === 'dark' ? '\u2600\ufe0f' : '\ud83c\udf19';
    button.setAttribute('aria-label', theme === 'dark' ? 'Light colours' : 'Dark colours');
  };
  button.addEventListener('click', () => {
    localStorage.setItem(KEY, document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark');
    show();
  });
  system.addEventListener('change', show);
  show();
}
