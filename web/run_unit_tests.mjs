// SPDX-License-Identifier: Apache-2.0
//
// Runs src/**/*.test.ts under Node's own test runner; esbuild, which Vite brings, takes the types
// off. Status 77 where it is not installed.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const { build } = await import('esbuild').catch(() => {
  console.log('skipped: web/node_modules is not there (scripts/setup)');
  process.exit(77);
});
const source = new URL('src', import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), 'llava-web-'));
try {
  const tests = readdirSync(source, { recursive: true }).filter((name) => name.endsWith('.test.ts'));
  if (tests.length === 0) throw new Error(`no tests below ${source}`);
  await build({
    entryPoints: tests.map((name) => join(source, name)),
    outdir: folder,
    outbase: source,
    bundle: true,
    platform: 'node',
    format: 'esm',
    // What browsers have and Node.js 18 does not.
    banner: { js: "import { webcrypto } from 'node:crypto'; globalThis.crypto ??= webcrypto;" },
    outExtension: { '.js': '.mjs' },
    logLevel: 'warning',
  });
  const built = tests.map((name) => join(folder, name.replace(/\.ts$/, '.mjs')));
  process.exitCode = spawnSync(process.execPath, ['--test', ...built], { stdio: 'inherit' }).status ?? 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
