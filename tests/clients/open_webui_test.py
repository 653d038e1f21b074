#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What Open WebUI 0.12.4 sends to an OpenAI and to an Ollama connection, replayed against `llava serve` with a golden model, and
read as it reads it.

usage: open_webui_test.py PROGRAM ROOT

Its server is too large to be installed for a test: the requests are written down from its package of PyPI, open-webui 0.12.4,
files main.py, routers/openai.py, routers/ollama.py, routers/tasks.py, retrieval/utils.py, utils/headers.py and utils/payload.py.
"""

import contextlib
import http.client
import json
import re
from urllib.parse import urlparse

from served import FLAGS, MODEL, PICTURE_BASE64, PICTURE_URL, QUESTION, expect, server_of

KEY = "sk-open-webui"
# The session of aiohttp, get_headers_and_cookies() with ENABLE_FORWARD_USER_INFO_HEADERS, and the chat's identity.
HEADERS = {
    "Accept": "*/*",
    "Accept-Encoding": "gzip, deflate, br",
    "User-Agent": "Python/3.11 aiohttp/3.13.2",
    "Content-Type": "application/json",
    "X-OpenWebUI-Auth-Type": "jwt",
    "X-OpenWebUI-User-Name": "J%C3%BCrgen M%C3%BCller",
    "X-OpenWebUI-User-Id": "6f1c1b1e-6d53-4b8f-a5f0-0a5f2c7b3a51",
    "X-OpenWebUI-User-Email": "user@example.com",
    "X-OpenWebUI-User-Role": "user",
    "X-OpenWebUI-Chat-Id": "0b0f7d8e-58a5-4a39-8c5e-0f1f3f0f4b77",
}
PICTURE_QUESTION = {"role": "user", "content": [{"type": "text", "text": QUESTION}, {"type": "image_url", "image_url": {"url": PICTURE_URL}}]}
# Everything that its panel of parameters can send; a connection that is not of Ollama gets each as a field of the request.
PARAMETERS = {
    "seed": 7, "stop": ["\n\n\n"], "temperature": 0.0, "max_tokens": 8, "top_k": 40, "top_p": 0.9, "min_p": 0.0, "frequency_penalty": 0.0,
    "presence_penalty": 0.0, "repeat_penalty": 1.1, "reasoning_effort": "medium", "logit_bias": {"5": -100}, "mirostat": 0,
    "mirostat_eta": 0.1, "mirostat_tau": 5.0, "repeat_last_n": 64, "tfs_z": 1, "num_ctx": 2048, "num_batch": 512, "num_keep": 24,
    "num_thread": 2, "num_gpu": 0, "use_mmap": True, "use_mlock": False, "think": False, "keep_alive": "5m",
}
# One of the tools that it offers a model by itself (get_builtin_tools()), in the form of a request.
TOOLS = [{"type": "function", "function": {
    "name": "get_current_timestamp", "description": "Get the current Unix timestamp in seconds.",
    "parameters": {"type": "object", "properties": {}, "required": []}}}]


class WebUI:
    """Its connections to one server, kept open as aiohttp keeps them."""

    def __init__(self, address):
        self.connection = http.client.HTTPConnection(urlparse(address).netloc, timeout=60)

    def send(self, method, path, payload=None, status=200, key=KEY):
        body = None if payload is None else json.dumps(payload, ensure_ascii=False).encode()
        self.connection.request(method, path, body=body, headers=HEADERS | {"Authorization": f"Bearer {key}"})
        reply = self.connection.getresponse()
        text = reply.read().decode()
        expect(reply.status == status, path, reply.status, text)
        expect(reply.getheader("Content-Encoding") is None)
        return reply, text

    def json(self, method, path, payload=None, status=200, key=KEY):
        reply, text = self.send(method, path, payload, status, key)
        # aiohttp's json() wants this type.
        expect(reply.getheader("Content-Type").startswith("application/json"), path, reply.getheader("Content-Type"))
        return json.loads(text)

    def events(self, payload):
        """What its middleware makes of a stream: lines that begin with `data:`, read as JSON; others are passed over."""
        reply, text = self.send("POST", "/v1/chat/completions", payload)
        expect("text/event-stream" in reply.getheader("Content-Type"))
        lines = [line[5:].strip() for line in text.splitlines() if line.startswith("data:")]
        expect(lines[-1] == "[DONE]" and lines.count("[DONE]") == 1, lines[-1])
        return [json.loads(line) for line in lines[:-1]]

    def said(self, payload):
        """Text, reason of the end, and usage of a stream."""
        text, reason, usage = "", None, None
        for event in self.events(payload):
            expect("error" not in event, event)
            usage = event.get("usage") or usage
            for choice in event.get("choices", []):
                text += choice.get("delta", {}).get("content") or ""
                reason = choice.get("finish_reason") or reason
        return text, reason, usage


@contextlib.contextmanager
def web_ui(*flags):
    with server_of("serve", *FLAGS, "--api-key", KEY, *flags) as address:
        yield WebUI(address)


def check_openai(ui):
    # verify_connection() and get_all_models()
    models = ui.json("GET", "/v1/models")["data"]
    expect([model["id"] for model in models] == [MODEL] and models[0].get("name", MODEL), models)

    # A chat of the page: streamed, with usage, and parameters that no OpenAI-compatible server knows.
    body = {"stream": True, "model": MODEL, "messages": [PICTURE_QUESTION], **PARAMETERS, "stream_options": {"include_usage": True}}
    text, reason, usage = ui.said(body)
    expect(text != "" and reason == "length" and usage["completion_tokens"] == 8, text, reason, usage)
    plain = ui.json("POST", "/v1/chat/completions", {name: value for name, value in body.items() if name != "stream_options"} | {"stream": False})
    expect(plain["choices"][0]["message"]["content"] == text, plain, text)

    # The next turn: the system prompt, the history as it keeps it, a question with text parts only.
    history = [
        {"role": "system", "content": "Be brief."}, PICTURE_QUESTION, {"role": "assistant", "content": text, "timestamp": 1764400000},
        {"role": "user", "content": [{"type": "text", "text": "And the colour?"}], "files": [], "timestamp": 1764400001}]
    again, _, usage = ui.said(body | {"messages": history})
    expect(again != "" and usage["prompt_tokens_details"]["image_tokens"] == 16, usage)

    # Titles, tags and follow-up questions (tasks.py), with what is left of max_completion_tokens.
    task = ui.json("POST", "/v1/chat/completions", {
        "model": MODEL, "stream": False, "max_tokens": 1000,
        "messages": [{"role": "user", "content": "### Task:\nGenerate a concise, 3-5 word title with an emoji.\n### Output:\nJSON format: { \"title\": \"your title here\" }"}]})
    expect(task["choices"][0]["message"]["role"] == "assistant", task)

    # Structured output of a model's advanced parameters.
    shape = {"type": "json_schema", "json_schema": {"name": "shape", "schema": {
        "type": "object", "properties": {"shape": {"enum": ["circle", "triangle"]}}, "required": ["shape"]}}}
    shaped = ui.json("POST", "/v1/chat/completions", {"model": MODEL, "stream": False, "messages": [PICTURE_QUESTION], "response_format": shape})
    expect(json.loads(shaped["choices"][0]["message"]["content"])["shape"] in ("circle", "triangle"), shaped)

    # Documents (retrieval/utils.py).
    vectors = ui.json("POST", "/v1/embeddings", {"input": ["One", "Two"], "model": MODEL})["data"]
    expect(len(vectors) == 2 and all(isinstance(value, float) for value in vectors[0]["embedding"]), vectors)

    # What it shows to the user where a model has gone.
    error = ui.json("POST", "/v1/chat/completions", body | {"model": "other"}, status=404)["error"]
    expect("other" in error["message"], error)


def check_tools(ui, is_ignored):
    """Every chat of its page offers tools, unless the model's settings there say otherwise."""
    body = {"stream": True, "model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 8, "temperature": 0}
    if is_ignored:
        expect(ui.said(body | {"tools": TOOLS}) == ui.said(body))
    else:
        error = ui.json("POST", "/v1/chat/completions", body | {"tools": TOOLS}, status=400)["error"]
        expect("--tools-policy ignore" in error["message"], error)


def check_ollama(ui):
    # verify_connection() and get_ollama_versions(), which compares the parts as numbers.
    version = ui.json("GET", "/api/version")["version"]
    expect(len([int(part) for part in re.sub(r"^v|-.*", "", version).split(".")]) == 3, version)
    models = ui.json("GET", "/api/tags")["models"]
    expect([(model["model"], model["name"]) for model in models] == [(MODEL, MODEL)], models)
    expect([model["model"] for model in ui.json("GET", "/api/ps")["models"]] == [MODEL])
    expect("vision" in ui.json("POST", "/api/show", {"model": MODEL, "name": MODEL})["capabilities"])

    # A chat of the page, as convert_payload_openai_to_ollama() writes it: tools are no hindrance here, as in older versions of Ollama.
    root = {name: PARAMETERS[name] for name in ("keep_alive", "think")}
    skipped = {"keep_alive", "think", "max_tokens", "reasoning_effort", "logit_bias"}
    options = {name: value for name, value in PARAMETERS.items() if name not in skipped} | {"num_predict": 8}
    body = {"model": MODEL, "messages": [{"role": "user", "content": QUESTION, "images": [PICTURE_BASE64]}], "stream": True,
            "options": options, "tools": TOOLS} | root
    reply, text = ui.send("POST", "/api/chat", body)
    expect(reply.getheader("Content-Type") == "application/x-ndjson")
    pieces = [json.loads(line) for line in text.splitlines()]
    said = "".join(piece["message"]["content"] for piece in pieces)
    expect([piece["done"] for piece in pieces] == [False] * (len(pieces) - 1) + [True], pieces)
    expect(pieces[-1]["eval_count"] == 8 and pieces[-1]["eval_duration"] > 0 and pieces[-1]["prompt_eval_count"] > 0, pieces[-1])
    whole = ui.json("POST", "/api/chat", body | {"stream": False})
    expect(whole["message"]["content"] == said != "", whole)

    shaped = ui.json("POST", "/api/chat", body | {"stream": False, "format": {
        "type": "object", "properties": {"shape": {"enum": ["circle", "triangle"]}}, "required": ["shape"]}, "options": {"num_predict": 60}})
    expect(json.loads(shaped["message"]["content"])["shape"] in ("circle", "triangle"), shaped)
    # Documents, where Ollama makes their vectors (retrieval/utils.py).
    vectors = ui.json("POST", "/api/embed", {"input": ["One", "Two"], "model": MODEL, "truncate": True})["embeddings"]
    expect(len(vectors) == 2 and all(isinstance(value, float) for value in vectors[0]), vectors)
    # unload_model(): there is nothing to unload, and no error either.
    _, text = ui.send("POST", "/api/generate", {"model": MODEL, "keep_alive": 0, "prompt": ""})
    expect(json.loads(text.splitlines()[-1])["done"], text)
    # Errors are shown as they are.
    expect("other" in ui.json("POST", "/api/chat", body | {"model": "other"}, status=404)["error"])
    expect(isinstance(ui.json("POST", "/api/pull", {"model": "llava"}, status=501)["error"], str))
    expect(isinstance(ui.json("POST", "/api/chat", body, status=401, key="wrong")["error"], str))
    # Its OpenAI routes on an Ollama connection.
    expect(ui.json("POST", "/v1/completions", {"model": MODEL, "prompt": "One", "max_tokens": 4})["choices"][0]["text"])


def main():
    with web_ui() as ui:
        check_openai(ui)
        check_ollama(ui)
        check_tools(ui, is_ignored=False)
    with web_ui("--tools-policy", "ignore") as ui:
        check_tools(ui, is_ignored=True)
    print("the requests of open-webui 0.12.4 are answered")


main()
