// SPDX-License-Identifier: Apache-2.0
//
// The page of `llava gradio-web-server`: a controller, two workers and a moderation service behind it.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { LANGUAGE_MODEL, answerOf, ask, checkAccessibility, launchBrowser, openPage, scratchFolder, startProgram, stopServers, takeExample } from './support.mjs';

const MODERATED = 'YOUR INPUT VIOLATES OUR CONTENT MODERATION GUIDELINES. PLEASE TRY AGAIN.';
const folder = scratchFolder();
const moderation = { texts: [], fails: false };
let browser;
let service;
let controller;
let page;

/// OpenAI's moderation API, which has something against volcanoes.
function startService() {
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (data) => (body += data));
    request.on('end', () => {
      const { input } = JSON.parse(body);
      moderation.texts.push(input);
      response.setHeader('Content-Type', 'application/json');
      response.statusCode = moderation.fails ? 500 : 200;
      response.end(JSON.stringify({ results: [{ flagged: /volcano/.test(input) }] }));
    });
  });
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}

before(async () => {
  browser = await launchBrowser();
  service = await startService();
  controller = await startProgram('controller');
  page = await startProgram('gradio-web-server', '--controller', controller.address, '--log-dir', folder, '--moderate',
    '--moderation-url', `http://127.0.0.1:${service.address().port}/v1/moderations`);
});
after(() => {
  stopServers();
  service.close();
  return browser.close();
});

const choices = (tab) => tab.locator('#model option').allTextContents();

async function startWorker(name, ...flags) {
  const worker = await startProgram('worker', '--controller', controller.address, '--served-model-name', name, ...flags);
  const isThere = async () => (await (await fetch(`${controller.address}/list_models`, { method: 'POST' })).json()).models.includes(name);
  while (!(await isThere()));
  return worker;
}

test('models come when their workers do, and answer pictures, votes and two at a time', async () => {
  const tab = await openPage(browser, page.address);
  assert.deepEqual(await choices(tab), ['no model available']);
  const worker = await startWorker('llava-tiny');
  // A list that is older than 5 s is asked for again.
  while ((await choices(tab))[0] !== 'llava-tiny') await tab.locator('#model-refresh').click();
  await takeExample(tab, 'triangle');
  await tab.locator('#send').click();
  const answer = await answerOf(tab);
  assert.match(answer, /red/);
  assert.equal(moderation.texts.length, 1);
  assert.match(moderation.texts[0], /triangle/);
  assert.match(await tab.locator('.cost').textContent(), /tokens/);
  await tab.locator('#upvote').click();
  await tab.getByText('Thank you for the vote.').waitFor();
  const log = readdirSync(folder).find((name) => name.endsWith('-conv.json'));
  const lines = readFileSync(join(folder, log), 'utf8').trim().split('\n').map((line) => JSON.parse(line));
  assert.deepEqual(lines.map(({ type }) => type), ['chat', 'upvote']);
  assert.equal(lines[0].model, 'llava-tiny');
  assert.equal(lines[0].images.length, 1);
  assert.equal(lines[0].state.messages[1][1].trim(), answer.trim());

  // A worker that sees no pictures says so through the gateway.
  await startWorker('words', '--model-path', LANGUAGE_MODEL);
  while ((await choices(tab)).length < 2) await tab.locator('#model-refresh').click();
  await tab.locator('#mode-arena').click();
  await tab.locator('#anonymous').uncheck();
  await ask(tab, 'What is a triangle?');
  await tab.locator('#vote-a:not(:disabled)').waitFor();
  assert.ok((await tab.locator('#arena-b .turn.answer .text').last().innerText()).length > 0);
  await checkAccessibility(tab, 'the arena before two workers');
  await tab.locator('#mode-chat').click();

  worker.kill();
  await tab.locator('#model').selectOption('llava-tiny');
  await tab.locator('#clear').click();
  await ask(tab, 'Are you there?');
  await tab.locator('.failure').waitFor();
  await tab.done();
});

test('what moderation flags is not answered, and leaves no trace', async () => {
  const tab = await openPage(browser, page.address);
  while (!(await choices(tab)).includes('words')) await tab.locator('#model-refresh').click();
  await tab.locator('#model').selectOption('words');
  await ask(tab, 'How do I wake a volcano?');
  await tab.waitForFunction((words) => document.querySelector('#message').value === words, MODERATED);
  assert.equal(await tab.locator('.turn').count(), 0);
  assert.equal(await tab.locator('#conversations li').count(), 0);
  assert.ok(await tab.locator('#upvote').isDisabled());
  await ask(tab, 'How are you?');
  await answerOf(tab);
  await ask(tab, 'And the volcano?');
  await tab.waitForFunction((words) => document.querySelector('#message').value === words, MODERATED);
  assert.equal(await tab.locator('.turn.question').count(), 1);
  // A service that fails lets texts pass, and is counted.
  moderation.fails = true;
  await ask(tab, 'And the volcano?');
  await tab.locator('.turn.answer').nth(1).waitFor();
  await answerOf(tab);
  moderation.fails = false;
  assert.match(await page.metrics(), /llava_moderation_total\{result="flagged"\} 2/);
  assert.match(await page.metrics(), /llava_moderation_total\{result="failed"\} 1/);
  await tab.done();
});
