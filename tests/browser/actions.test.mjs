// SPDX-License-Identifier: Apache-2.0
//
// What each action of the original's page does to its buttons and its box (specification of serving,
// 4.5), and what becomes of texts that are too long for it.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { PICTURE, answerOf, ask, checkAccessibility, launchBrowser, openPage, startProgram, startServer, stopServers } from './support.mjs';

const BUTTONS = ['upvote', 'downvote', 'flag', 'stop', 'regenerate', 'clear'];
let browser, server;

before(async () => {
  [browser, server] = await Promise.all([launchBrowser(), startServer()]);
});
after(async () => {
  stopServers();
  await browser.close();
});

const enabled = (page) => page.evaluate((ids) => ids.filter((id) => !document.getElementById(id).disabled), BUTTONS);
const box = (page) => page.locator('#message').inputValue();
const numPending = (page) => page.locator('#pending-pictures img').count();
const ALL = ['upvote', 'downvote', 'flag', 'regenerate', 'clear'];

const event = (value) => `data: ${JSON.stringify(value)}\n\n`;
const answerWith = (text) => ({ contentType: 'text/event-stream', body: `${event({ choices: [{ index: 0, delta: { content: text }, finish_reason: 'stop' }] })}data: [DONE]\n\n` });

/// Answers questions by hand: `asked` are the bodies, `next(reply)` answers the oldest open one.
async function byHand(page) {
  const asked = [];
  const open = [];
  await page.route('**/v1/chat/completions', (route) => {
    asked.push(route.request().postDataJSON());
    return new Promise((resolve) => open.push(async (reply) => resolve(await route.fulfill(reply))));
  });
  const next = async (reply) => {
    while (open.length === 0) await page.evaluate(() => new Promise(requestAnimationFrame));
    await open.shift()(reply);
  };
  return { asked, next };
}

async function addPicture(page) {
  await page.locator('#picture-file').setInputFiles({ name: 'a.png', mimeType: 'image/png', buffer: readFileSync(PICTURE) });
  await page.locator('#pending-pictures .thumbnail').waitFor();
}

test('buttons after each action are the original ones', async () => {
  const page = await openPage(browser, server.address);
  const { asked, next } = await byHand(page);
  const isAnswering = () => page.locator('#stop:not(:disabled)').waitFor();
  assert.deepEqual(await enabled(page), [], 'at the beginning');

  // Add text: nothing where there is nothing, by either way.
  await page.locator('#message').press('Enter');
  await page.locator('#message').fill('  \n ');
  await page.locator('#send').click();
  assert.deepEqual(await enabled(page), []);
  assert.equal(await page.locator('.turn').count(), 0);
  assert.equal(asked.length, 0);

  // Add text and generate: all disabled but Stop, which the original has not; box and picture empty.
  await addPicture(page);
  await ask(page, 'what color is the triangle?');
  await isAnswering();
  assert.deepEqual(await enabled(page), ['stop']);
  assert.deepEqual([await box(page), await numPending(page)], ['', 0]);
  await next(answerWith('red'));
  assert.equal(await answerOf(page), 'red');
  assert.deepEqual(await enabled(page), ALL, 'after an answer');

  // Regenerate: the answer goes, all disabled; then all again.
  await page.locator('#message').fill('half a thought');
  await page.locator('#regenerate').click();
  await isAnswering();
  assert.deepEqual(await enabled(page), ['stop']);
  assert.equal(await page.locator('.turn.answer:not([aria-busy])').count(), 0);
  assert.deepEqual(asked[1].messages, asked[0].messages);
  await next(answerWith('blue'));
  assert.equal(await answerOf(page), 'blue');
  assert.deepEqual(await enabled(page), ALL, 'after another answer');

  // A vote: no other one, and an empty box. Another answer may be voted on again.
  for (const vote of ['upvote', 'downvote', 'flag']) {
    await page.locator('#message').fill('half a thought');
    await page.locator(`#${vote}`).click();
    assert.deepEqual(await enabled(page), ['regenerate', 'clear'], vote);
    assert.equal(await box(page), '');
    await page.locator('#regenerate').click();
    await next(answerWith(vote));
    assert.equal(await answerOf(page), vote);
    assert.deepEqual(await enabled(page), ALL);
  }

  // A failure: Regenerate and Clear only; the error is no part of what is asked next.
  await ask(page, 'and now?');
  await next({ status: 503, json: { error: { message: 'no worker' } } });
  await page.locator('.failure').getByText('no worker').waitFor();
  assert.deepEqual(await enabled(page), ['regenerate', 'clear'], 'after a failure');
  await page.locator('#regenerate').click();
  await next(answerWith('better'));
  assert.equal(await answerOf(page), 'better');
  assert.ok(!JSON.stringify(asked.at(-1)).includes('no worker'));

  // A stream that fails behind its beginning is a failure as well.
  await page.locator('#regenerate').click();
  await next({ contentType: 'text/event-stream', body: event({ error: { message: 'lost' } }) });
  await page.locator('.failure').getByText('lost').waitFor();
  assert.deepEqual(await enabled(page), ['regenerate', 'clear'], 'after a failure in the middle');

  // Clear: a new conversation, empty box and picture, all disabled.
  await page.locator('#message').fill('half a thought');
  await addPicture(page);
  await page.locator('#clear').click();
  assert.deepEqual(await enabled(page), []);
  assert.deepEqual([await box(page), await numPending(page), await page.locator('.turn').count()], ['', 0, 0]);
  await page.done();
});

test('a text beyond the bounds of the original is cut, and said to be', async () => {
  const controller = await startProgram('controller');
  const original = await startProgram('gradio-web-server', '--controller', controller.address);
  const page = await openPage(browser, original.address);
  // No worker is needed for what the page does.
  await page.route('**/v1/models', (route) => route.fulfill({ json: { object: 'list', data: [{ id: 'a', capabilities: { vision: true, max_images: 8 } }, { id: 'b' }] } }));
  await page.locator('#model-refresh').click();
  await page.locator('#model option', { hasText: 'b' }).waitFor({ state: 'attached' });
  const { asked, next } = await byHand(page);
  const notice = page.locator('#too-long');
  const shown = (index) => page.locator('.turn.question .text').nth(index).textContent();

  // Characters are code points, each of these two units of a string.
  const fits = '\u{1F30B}'.repeat(1536);
  await page.locator('#message').fill(fits);
  assert.equal(await notice.isVisible(), false);
  await page.locator('#message').fill(`${fits}xyz`);
  assert.equal(await notice.textContent(), 'Only the first 1536 characters will be sent; there are 1539.');
  await checkAccessibility(page, 'with a text that is too long');
  await page.locator('#send').click();
  await next(answerWith('yes'));
  await answerOf(page);
  assert.equal(asked[0].messages[0].content, fits);
  assert.equal(await shown(0), fits);
  assert.equal(await notice.isVisible(), false);
  await page.locator('#notice').getByText('The text was cut at 1536 characters').waitFor();
  const rest = page.locator('.unsent');
  assert.equal(await rest.locator('summary').textContent(), 'Cut at 1536 characters: 3 more were not sent');
  assert.equal(await rest.locator('.text').textContent(), 'xyz');
  await checkAccessibility(page, 'with a text that was cut');

  // All of it can be edited, and outlives a reload.
  await page.locator('#conversations li').waitFor();
  await page.reload();
  await page.locator('.unsent').waitFor();
  await page.getByRole('button', { name: 'Edit' }).click();
  assert.equal(await box(page), `${fits}xyz`);
  await page.locator('#model-refresh').click();
  await page.locator('#model option', { hasText: 'b' }).waitFor({ state: 'attached' });
  await page.locator('#message').fill(`short, ${'x'.repeat(1193)}yz`);
  assert.equal(await notice.isVisible(), false);
  // A picture lowers the bound.
  await addPicture(page);
  assert.equal(await notice.textContent(), 'Only the first 1200 characters will be sent; there are 1202.');
  await page.locator('#message').press('Enter');
  await next(answerWith('yes'));
  await answerOf(page);
  assert.equal(asked[1].messages[0].content[1].text, `short, ${'x'.repeat(1193)}`);
  assert.equal(await page.locator('.unsent .text').textContent(), 'yz');
  await page.done();
});

test('the page of llava serve sends all of a text', async () => {
  const page = await openPage(browser, server.address);
  const { asked, next } = await byHand(page);
  await addPicture(page);
  await ask(page, 'a'.repeat(5000));
  await next(answerWith('yes'));
  await answerOf(page);
  assert.equal(asked[0].messages[0].content[1].text.length, 5000);
  assert.equal(await page.locator('#too-long').isVisible(), false);
  assert.equal(await page.locator('.unsent').count(), 0);
  await page.done();
});
