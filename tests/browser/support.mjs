// SPDX-License-Identifier: Apache-2.0
//
// What the tests of the page share: servers of the program, a browser, and pages that notice
// everything that should not be.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const { LLAVA_TEST_PROGRAM: PROGRAM, LLAVA_TEST_ROOT: ROOT, LLAVA_TEST_BROWSER: BROWSER } = process.env;
export const LANGUAGE_MODEL = process.env.LLAVA_TEST_LM;
export const PICTURE = join(ROOT, 'models/tiny-llava-smollm2/examples/red_triangle.png');
export const TIFF = join(ROOT, 'tests/data/image/pictures/bilevel_packbits.tif');

const require = createRequire(join(ROOT, 'web/package.json'));
const { chromium } = require('playwright-core');
const AXE = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

/// A folder that is gone when the process ends.
export function scratchFolder() {
  const folder = mkdtempSync(join(tmpdir(), 'llava-browser-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

const servers = [];

/// `llava serve FLAGS...` on a port of its own, once it answers. It ends with stopServers.
export function startServer(...flags) {
  return startProgram('serve', '--no-open', ...flags);
}

/// The same with another of the program's servers.
export async function startProgram(command, ...flags) {
  const server = spawn(PROGRAM, [command, '--host', '127.0.0.1', '--port', '0', '--drain-delay', '0', ...flags], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, LLAVA_THREADS: '2', LLAVA_LOG: '' },
  });
  servers.push(server);
  let errors = '';
  server.stderr.on('data', (data) => (errors += data));
  const address = await new Promise((resolve, reject) => {
    let out = '';
    server.stdout.on('data', (data) => {
      out += data;
      if (out.includes('\n')) resolve(out.trim());
    });
    server.on('exit', (status) => reject(new Error(`the server ended with ${status}: ${errors}`)));
  });
  return {
    address,
    kill: () => server.kill('SIGKILL'),
    metrics: async () => (await fetch(`${address}/metrics`)).text(),
  };
}

export function stopServers() {
  for (const server of servers) server.kill('SIGKILL');
}

export function launchBrowser() {
  return chromium.launch({
    executablePath: BROWSER,
    args: ['--no-sandbox', '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream'],
  });
}

/// Opens the page in a fresh profile. `page.strays` collects requests to other servers, broken
/// rules of the content policy, and errors of scripts; `done` wants there to be none.
export async function openPage(browser, address, { path = '/', ...options } = {}) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  const strays = [];
  page.on('request', (request) => {
    if (!request.url().startsWith(address) && !/^(data|blob):/.test(request.url())) strays.push(`request to ${request.url()}`);
  });
  page.on('pageerror', (error) => strays.push(`error: ${error.message}`));
  page.on('dialog', (dialog) => {
    strays.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on('console', (message) => {
    if (/Content Security Policy/i.test(message.text())) strays.push(message.text());
  });
  await page.goto(address + path);
  await page.locator('#examples button').first().waitFor();
  page.done = async () => {
    assert.deepEqual(strays, []);
    await context.close();
  };
  return page;
}

export async function ask(page, text) {
  await page.locator('#message').fill(text);
  await page.locator('#send').click();
}

/// Puts an example into the text box, picture included.
export async function takeExample(page, question) {
  await page.locator('.example', { hasText: question }).click();
  await page.locator('#pending-pictures .thumbnail').waitFor();
}

/// The text of the last answer, once it is complete.
export async function answerOf(page, panel = '#chatbot') {
  await page.locator('#regenerate:not(:disabled)').waitFor();
  return page.locator(`${panel} .turn.answer .text`).last().innerText();
}

/// Presses a key until the element has the focus.
export async function tabTo(page, selector, key = 'Tab') {
  for (let i = 0; i < 80; ++i) {
    if (await page.evaluate((wanted) => document.activeElement?.matches(wanted) ?? false, selector)) return;
    await page.keyboard.press(key);
  }
  assert.fail(`${key} does not lead to ${selector}`);
}

/// Wants axe to find nothing serious.
export async function checkAccessibility(page, what) {
  // Through the debugger, which the page's content policy does not concern.
  const debug = await page.context().newCDPSession(page);
  await debug.send('Runtime.evaluate', { expression: AXE });
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
  const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
  assert.deepEqual(
    serious.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`),
    [],
    what,
  );
}

/// Saves a picture for the documents, where they are wanted.
export async function screenshot(page, name) {
  const folder = process.env.LLAVA_TEST_SCREENSHOTS;
  if (!folder) return;
  if (page.viewportSize().width > 1000) {
    await page.setViewportSize({ width: 1280, height: 980 });
    await page.evaluate(() => scrollTo(0, 0));
  }
  await page.screenshot({ path: join(folder, `${name}.png`) });
}
