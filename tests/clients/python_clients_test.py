#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The official OpenAI and Ollama clients, unmodified, against `llava serve` with a golden model.

usage: python_clients_test.py PROGRAM ROOT     status 77 when a client is not installed (scripts/setup --dev)

What they say is compared with `llava run` where the two can be compared, and with each other.
"""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Literal

try:
    import ollama
    import openai
    from pydantic import BaseModel
except ImportError as error:
    print(f"skipped: {error} (scripts/setup --dev)")
    sys.exit(77)

PROGRAM, ROOT = sys.argv[1], Path(sys.argv[2])
MODEL = "llava-v1.5-pad"
FLAGS = ["--model-path", str(ROOT / "tests/golden/models" / MODEL), "--dtype", "float32"]
PICTURE = ROOT / "tests/golden/images/wide_150x13.png"
QUESTION = "What is shown?"
ENVIRONMENT = os.environ | {"LLAVA_THREADS": "2", "LLAVA_LOG": "", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}


class Shape(BaseModel):
    shape: Literal["circle", "triangle"]


def expect(is_right, *what):
    if not is_right:
        raise AssertionError(what)


def picture_message():
    url = "data:image/png;base64," + base64.b64encode(PICTURE.read_bytes()).decode()
    return [{"role": "user", "content": [{"type": "text", "text": QUESTION},
                                         {"type": "image_url", "image_url": {"url": url}}]}]


def check_openai(address, answered):
    client = openai.OpenAI(base_url=address + "/v1", api_key="none", max_retries=0)
    expect([model.id for model in client.models.list()] == [MODEL])
    expect(client.models.retrieve(MODEL).id == MODEL)
    settings = {"model": MODEL, "messages": picture_message(), "temperature": 0, "max_tokens": 8}

    whole = client.chat.completions.create(**settings, logprobs=True, top_logprobs=2, n=2)
    text = whole.choices[0].message.content
    expect(text.strip() == answered["text"], text, answered["text"])
    expect(whole.choices[1].message.content == text)
    expect(whole.usage.prompt_tokens == answered["usage"]["prompt_tokens"])
    expect(whole.choices[0].finish_reason == "length")
    first = whole.choices[0].logprobs.content[0]
    expect(first.logprob <= 0 and len(first.top_logprobs) == 2, first)

    streamed, usage = "", None
    for chunk in client.chat.completions.create(**settings, stream=True, stream_options={"include_usage": True}):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            streamed += choice.delta.content or ""
    expect(streamed == text, streamed, text)
    expect(usage.total_tokens == whole.usage.prompt_tokens + 8, usage)

    settings["max_tokens"] = 60
    expect(client.chat.completions.parse(**settings, response_format=Shape).choices[0].message.parsed.shape in ("circle", "triangle"))

    # One prompt's answer does not depend on its companions.
    both = client.completions.create(model=MODEL, prompt=["One", "Two"], max_tokens=4, temperature=0)
    alone = client.completions.create(model=MODEL, prompt="Two", max_tokens=4, temperature=0)
    expect(both.choices[1].text == alone.choices[0].text)
    expect(sorted(choice.index for choice in both.choices) == [0, 1])

    for change, kind, code in [({"model": "other"}, openai.NotFoundError, "model_not_found"),
                               ({"temperature": 9}, openai.BadRequestError, "invalid_value"),
                               ({"messages": []}, openai.BadRequestError, "invalid_value")]:
        try:
            client.chat.completions.create(**(settings | change))
        except kind as error:
            expect(error.code == code, error)
        else:
            raise AssertionError(change)
    return text


def check_ollama(address, text):
    client = ollama.Client(host=address)
    message = {"role": "user", "content": QUESTION, "images": [str(PICTURE)]}
    options = {"temperature": 0, "num_predict": 8}
    whole = client.chat(model=MODEL, messages=[message], options=options)
    expect(whole.message.content == text, whole.message.content, text)
    expect(whole.done and whole.done_reason == "length" and whole.eval_count == 8, whole)
    pieces = client.chat(model=MODEL + ":latest", messages=[message], options=options, stream=True)
    expect("".join(piece.message.content for piece in pieces) == text)
    made = client.generate(model=MODEL, prompt=QUESTION, images=[str(PICTURE)], options=options)
    expect(made.response == text, made.response)
    shaped = client.chat(model=MODEL, messages=[message], format=Shape.model_json_schema(), options={"num_predict": 60})
    Shape.model_validate_json(shaped.message.content)
    expect([model.model for model in client.list().models] == [MODEL])
    expect("vision" in client.show(MODEL).capabilities)
    try:
        client.chat(model="other", messages=[message])
    except ollama.ResponseError as error:
        expect(error.status_code == 404, error)
    else:
        raise AssertionError("no error")


def main():
    asked = subprocess.run([PROGRAM, "run", *FLAGS, "--image-file", str(PICTURE), "--query", QUESTION, "--temperature", "0",
                            "--max-new-tokens", "8", "--json"], env=ENVIRONMENT, check=True, capture_output=True, text=True)
    with subprocess.Popen([PROGRAM, "serve", "--port", "0", *FLAGS], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as server:
        try:
            address = server.stdout.readline().strip()
            expect(address.startswith("http://127.0.0.1:"), address)
            check_ollama(address, check_openai(address, json.loads(asked.stdout)))
        finally:
            server.terminate()
            server.send_signal(2)
    print(f"openai {openai.__version__} and the Ollama client agree")


main()
