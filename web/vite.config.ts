// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { defineConfig, type Plugin } from 'vite';

/// The licences of what goes into the page, as a file beside it, to which index.html links.
function licenses(...packages: string[]): Plugin {
  const text = packages
    .map((name) => {
      const folder = new URL(`node_modules/${name}/`, import.meta.url);
      const file = readdirSync(folder).find((each) => /^licen[cs]e/i.test(each));
      if (!file) throw new Error(`${name} has no licence file`);
      return `${name}\n\n${readFileSync(new URL(file, folder), 'utf8')}`;
    })
    .join('\n\n');
  const fileName = `assets/licenses-${createHash('sha256').update(text).digest('hex').slice(0, 8)}.txt`;
  return {
    name: 'licenses',
    generateBundle() {
      this.emitFile({ type: 'asset', fileName, source: text });
    },
    transformIndexHtml: (html) => html.replace('%LICENSES%', `/${fileName}`),
  };
}

// The page goes where the C++ build takes it from (cmake/LlavaWeb.cmake). Nothing is inlined: the
// server's content policy allows files of its own only. `npx vite` alone serves the page while it is
// worked on, with the requests passed on to a `llava serve` on its usual port.
export default defineConfig({
  plugins: [licenses('marked', 'dompurify')],
  build: { outDir: '../.deps/web/page', emptyOutDir: true, assetsInlineLimit: 0, target: 'es2022' },
  server: {
    proxy: Object.fromEntries(['/v1', '/web'].map((path) => [path, 'http://127.0.0.1:8000'])),
  },
});
