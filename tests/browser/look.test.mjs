// SPDX-License-Identifier: Apache-2.0
//
// "Where did it look", with the bundled model: nothing is asked until it is turned on; then words
// show their map over the picture, by mouse, keyboard and touch.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { answerOf, ask, checkAccessibility, launchBrowser, openPage, screenshot, startServer, stopServers, tabTo, takeExample } from './support.mjs';

let browser, server;

before(async () => {
  [browser, server] = await Promise.all([launchBrowser(), startServer('--served-model-name', 'model-a', '--served-model-name', 'model-b')]);
});
after(async () => {
  stopServers();
  await browser.close();
});

/// A page with an answered question about a picture; `page.looks` counts requests. With `answer`,
/// that is the answer: the bundled model says single words only.
async function answered(question, { answer, ...options } = {}) {
  const page = await openPage(browser, server.address, options);
  page.looks = 0;
  if (answer) {
    const event = { choices: [{ delta: { content: answer }, finish_reason: 'stop' }] };
    const body = `data: ${JSON.stringify(event)}\n\ndata: [DONE]\n\n`;
    await page.route('**/v1/chat/completions', (route) => route.fulfill({ contentType: 'text/event-stream', body }));
  }
  page.on('request', (request) => (page.looks += request.url().endsWith('/v1/attention') ? 1 : 0));
  await takeExample(page, question);
  await page.locator('#send').click();
  await answerOf(page);
  return page;
}

const button = (page) => page.getByRole('button', { name: 'Where did it look' });
const words = (page) => page.locator('.look-words .word');
const isShown = (page) => page.locator('.looked-at canvas').evaluate((canvas) => canvas.classList.contains('shown'));
const said = (page) => page.locator('.look-said').textContent();

/// Where the map glows most, in fractions of the picture; its upper quarter is left out, for what heads do not need
/// they leave on the first patches (an attention sink), and the map is smooth.
const brightest = (page) =>
  page.locator('.looked-at canvas').evaluate((canvas) => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    const begin = 4 * canvas.width * Math.ceil(canvas.height / 4);
    let most = begin;
    for (let i = begin; i < data.length; i += 4) if (data[i] > data[most]) most = i;
    return [((most / 4) % canvas.width) / canvas.width, Math.floor(most / 4 / canvas.width) / canvas.height];
  });

test('nothing is asked until it is turned on, and nothing twice', async () => {
  const page = await answered('what color is the triangle?');
  const text = await page.locator('.turn.answer .text').innerText();
  assert.equal(page.looks, 0);
  await button(page).click();
  await words(page).first().waitFor();
  assert.equal(page.looks, 1);
  assert.equal(await button(page).getAttribute('aria-pressed'), 'true');
  assert.equal(await page.locator('.look-words').innerText(), text);
  assert.equal(await isShown(page), false);

  await words(page).first().hover();
  assert.equal(await isShown(page), true);
  assert.match(await said(page), /^\u201cred\u201d: \d+ % of its attention on the picture, most /);
  // The triangle is in the middle, from a quarter to five eighths of the height.
  const [x, y] = await brightest(page);
  assert.ok(x > 0.2 && x < 0.85 && y > 0.1 && y < 0.7, `most of it at ${x}, ${y}`);
  await words(page).first().click();
  await screenshot(page, 'look');
  await words(page).first().click();
  await page.locator('#message').hover();
  assert.equal(await isShown(page), false);

  await button(page).click();
  assert.equal(await page.locator('.look').count(), 0);
  assert.equal(await page.locator('.turn.answer .text').innerText(), text);
  assert.equal(await button(page).getAttribute('aria-pressed'), 'false');
  await button(page).click();
  await words(page).first().waitFor();
  assert.equal(page.looks, 1);
  await page.done();
});

test('words are reached by keyboard, and one is kept', async () => {
  const answer = 'It is a **red** triangle.';
  const page = await answered('what color is the triangle?', { answer });
  await tabTo(page, '.look-button', 'Shift+Tab');
  await page.keyboard.press('Enter');
  await words(page).first().waitFor();
  assert.deepEqual(await words(page).allTextContents(), ['It', 'is', 'a', '**red**', 'triangle.']);
  assert.equal(await page.locator('.look-words').textContent(), answer);
  await tabTo(page, '.word', 'Shift+Tab');
  assert.equal(await isShown(page), true);
  const first = await said(page);
  await page.keyboard.press('ArrowRight');
  assert.ok(await words(page).nth(1).evaluate((word) => word === document.activeElement));
  assert.notEqual(await said(page), first);
  await page.keyboard.press('Enter');
  assert.equal(await words(page).nth(1).getAttribute('aria-pressed'), 'true');
  const kept = await said(page);
  await page.keyboard.press('End');
  assert.ok(await words(page).last().evaluate((word) => word === document.activeElement));
  // What was kept is shown again when the focus leaves.
  await page.locator('#message').focus();
  assert.equal(await said(page), kept);
  await page.done();
});

test('a tap keeps a word, in the dark and on a phone, and axe finds nothing serious', async () => {
  const page = await answered('what color is the triangle?', { colorScheme: 'dark', viewport: { width: 360, height: 740 }, hasTouch: true, reducedMotion: 'reduce' });
  await button(page).tap();
  await words(page).first().tap();
  assert.equal(await isShown(page), true);
  assert.equal(await words(page).first().getAttribute('aria-pressed'), 'true');
  assert.equal(await page.locator('.looked-at canvas').evaluate((canvas) => getComputedStyle(canvas).transitionDuration), '0s');
  assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= 360);
  await checkAccessibility(page, 'a look');
  await words(page).first().tap();
  assert.equal(await words(page).first().getAttribute('aria-pressed'), 'false');
  await page.done();
});

test('the arena looks as the chat does, each side for itself', async () => {
  const page = await openPage(browser, server.address);
  const asked = [];
  page.on('request', (request) => {
    if (request.url().endsWith('/v1/attention')) asked.push(request.postDataJSON());
  });
  await page.locator('#mode-arena').click();
  await takeExample(page, 'what color is the triangle?');
  await page.locator('#send').click();
  for (const side of ['#arena-a', '#arena-b']) assert.equal(await answerOf(page, side), 'red');
  assert.equal(asked.length, 0);
  const of = (side, selector) => page.locator(`${side} ${selector}`);
  await of('#arena-b', '.look-button').click();
  await of('#arena-b', '.word').first().hover();
  assert.match(await of('#arena-b', '.look-said').textContent(), /^\u201cred\u201d: \d+ % of its attention on the picture/);
  assert.ok(await of('#arena-b', '.looked-at canvas').evaluate((canvas) => canvas.classList.contains('shown')));
  assert.equal(await of('#arena-a', '.look').count(), 0);
  // It says no more of who is who than the answer does.
  assert.ok(!/model-[ab]/.test(await page.locator('#arena').innerText()));
  await of('#arena-a', '.look-button').click();
  await of('#arena-a', '.word').first().waitFor();
  await checkAccessibility(page, 'looks in the arena');
  assert.equal(asked.length, 2);
  assert.deepEqual(asked.map(({ messages }) => messages.length), [2, 2]);
  await page.locator('#vote-tie').click();
  const names = await Promise.all(['b', 'a'].map((side) => page.locator(`#arena-name-${side}`).textContent()));
  assert.deepEqual(names.map((name) => name.replace(/^Model [AB]: /, '')), asked.map(({ model }) => model));

  // A phone has no room for two, and shows them all the same.
  await page.setViewportSize({ width: 360, height: 740 });
  assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= 360);
  await page.done();
});

test('where there is nothing to look at, or nobody to ask, there is no button', async () => {
  const page = await openPage(browser, server.address);
  await ask(page, 'hello');
  await answerOf(page);
  assert.equal(await button(page).count(), 0);
  await page.done();

  const context = await browser.newContext();
  const other = await context.newPage();
  await other.route('**/web/config', async (route) => {
    const config = await (await route.fetch()).json();
    delete config.has_attention;
    await route.fulfill({ json: config });
  });
  await other.goto(server.address);
  await takeExample(other, 'what color is the triangle?');
  await other.locator('#send').click();
  await answerOf(other);
  assert.equal(await button(other).count(), 0);
  await context.close();
});

test('a server that refuses is heard, and the answer stays', async () => {
  const page = await answered('what color is the triangle?');
  await page.route('**/v1/attention', (route) => route.fulfill({ status: 503, json: { error: { message: 'too much to do' } } }));
  await button(page).click();
  await page.getByText('too much to do').waitFor();
  assert.equal(await button(page).getAttribute('aria-pressed'), 'false');
  assert.equal(await page.locator('.turn.answer .text').innerText(), 'red');
  await page.done();
});
