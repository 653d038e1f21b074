// SPDX-License-Identifier: Apache-2.0
//
// usage: node run.mjs PROGRAM ROOT [SCREENSHOTS]     status 77 where something that it needs is not there
//
// Drives the built page in Chromium against `llava serve`. With a folder as third argument, also
// writes the pictures of docs/images there.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const [program, root, screenshots = ''] = process.argv.slice(2);
if (!program || !root) {
  console.error('usage: node run.mjs PROGRAM ROOT [SCREENSHOTS]');
  process.exit(2);
}
const browser = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync) ?? '';
const languageModel = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'llava/models/SmolLM2-135M-Instruct.Q4_1.gguf');

function need(isThere, what) {
  if (isThere) return;
  console.log(`skipped: ${what} (scripts/setup --dev)`);
  process.exit(77);
}
need(browser !== '', 'Chromium is not installed');
need(existsSync(join(root, 'web/node_modules/playwright-core')), 'playwright-core is not installed');
need(existsSync(join(root, '.deps/web/page/index.html')), 'the page is not built');
need(existsSync(languageModel), 'the language model of the default model is not there');

const tests = readdirSync(new URL('.', import.meta.url))
  .filter((name) => name.endsWith('.test.mjs'))
  .map((name) => new URL(name, import.meta.url).pathname);
const environment = { LLAVA_TEST_PROGRAM: program, LLAVA_TEST_ROOT: root, LLAVA_TEST_BROWSER: browser, LLAVA_TEST_LM: languageModel, LLAVA_TEST_SCREENSHOTS: screenshots };
for (const test of tests) {
  const result = spawnSync(process.execPath, ['--test', test], { stdio: 'inherit', env: { ...process.env, ...environment } });
  if (result.status !== 0) process.exitCode = 1;
}
