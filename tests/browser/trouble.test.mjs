// SPDX-License-Identifier: Apache-2.0
//
// The page when things go wrong or are hostile: servers that are lost, keys, scripts in answers; and
// long answers of the language model that the bundled model is built on.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { LANGUAGE_MODEL, PICTURE, answerOf, ask, checkAccessibility, launchBrowser, openPage, scratchFolder, startServer, stopServers, takeExample } from './support.mjs';

const folder = scratchFolder();
const STORY = 'Write a long story about a volcano.';
let browser;

before(async () => {
  browser = await launchBrowser();
});
after(() => {
  stopServers();
  return browser.close();
});

/// Has the next question answered by these texts, as the server would stream them.
async function answerWith(page, ...texts) {
  const event = (value) => `data: ${JSON.stringify(value)}\n\n`;
  const body = texts.map((content) => event({ choices: [{ index: 0, delta: { content }, finish_reason: null }] })).join('');
  await page.route('**/v1/chat/completions', (route) => route.fulfill({ contentType: 'text/event-stream', body: `${body}data: [DONE]\n\n` }), { times: 1 });
}

test('an answer streams, stops, and goes on again', async () => {
  const server = await startServer('--model-path', LANGUAGE_MODEL);
  const page = await openPage(browser, server.address);
  const aborted = async () => /reason="abort"\} ([1-9])/.exec(await server.metrics())?.[1];
  await ask(page, STORY);
  const written = page.locator('.turn.answer[aria-busy] .text');
  const lengths = new Set();
  while (lengths.size < 3) lengths.add(await written.evaluate((element) => element.textContent.length));
  assert.ok(await page.locator('#upvote').isDisabled());
  assert.ok(await page.locator('#send').isDisabled());
  await page.locator('#stop').click();
  const part = await answerOf(page);
  assert.ok(part.length > 0);
  assert.match(await page.locator('.cost').textContent(), /^stopped/);
  // The server stops working, too.
  while ((await aborted()) !== '1');
  await page.locator('#regenerate').click();
  await page.locator('.turn.answer[aria-busy] .text p').waitFor();
  await page.keyboard.press('Escape');
  await answerOf(page);
  assert.equal(await page.locator('.branch').textContent(), '2/2');
  // A picture is refused by words before it is sent to a model that sees none.
  await page.locator('#picture-file').setInputFiles(PICTURE);
  await page.getByText('sees no pictures').waitFor();
  // The server dies in the middle.
  await ask(page, STORY);
  await page.locator('.turn.answer[aria-busy] .text p').waitFor();
  server.kill();
  await page.locator('.failure').getByText('the connection to the server was lost').waitFor();
  assert.ok(await page.locator('#upvote').isDisabled());
  await page.locator('#regenerate').click();
  await page.locator('.failure').getByText('cannot be reached').waitFor();
  assert.equal(await page.locator('.failure').count(), 1);
  await checkAccessibility(page, 'with a failure');
  // What was said stays.
  assert.equal(await page.locator('.turn.question').count(), 2);
  await page.done();
});

test('a key is asked for until it is right, and kept in the tab', async () => {
  const server = await startServer('--api-key', 'secret');
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(server.address);
  await page.locator('#key').fill('wrong');
  await page.keyboard.press('Enter');
  await page.getByText('The key is not known here.').waitFor();
  await checkAccessibility(page, 'asking for a key');
  await page.locator('#key').fill('secret');
  await page.keyboard.press('Enter');
  await page.locator('#model option').first().waitFor({ state: 'attached' });
  await ask(page, 'what is a circle?');
  await answerOf(page);
  await page.locator('#flag').click();
  await page.getByText('This server keeps no votes').waitFor();
  await page.reload();
  await page.locator('#model option').first().waitFor({ state: 'attached' });
  assert.equal(await page.locator('#key-dialog[open]').count(), 0);
  assert.equal(await page.evaluate(() => Object.values(localStorage).some((value) => value.includes('secret'))), false);
  await context.close();
});

test('a phone in the house, over plain http, has all but the camera', async (t) => {
  const other = Object.values(networkInterfaces()).flat().find(({ family, internal }) => family === 'IPv4' && !internal);
  if (!other) return t.skip('this machine has loopback only');
  const server = await startServer('--host', '0.0.0.0');
  const page = await openPage(browser, `http://${other.address}:${new URL(server.address).port}`);
  assert.equal(await page.evaluate(() => isSecureContext), false);
  await takeExample(page, 'what color is the triangle?');
  await page.locator('#send').click();
  assert.equal(await answerOf(page), 'red');
  await page.getByRole('button', { name: 'Copy' }).click();
  await page.getByText('Copied').first().waitFor();
  await page.getByRole('button', { name: 'Reproduce' }).click();
  assert.match(await page.locator('#link').inputValue(), /#reproduce=/);
  await page.keyboard.press('Escape');
  await page.locator('#picture-camera').click();
  await page.getByText('browsers give the camera to https and localhost only').waitFor();
  await page.done();
});

test('what models and files say runs nothing', async () => {
  const server = await startServer();
  const page = await openPage(browser, server.address);
  const hostile = [
    '<script>alert(1)</script><img src=x onerror=alert(2)><svg onload=alert(3)>',
    '[a](javascript:alert(4)) ![b](https://example.invalid/x.png) <a href="data:text/html,<script>alert(5)</script>">c</a>',
    '<form action="https://example.invalid"><input name=q><button>d</button></form><style>*{display:none}</style>',
    '<iframe src="https://example.invalid"></iframe><math><mtext></form><form><mglyph><style></math><img src onerror=alert(6)>',
    '<b id="message" name="announcer">e</b><a href="//example.invalid">f</a>\n\n```js\nalert("<b>code</b>")\n```\n\n# Heading\n\n[g](https://example.invalid/)',
  ];
  await answerWith(page, ...hostile.map((text) => `${text}\n\n`));
  await page.locator('#picture-file').setInputFiles({ name: '"><img src=x onerror=alert(7)>.png', mimeType: 'image/png', buffer: readFileSync(PICTURE) });
  await page.locator('#pending-pictures .thumbnail').waitFor();
  await ask(page, '<img src=x onerror=alert(8)>');
  await answerOf(page);
  const answer = page.locator('.turn.answer .text');
  assert.equal(await answer.locator('script, img, svg, form, input, style, iframe, math, [id], [name], [onerror]').count(), 0);
  assert.deepEqual(await answer.locator('a[href]').evaluateAll((links) => links.map((link) => [link.getAttribute('href'), link.rel])), [['https://example.invalid/', 'noopener noreferrer nofollow']]);
  for (const written of ['<script>alert(1)</script>', '<iframe src=', '<b id="message"']) assert.ok((await answer.innerText()).includes(written), written);
  assert.equal(await answer.locator('h3').textContent(), 'Heading');
  assert.equal(await page.locator('.turn.question .text').textContent(), '<img src=x onerror=alert(8)>');
  await page.reload();
  await page.locator('.turn.answer').waitFor();
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  await page.getByRole('button', { name: 'Copy code' }).click();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), 'alert("<b>code</b>")\n');
  await checkAccessibility(page, 'with a rich answer');
  // Errors of the server are text as well; they are no part of what is sent next.
  await page.route('**/v1/chat/completions', (route) => route.fulfill({ status: 400, json: { error: { message: '<img src=x onerror=alert(9)> is wrong' } } }), { times: 1 });
  await ask(page, 'again');
  await page.locator('.failure').getByText('<img src=x onerror=alert(9)> is wrong').waitFor();
  await page.done();
});

test('errors of a stream and empty answers are told', async () => {
  const server = await startServer();
  const page = await openPage(browser, server.address);
  const failure = (text) => page.locator('.failure').getByText(text).waitFor();
  // One route for all of them: where the last one ends and another begins, a request may slip through to the server.
  const bodies = [
    'data: {"error":{"message":"out of memory"}}\n\ndata: [DONE]\n\n',
    'data: {"choices":[{"delta":{"content":"  "}}]}\n\ndata: [DONE]\n\n',
    'data: {"choices":[{"delta":{"content":"half"}}]}\n\n',
  ];
  await page.route('**/v1/chat/completions', (route) => route.fulfill({ contentType: 'text/event-stream', body: bodies.shift() }));
  await ask(page, 'x');
  await failure('out of memory');
  await page.locator('#regenerate').click();
  await failure('the answer is empty');
  await page.locator('#regenerate').click();
  await failure('was lost in the middle');
  await page.done();
});

/// Has the server name these models from now on; the number of times that it was asked.
async function nameModels(page, ...names) {
  const asked = { times: 0 };
  await page.route('**/v1/models', (route) => {
    asked.times += 1;
    return route.fulfill({ json: { object: 'list', data: names.map((id) => ({ id, object: 'model' })) } });
  });
  return asked;
}

test('the list of models is fresh when somebody looks, and keeps the choice', async () => {
  const server = await startServer('--served-model-name', 'a', '--served-model-name', 'b');
  const page = await openPage(browser, server.address);
  await page.clock.install();
  await page.locator('#model').selectOption('b');
  const asked = await nameModels(page, 'c', 'b');
  // A list of a moment ago is not asked for again.
  await page.locator('#model').focus();
  await page.locator('#message').focus();
  await page.clock.fastForward(6000);
  await page.locator('#model').focus();
  await page.locator('#model option', { hasText: 'c' }).waitFor({ state: 'attached' });
  assert.equal(asked.times, 1);
  assert.equal(await page.locator('#model').inputValue(), 'b');
  await nameModels(page);
  await page.locator('#model-refresh').click();
  await page.locator('#model option', { hasText: 'no model available' }).waitFor({ state: 'attached' });
  assert.ok(await page.locator('#send').isDisabled());
  await page.done();
});

test('operators choose texts, embedding, and when models are listed', async () => {
  writeFileSync(join(folder, 'terms.md'), 'Be **kind**. <script>alert(1)</script>');
  const server = await startServer('--embed', '--terms-file', join(folder, 'terms.md'), '--model-list-mode', 'once');
  const page = await openPage(browser, server.address);
  assert.equal(await page.locator('#terms strong').textContent(), 'kind');
  assert.equal(await page.locator('footer').isVisible(), false);
  assert.equal(await page.locator('#links').isVisible(), false);
  await page.clock.install();
  const asked = await nameModels(page, 'x');
  await page.clock.fastForward(6000);
  await page.locator('#model').focus();
  await page.locator('#model-refresh').click();
  await page.locator('#model option', { hasText: 'x' }).waitFor({ state: 'attached' });
  assert.equal(asked.times, 1);
  await page.done();
});
