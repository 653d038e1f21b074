// SPDX-License-Identifier: Apache-2.0
//
// What the user is about to say: the text box, and pictures by file, drop, paste and camera.
import type { Picture, Question } from '../conversation/conversation';
import { lengthOf, limitOf, wholeTextOf, withinLimits, type TextLimits } from '../conversation/text_limits';
import { photograph } from '../pictures/camera';
import { filesOf, pictureOf } from '../pictures/intake';
import { thumbnail } from '../pictures/thumbnail';
import { announce, find, notify } from './dom';

export class Composer {
  private pictures: Picture[] = [];
  private readonly text = find<HTMLTextAreaElement>('message');
  private readonly tooLong = find('too-long');
  private readonly box = find('picture-box');
  private readonly chooser = find<HTMLInputElement>('picture-file');

  /// `roomFor` says why no more pictures may be added, or null.
  constructor(
    private readonly send: () => void,
    private readonly roomFor: (numPictures: number) => string | null,
    private readonly limits: TextLimits,
  ) {
    this.text.addEventListener('input', () => this.showLength());
    this.text.addEventListener('keydown', (event) => {
      // Enter also ends the writing of a Chinese or Japanese word.
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.send();
    });
    find('picture-choose').addEventListener('click', () => this.chooser.click());
    this.chooser.addEventListener('change', async () => {
      await this.addFiles(Array.from(this.chooser.files ?? []));
      this.chooser.value = '';
    });
    find('picture-camera').addEventListener('click', () => this.addPhotograph());
    document.addEventListener('paste', (event) => this.take(event, event.clipboardData));
    document.addEventListener('drop', (event) => this.take(event, event.dataTransfer));
    document.addEventListener('dragover', (event) => {
      if (!event.dataTransfer?.types.includes('Files')) return;
      event.preventDefault();
      this.box.classList.add('dropping');
    });
    document.addEventListener('dragleave', () => this.box.classList.remove('dropping'));
  }

  /// The question as it stands, within the bounds; null when there is nothing in it.
  get question(): Question | null {
    const text = this.text.value.trim();
    if (text === '' && this.pictures.length === 0) return null;
    return withinLimits({ role: 'user', text, pictures: this.pictures }, this.limits);
  }

  set question(question: Question | null) {
    this.text.value = question ? wholeTextOf(question) : '';
    this.pictures = [...(question?.pictures ?? [])];
    this.showPictures();
  }

  clearText(): void {
    this.text.value = '';
    this.showLength();
  }

  /// Where there is a keyboard: on a phone it would open one.
  focus(): void {
    if (!matchMedia('(pointer: coarse)').matches) this.text.focus();
  }

  async addFiles(files: { blob: Blob; name: string }[] | File[]): Promise<void> {
    for (const file of files) {
      const { blob, name } = file instanceof File ? { blob: file, name: file.name } : file;
      const refusal = this.roomFor(this.pictures.length + 1);
      if (refusal !== null) return notify(refusal);
      try {
        this.pictures = [...this.pictures, await pictureOf(blob, name)];
        announce(`Picture ${this.pictures.length} added: ${name}`);
      } catch (error) {
        notify((error as Error).message);
      }
      this.showPictures();
    }
  }

  private async addPhotograph(): Promise<void> {
    try {
      const blob = await photograph();
      if (blob) await this.addFiles([{ blob, name: 'photograph.jpg' }]);
    } catch (error) {
      notify((error as Error).message);
    }
  }

  /// Files of a drop or a paste; text is left to the browser.
  private take(event: Event, transfer: DataTransfer | null): void {
    this.box.classList.remove('dropping');
    const files = filesOf(transfer);
    if (files.length === 0) return;
    event.preventDefault();
    void this.addFiles(files);
  }

  /// Says before it is sent what will not be.
  private showLength(): void {
    const limit = limitOf(this.limits, this.pictures.length);
    const length = lengthOf(this.text.value.trim());
    const words = length > limit ? `Only the first ${limit} characters will be sent; there are ${length}.` : '';
    if (this.tooLong.hidden && words !== '') announce(words);
    this.tooLong.textContent = words;
    this.tooLong.hidden = words === '';
  }

  private showPictures(): void {
    this.showLength();
    find('pending-pictures').replaceChildren(
      ...this.pictures.map((picture, index) =>
        thumbnail(picture, index + 1, () => {
          this.pictures = this.pictures.filter((other) => other !== picture);
          this.showPictures();
          this.focus();
        }),
      ),
    );
  }
}
