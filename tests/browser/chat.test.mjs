// SPDX-License-Identifier: Apache-2.0
//
// The page with the bundled model: asking, pictures, votes, conversations, the arena.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import {
  PICTURE, TIFF, answerOf, ask, checkAccessibility, launchBrowser, openPage, scratchFolder, screenshot, startServer, stopServers, tabTo, takeExample,
} from './support.mjs';

const folder = scratchFolder();
let browser, server;

before(async () => {
  [browser, server] = await Promise.all([
    launchBrowser(),
    startServer('--served-model-name', 'model-a', '--served-model-name', 'model-b', '--log-dir', join(folder, 'log'), '--anonymize-ip'),
  ]);
});
after(async () => {
  stopServers();
  await browser.close();
});

const buttons = (page) =>
  page.evaluate(() => Object.fromEntries(['upvote', 'downvote', 'flag', 'stop', 'regenerate', 'clear'].map((id) => [id, !document.getElementById(id).disabled])));
const only = (...enabled) => Object.fromEntries(['upvote', 'downvote', 'flag', 'stop', 'regenerate', 'clear'].map((id) => [id, enabled.includes(id)]));
const ENDED = only('upvote', 'downvote', 'flag', 'regenerate', 'clear');

function logLines() {
  const file = readdirSync(join(folder, 'log')).find((name) => name.endsWith('-conv.json'));
  return file ? readFileSync(join(folder, 'log', file), 'utf8').trimEnd().split('\n').map((line) => JSON.parse(line)) : [];
}

/// Waits until the browser's database has that many conversations, the last one with its leaf.
async function kept(page, count) {
  const number = () =>
    page.evaluate(
      () =>
        new Promise((resolve) => {
          const opening = indexedDB.open('llava');
          opening.onsuccess = () => {
            const all = opening.result.transaction('conversations').objectStore('conversations').getAll();
            all.onsuccess = () => resolve(all.result.filter(({ nodes, leaf }) => nodes.at(-1)?.id === leaf).length);
          };
        }),
    );
  while ((await number()) !== count);
}

/// The next lines of the log, once there are that many.
async function nextLines(begin, count) {
  for (let i = 0; i < 400 && logLines().length < begin + count; ++i) await new Promise((resolve) => setTimeout(resolve, 25));
  return logLines().slice(begin);
}

test('labels and defaults are those of the original', async () => {
  const page = await openPage(browser, server.address);
  assert.equal(await page.title(), 'LLaVA');
  assert.equal(await page.locator('h1').textContent(), '\u{1F30B} LLaVA: Large Language and Vision Assistant');
  assert.deepEqual(await page.locator('#links a').allTextContents(), ['Project Page', 'Code', 'Model', 'LLaVA', 'LLaVA-v1.5', 'LLaVA-v1.6']);
  assert.equal(await page.locator('#message').getAttribute('placeholder'), 'Enter text and press ENTER');
  assert.deepEqual(await page.locator('#buttons button').allTextContents(), [
    '\u{1F44D}  Upvote', '\u{1F44E}  Downvote', '\u26A0\uFE0F  Flag', '\u23F9\uFE0F  Stop Generation', '\u{1F504}  Regenerate', '\u{1F5D1}\uFE0F  Clear',
  ]);
  assert.deepEqual(await buttons(page), only());
  for (const [id, min, max, step, value] of [['temperature', '0', '1', '0.1', '0.2'], ['top-p', '0', '1', '0.1', '0.7'], ['max-tokens', '0', '1024', '64', '512']]) {
    const slider = page.locator(`#${id}`);
    assert.deepEqual([await slider.getAttribute('min'), await slider.getAttribute('max'), await slider.getAttribute('step'), await slider.inputValue()], [min, max, step, value]);
  }
  assert.deepEqual(await page.locator('#parameters fieldset label').allTextContents().then((all) => all.map((text) => text.trim())), ['Crop', 'Resize', 'Pad', 'Default']);
  assert.ok(await page.locator('input[value=Default]').isChecked());
  assert.equal((await page.locator('#chatbot').boundingBox()).height, 650);
  assert.deepEqual(await page.locator('#model option').allTextContents(), ['model-a', 'model-b']);
  assert.match(await page.locator('#terms').textContent(), /research preview/);
  const licenses = await page.request.get(server.address + (await page.locator('#software-licenses').getAttribute('href')));
  assert.equal(licenses.headers()['content-type'], 'text/plain; charset=utf-8');
  assert.match(await licenses.text(), /Permission is hereby granted[^]*Apache License/);
  await page.done();
});

test('an example is asked, answered, voted on, and written to the log', async () => {
  const begin = logLines().length;
  const page = await openPage(browser, server.address, { path: '/?model=model-b' });
  assert.equal(await page.locator('#model').inputValue(), 'model-b');
  await takeExample(page, 'what color is the triangle?');
  await page.locator('#message').press('Enter');
  assert.equal(await answerOf(page), 'red');
  assert.deepEqual(await buttons(page), ENDED);
  assert.match(await page.locator('.cost').textContent(), /\d+ tokens in .* prompt \d+ tokens, 64 of pictures/);
  await screenshot(page, 'chat');
  await page.locator('#upvote').click();
  assert.deepEqual(await buttons(page), only('regenerate', 'clear'));
  const [chat, vote] = await nextLines(begin, 2);
  assert.deepEqual(Object.keys(chat), ['tstamp', 'type', 'model', 'start', 'finish', 'state', 'images', 'ip', 'request_id', 'params', 'finish_reason']);
  assert.deepEqual([chat.type, chat.model, chat.ip, chat.finish_reason], ['chat', 'model-b', '127.0.0.0', 'stop']);
  assert.deepEqual(chat.state.messages.map(([, text]) => text), ['what color is the triangle?\n<image>', 'red']);
  assert.equal(chat.images.length, 1);
  const day = readdirSync(join(folder, 'log/serve_images'))[0];
  assert.ok(readdirSync(join(folder, 'log/serve_images', day)).includes(`${chat.images[0]}.png`));
  assert.deepEqual([vote.type, vote.state], ['upvote', chat.state]);
  await page.locator('#clear').click();
  assert.deepEqual(await buttons(page), only());
  assert.equal(await page.locator('#chatbot .turn').count(), 0);
  await page.done();
});

test('pictures come by file, drop, paste and camera, have numbers, and can be taken away', async () => {
  const page = await openPage(browser, server.address, { permissions: ['clipboard-read', 'clipboard-write', 'camera'] });
  const png = readFileSync(PICTURE);
  const names = () => page.locator('#pending-pictures img').evaluateAll((images) => images.map((image) => image.alt));
  const count = (number) => page.locator(`#pending-pictures .thumbnail:nth-child(${number})`).waitFor();
  await page.locator('#picture-file').setInputFiles({ name: 'a.png', mimeType: 'image/png', buffer: png });
  await count(1);
  await page.evaluate(async (bytes) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([Uint8Array.from(bytes)], 'b.png', { type: 'image/png' }));
    document.getElementById('picture-box').dispatchEvent(new DragEvent('drop', { bubbles: true, cancelable: true, dataTransfer: transfer }));
  }, [...png]);
  await count(2);
  await page.evaluate(async (bytes) => {
    await navigator.clipboard.write([new ClipboardItem({ 'image/png': new Blob([Uint8Array.from(bytes)], { type: 'image/png' }) })]);
  }, [...png]);
  await page.locator('#message').focus();
  await page.keyboard.press('Control+V');
  await count(3);
  await page.locator('#picture-camera').click();
  await page.getByRole('button', { name: 'Take the picture' }).click();
  await count(4);
  assert.deepEqual(await names(), ['Picture 1: a.png', 'Picture 2: b.png', 'Picture 3: image.png', 'Picture 4: photograph.jpg']);
  for (const name of ['Picture 4: photograph.jpg', 'Picture 3: image.png', 'Picture 1: a.png']) await page.getByRole('button', { name: `Remove ${name[0].toLowerCase()}${name.slice(1)}` }).click();
  assert.deepEqual(await names(), ['Picture 1: b.png']);
  await ask(page, 'what color is the triangle?');
  assert.equal(await answerOf(page), 'red');

  await page.locator('#picture-file').setInputFiles({ name: 'notes.txt', mimeType: 'text/plain', buffer: Buffer.from('no picture') });
  await page.getByText('notes.txt is no picture that this browser can read').waitFor();
  await page.locator('#picture-file').setInputFiles(Array.from({ length: 8 }, (_, i) => ({ name: `${i}.png`, mimeType: 'image/png', buffer: png })));
  await page.getByText('takes at most 8 pictures in a conversation').waitFor();
  assert.equal(await page.locator('#pending-pictures img').count(), 7);
  await page.done();
});

test('large pictures are made smaller, and what only the server reads is sent as it is', async () => {
  const page = await openPage(browser, server.address);
  const sent = [];
  page.on('request', (request) => {
    if (request.url().endsWith('/chat/completions')) sent.push(request.postDataJSON().messages[0].content[0].image_url.url);
  });
  const askAbout = async (file) => {
    await page.locator('#picture-file').setInputFiles(file);
    await page.locator('#pending-pictures .thumbnail').waitFor();
    await ask(page, 'what shape is in the image?');
    await answerOf(page);
    await page.locator('#clear').click();
    return Buffer.from(sent.at(-1).split(',')[1], 'base64');
  };
  const large = await page.evaluate(() => {
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [3000, 1000];
    canvas.getContext('2d').fillRect(0, 0, 3000, 1000);
    return canvas.toDataURL().split(',')[1];
  });
  const png = await askAbout({ name: 'large.png', mimeType: 'image/png', buffer: Buffer.from(large, 'base64') });
  assert.deepEqual([png.readUInt32BE(16), png.readUInt32BE(20)], [2048, 683]);
  const tiff = readFileSync(TIFF);
  assert.deepEqual(await askAbout({ name: 'scan.tiff', mimeType: 'image/tiff', buffer: tiff }), tiff);
  await page.done();
});

test('the preprocessing mode reaches the model', async () => {
  const page = await openPage(browser, server.address);
  const sent = [];
  page.on('request', (request) => {
    if (request.url().endsWith('/chat/completions')) sent.push(request.postDataJSON());
  });
  await page.locator('#parameters-box summary').click();
  for (const mode of ['Default', 'Crop', 'Pad', 'Resize']) {
    await page.locator(`input[value=${mode}]`).check();
    await takeExample(page, 'what shape is in the image?');
    await page.locator('#send').click();
    assert.equal(await answerOf(page), 'circle', mode);
    await page.locator('#clear').click();
  }
  assert.deepEqual(sent.map((body) => body.mm_processor_kwargs?.image_aspect_ratio), [undefined, undefined, 'pad', undefined]);
  const urls = sent.map((body) => body.messages[0].content[0].image_url.url);
  assert.equal(urls[0], urls[1]);
  // The width of a PNG stands at byte 16.
  assert.equal(Buffer.from(urls[3].split(',')[1], 'base64').readUInt32BE(16), 336);
  await page.done();
});

test('conversations outlive a reload, branch, and can be renamed, exported and deleted', async () => {
  const page = await openPage(browser, server.address);
  await takeExample(page, 'what color is the triangle?');
  await page.locator('#send').click();
  assert.equal(await answerOf(page), 'red');
  await ask(page, 'what shape is in the image?');
  assert.equal(await answerOf(page), 'triangle');

  await page.locator('.turn.question').first().getByRole('button', { name: 'Edit' }).click();
  assert.equal(await page.locator('#pending-pictures img').count(), 1);
  await page.locator('#message').fill('is there a circle in the image?');
  await page.locator('#message').press('Enter');
  assert.equal(await answerOf(page), 'no');
  assert.equal(await page.locator('.turn').count(), 2);
  assert.equal(await page.locator('.branch').textContent(), '2/2');
  await page.getByRole('button', { name: 'Previous version' }).click();
  assert.equal(await page.locator('.turn').count(), 4);
  await page.locator('#regenerate').click();
  assert.equal(await answerOf(page), 'triangle');
  assert.deepEqual(await page.locator('.branch').allTextContents(), ['1/2', '2/2']);

  await kept(page, 1);
  await page.reload();
  await page.locator('.turn').nth(3).waitFor();
  assert.equal(await page.locator('.turn img').first().evaluate((image) => image.decode().then(() => image.naturalWidth)), 64);
  assert.deepEqual(await buttons(page), ENDED);

  await page.getByRole('button', { name: /^Rename / }).click();
  await page.locator('#rename').fill('Shapes <b>');
  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: 'Shapes <b>', exact: true }).waitFor();
  const [saved] = await Promise.all([page.waitForEvent('download'), page.locator('#conversation-export').click()]);
  assert.equal(saved.suggestedFilename(), 'llava-shapes-b.json');
  const file = JSON.parse(readFileSync(await saved.path(), 'utf8'));
  assert.deepEqual(file.messages.map(({ role }) => role), ['user', 'assistant', 'user', 'assistant']);
  assert.match(file.messages[0].content[0].image_url.url, /^data:image\/png;base64,/);
  assert.equal(file.answers[1].model, 'model-a');

  await page.locator('#conversation-new').click();
  assert.equal(await page.locator('.turn').count(), 0);
  await page.getByRole('button', { name: 'Shapes <b>', exact: true }).click();
  assert.equal(await page.locator('.turn').count(), 4);
  await page.getByRole('button', { name: 'Delete Shapes <b>' }).click();
  await kept(page, 0);
  await page.reload();
  await page.locator('#examples button').first().waitFor();
  assert.equal(await page.locator('#conversations li').count(), 0);
  await page.done();
});

test('a link reproduces an answer', async () => {
  const page = await openPage(browser, server.address);
  const sent = [];
  page.on('request', (request) => {
    if (request.url().endsWith('/chat/completions')) sent.push(request.postDataJSON());
  });
  await takeExample(page, 'what color is the triangle?');
  await page.locator('#send').click();
  await answerOf(page);
  await page.getByRole('button', { name: 'Reproduce' }).click();
  const link = await page.locator('#link').inputValue();
  await page.keyboard.press('Escape');
  await page.goto(link);
  await page.getByText('Ready to reproduce: press Send.').waitFor();
  assert.equal(await page.locator('#seed').inputValue(), String(sent[0].seed));
  await page.locator('#send').click();
  await answerOf(page);
  assert.deepEqual(sent[1], sent[0]);

  // Elsewhere the picture is not there; a damaged link says so.
  const other = await openPage(browser, server.address, { path: new URL(link).hash.replace(/^/, '/') });
  await other.getByText('the picture triangle.png has to be added').waitFor();
  await other.goto(`${server.address}/?again#reproduce=damaged`);
  await other.getByText('is damaged').waitFor();
  await other.done();
  await page.done();
});

test('the arena hides two models until the vote', async () => {
  const begin = logLines().length;
  const page = await openPage(browser, server.address);
  await page.locator('#mode-arena').click();
  await takeExample(page, 'what color is the triangle?');
  await page.locator('#send').click();
  assert.equal(await answerOf(page, '#arena-a'), 'red');
  assert.equal(await answerOf(page, '#arena-b'), 'red');
  assert.ok(!/model-[ab]/.test(await page.locator('#arena').innerText()));
  await screenshot(page, 'arena');
  await page.getByRole('button', { name: 'Tie' }).click();
  const shown = [await page.locator('#arena-name-a').textContent(), await page.locator('#arena-name-b').textContent()];
  assert.deepEqual(shown.map((name) => name.replace(/^Model [AB]: /, '')).sort(), ['model-a', 'model-b']);
  assert.ok(await page.locator('#vote-a').isDisabled());
  const lines = await nextLines(begin, 3);
  assert.deepEqual(lines.map(({ type }) => type).sort(), ['chat', 'chat', 'tievote']);
  const vote = lines.find(({ type }) => type === 'tievote');
  assert.deepEqual(vote.models, shown.map((name) => name.replace(/^Model [AB]: /, '')));
  assert.deepEqual(vote.states.map(({ messages }) => messages[1][1]), ['red', 'red']);

  await page.locator('#clear').click();
  await page.locator('#anonymous').uncheck();
  await page.locator('#arena-model-a').selectOption('model-b');
  await ask(page, 'what color is it?');
  await answerOf(page, '#arena-b');
  assert.equal(await page.locator('#arena-name-a').textContent(), 'Model A: model-b');
  await page.done();
});

test('everything can be done by keyboard', async () => {
  const page = await openPage(browser, server.address);
  await tabTo(page, '.example', 'Shift+Tab');
  const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
  assert.equal(outline, 'solid');
  await page.keyboard.press('Enter');
  await page.locator('#pending-pictures .thumbnail').waitFor();
  await tabTo(page, '#message');
  await page.keyboard.press('Enter');
  await answerOf(page);
  await tabTo(page, '#downvote');
  await page.keyboard.press('Space');
  await page.locator('#downvote:disabled').waitFor();
  await tabTo(page, '#regenerate');
  await page.keyboard.press('Enter');
  await answerOf(page);
  await tabTo(page, '#mode-arena', 'Shift+Tab');
  await page.keyboard.press('Enter');
  await page.locator('#arena').waitFor();
  await tabTo(page, '#mode-chat');
  await page.keyboard.press('Enter');
  await tabTo(page, '#parameters-box summary', 'Shift+Tab');
  await page.keyboard.press('Enter');
  await tabTo(page, '#temperature');
  await page.keyboard.press('ArrowRight');
  assert.equal(await page.locator('#temperature-value').textContent(), '0.3');
  await tabTo(page, '#message');
  await page.keyboard.type('two');
  await page.keyboard.press('Shift+Enter');
  await page.keyboard.type('lines');
  assert.equal(await page.locator('#message').inputValue(), 'two\nlines');
  await page.done();
});

test('a phone shows all of it, and axe finds nothing serious', async () => {
  for (const [colorScheme, viewport] of [['light', { width: 1280, height: 900 }], ['dark', { width: 1280, height: 900 }], ['dark', { width: 360, height: 740 }]]) {
    const page = await openPage(browser, server.address, { colorScheme, viewport, hasTouch: viewport.width < 500 });
    const check = async (what) => {
      const width = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(width <= viewport.width, `${what}: ${width} pixels wide`);
      await checkAccessibility(page, `${what}, ${colorScheme}, ${viewport.width}`);
    };
    await check('empty');
    await page.locator('#parameters-box summary').click();
    await takeExample(page, 'what shape is in the image?');
    await check('with a picture');
    await page.locator('#send').click();
    await answerOf(page);
    // Folded where there is little room.
    if (viewport.width < 500) await page.locator('#conversations-box summary').click();
    await page.getByRole('button', { name: /^Rename / }).click();
    await check('with a dialog');
    await page.keyboard.press('Escape');
    await check('with an answer');
    if (viewport.width < 500) {
      await page.locator('#parameters-box summary').click();
      await page.locator('#conversations-box summary').click();
      await page.locator('#chatbot').scrollIntoViewIfNeeded();
      await screenshot(page, 'phone');
    }
    await page.locator('#mode-arena').click();
    await check('arena');
    await page.done();
  }
});

test('colours follow the system until the user says otherwise', async () => {
  const page = await openPage(browser, server.address, { colorScheme: 'dark' });
  const theme = () => page.evaluate(() => document.documentElement.dataset.theme);
  assert.equal(await theme(), 'dark');
  await page.getByRole('button', { name: 'Light colours' }).click();
  await page.reload();
  await page.locator('#examples button').first().waitFor();
  assert.equal(await theme(), 'light');
  await page.done();
});

test('pages of other sites can neither write the log nor use the model', async () => {
  const site = createServer((request, response) => response.setHeader('Content-Type', 'text/html').end('<!doctype html><title>other</title>'));
  await new Promise((resolve) => site.listen(0, '127.0.0.1', resolve));
  const begin = logLines().length;
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(`http://127.0.0.1:${site.address().port}/`);
  const outcomes = await page.evaluate(async (address) => {
    const body = JSON.stringify({ type: 'flag', requests: [{ model: 'model-a', messages: [{ role: 'user', content: 'a' }, { role: 'assistant', content: 'b' }] }] });
    const attempts = [
      fetch(`${address}/web/log`, { method: 'POST', mode: 'no-cors', body }),
      fetch(`${address}/web/log`, { method: 'POST', mode: 'no-cors', body: new Blob([body]) }),
      fetch(`${address}/web/log`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body }),
      fetch(`${address}/v1/models`),
    ];
    return Promise.all(attempts.map((attempt) => attempt.then((response) => response.type).catch(() => 'refused')));
  }, server.address);
  assert.deepEqual(outcomes, ['opaque', 'opaque', 'refused', 'refused']);
  assert.equal(logLines().length, begin);
  await context.close();
  site.close();
});
