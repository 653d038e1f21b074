// SPDX-License-Identifier: Apache-2.0
//
// usage: node javascript_client_test.mjs PROGRAM ROOT     status 77 when the client is not installed (scripts/setup --dev)
//
// The official OpenAI package of npm, unmodified, against `llava serve` with a golden model. What it says is
// compared with `llava run`.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createReadStream, existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';

const [program, root] = process.argv.slice(2).map((path) => resolve(path));
const packages = join(root, '.deps/javascript/package.json');
if (!existsSync(join(root, '.deps/javascript/node_modules/openai'))) {
  console.log('skipped: the npm package openai is not installed (scripts/setup --dev)');
  process.exit(77);
}
// What Node.js 18 has elsewhere.
globalThis.File ??= (await import('node:buffer')).File;
const require = createRequire(packages);
const { default: OpenAI, APIUserAbortError, BadRequestError, NotFoundError, AuthenticationError, toFile } = require('openai');
const { version } = JSON.parse(readFileSync(join(root, '.deps/javascript/node_modules/openai/package.json'), 'utf8'));

const MODEL = 'llava-v1.5-pad';
const FLAGS = ['--model-path', join(root, 'tests/golden/models', MODEL), '--dtype', 'float32'];
const PICTURE = join(root, 'tests/golden/images/wide_150x13.png');
const QUESTION = 'What is shown?';
const env = { ...process.env, LLAVA_THREADS: '2', LLAVA_LOG: '', NO_PROXY: '127.0.0.1', no_proxy: '127.0.0.1' };
const asked = { model: MODEL, temperature: 0, max_tokens: 8 };
const withPicture = (url) => [{ role: 'user', content: [{ type: 'text', text: QUESTION }, { type: 'image_url', image_url: { url } }] }];
const messages = withPicture(`data:image/png;base64,${readFileSync(PICTURE).toString('base64')}`);

async function startServer(...flags) {
  const server = spawn(program, ['serve', '--no-web', '--port', '0', '--drain-delay', '0', ...FLAGS, ...flags], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  for await (const line of createInterface({ input: server.stdout })) return { server, address: line.trim() };
  throw new Error('the server has ended');
}

async function checkChats(client, answered) {
  const whole = await client.chat.completions.create({ ...asked, messages, n: 2, logprobs: true, top_logprobs: 2 });
  const text = whole.choices[0].message.content;
  assert.equal(text.trim(), answered.text);
  assert.equal(whole.choices[1].message.content, text);
  assert.equal(whole.usage.prompt_tokens, answered.usage.prompt_tokens);
  assert.equal(whole.choices[0].finish_reason, 'length');
  assert.equal(whole.choices[0].logprobs.content[0].top_logprobs.length, 2);
  assert.ok(whole._request_id);

  let streamed = '';
  let usage;
  for await (const chunk of await client.chat.completions.create({ ...asked, messages, stream: true, stream_options: { include_usage: true } })) {
    streamed += chunk.choices[0]?.delta.content ?? '';
    usage = chunk.usage ?? usage;
  }
  assert.equal(streamed, text);
  assert.equal(usage.completion_tokens, 8);

  // The helper that gathers a stream.
  const events = [];
  const runner = client.chat.completions.stream({ ...asked, messages }).on('content', (delta) => events.push(delta));
  assert.equal(await runner.finalContent(), text);
  assert.equal(events.join(''), text);

  const shape = { type: 'object', properties: { shape: { enum: ['circle', 'triangle'] } }, required: ['shape'], additionalProperties: false };
  const shaped = await client.chat.completions.parse({ ...asked, max_tokens: 60, messages, response_format: { type: 'json_schema', json_schema: { name: 'shape', strict: true, schema: shape } } });
  assert.match(JSON.parse(shaped.choices[0].message.content).shape, /^(circle|triangle)$/);
  return text;
}

/// A client that aborts ends the server's work.
async function checkAbort(client, address) {
  const long = { ...asked, max_tokens: 900, messages, stream: true, ignore_eos: true };
  const stream = await client.chat.completions.create(long);
  let count = 0;
  for await (const chunk of stream) {
    if (chunk.choices[0]?.delta.content && ++count === 2) stream.controller.abort();
  }
  const signal = new AbortController();
  const pending = client.chat.completions.create({ ...long, stream: false, n: 8 }, { signal: signal.signal });
  setTimeout(() => signal.abort(), 1);
  await assert.rejects(pending, APIUserAbortError);
  const isIdle = async () => /^llava_requests_running(\{[^}]*\})? 0$/m.test(await (await fetch(`${address}/metrics`)).text());
  while (!(await isIdle()));
}

async function checkErrors(client) {
  const refused = (change, kind, code) =>
    assert.rejects(client.chat.completions.create({ ...asked, messages, ...change }), (error) => error instanceof kind && error.code === code && Boolean(error.requestID));
  await refused({ model: 'other' }, NotFoundError, 'model_not_found');
  await refused({ temperature: 9 }, BadRequestError, 'invalid_value');
  await refused({ messages: withPicture('data:image/png;base64,AAAA') }, BadRequestError, 'invalid_image');
  await refused({ messages: withPicture('https://example.org/cat.png') }, BadRequestError, 'image_url_not_allowed');
}

async function checkTheRest(client, text) {
  assert.deepEqual((await client.models.list()).data.map(({ id }) => id), [MODEL]);
  assert.equal((await client.models.retrieve(MODEL)).id, MODEL);
  await assert.rejects(client.models.retrieve('other'), NotFoundError);

  const { data } = await client.embeddings.create({ model: MODEL, input: ['One', 'Two'] });
  const again = await client.embeddings.create({ model: MODEL, input: 'Two', encoding_format: 'float' });
  assert.equal(data[1].embedding.length, again.data[0].embedding.length);
  data[1].embedding.forEach((value, i) => assert.ok(Math.abs(value - again.data[0].embedding[i]) < 1e-6));
  assert.ok(Math.abs(again.data[0].embedding.reduce((sum, value) => sum + value * value, 0) - 1) < 1e-4);

  const both = await client.completions.create({ model: MODEL, prompt: ['One', 'Two'], max_tokens: 4, temperature: 0 });
  const alone = await client.completions.create({ model: MODEL, prompt: 'Two', max_tokens: 4, temperature: 0 });
  assert.equal(both.choices[1].text, alone.choices[0].text);

  const sent = await client.files.create({ file: createReadStream(PICTURE), purpose: 'vision' });
  assert.deepEqual((await client.files.list()).data.map(({ id }) => id), [sent.id]);
  assert.deepEqual(Buffer.from(await (await client.files.content(sent.id)).arrayBuffer()), readFileSync(PICTURE));
  const ahead = { ...asked, messages: [{ role: 'user', content: [{ type: 'text', text: QUESTION }, { type: 'image_file', image_file: { file_id: sent.id } }] }] };
  assert.equal((await client.chat.completions.create(ahead)).choices[0].message.content, text);
  const line = JSON.stringify({ custom_id: 'a', method: 'POST', url: '/v1/chat/completions', body: ahead });
  const input = await client.files.create({ file: await toFile(Buffer.from(`${line}\n`), 'in.jsonl'), purpose: 'batch' });
  let batch = await client.batches.create({ input_file_id: input.id, endpoint: '/v1/chat/completions', completion_window: '24h' });
  while (batch.status === 'in_progress') batch = await client.batches.retrieve(batch.id);
  const answer = JSON.parse((await (await client.files.content(batch.output_file_id)).text()).trim());
  assert.equal(answer.response.body.choices[0].message.content, text);
  assert.ok((await client.files.delete(sent.id)).deleted);
}

const answered = JSON.parse(execFileSync(program, ['run', ...FLAGS, '--image-file', PICTURE, '--query', QUESTION, '--temperature', '0', '--max-new-tokens', '8', '--json'], { env }));
const { server, address } = await startServer('--api-key', 'secret');
try {
  const client = new OpenAI({ baseURL: `${address}/v1`, apiKey: 'secret', maxRetries: 0 });
  await assert.rejects(new OpenAI({ baseURL: `${address}/v1`, apiKey: 'wrong', maxRetries: 0 }).models.list(), AuthenticationError);
  const text = await checkChats(client, answered);
  await checkErrors(client);
  await checkTheRest(client, text);
} finally {
  server.kill('SIGTERM');
}
const open = await startServer();
try {
  await checkAbort(new OpenAI({ baseURL: `${open.address}/v1`, apiKey: 'none', maxRetries: 0 }), open.address);
} finally {
  open.server.kill('SIGTERM');
}
console.log(`openai ${version} of npm agrees`);
