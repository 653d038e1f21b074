#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The official OpenAI and Ollama clients, unmodified, against `llava serve` with a golden model, and against `llava api` before
a controller and a worker.

usage: python_clients_test.py PROGRAM ROOT     status 77 when a client is not installed (scripts/setup --dev)

What they say is compared with `llava run` where the two can be compared, and with each other.
"""

import json
import subprocess
import sys
from array import array
from typing import Literal

try:
    import ollama
    import openai
    from pydantic import BaseModel
except ImportError as error:
    print(f"skipped: {error} (scripts/setup --dev)")
    sys.exit(77)

from served import ENVIRONMENT, FLAGS, MODEL, PICTURE, PICTURE_URL, PROGRAM, QUESTION, expect, gateway_of, server_of


class Shape(BaseModel):
    shape: Literal["circle", "triangle"]


def picture_message():
    return [{"role": "user", "content": [{"type": "text", "text": QUESTION},
                                         {"type": "image_url", "image_url": {"url": PICTURE_URL}}]}]


def check_files(client, settings, text):
    sent = client.files.create(file=PICTURE, purpose="vision")
    expect([file.id for file in client.files.list()] == [sent.id])
    expect(client.files.content(sent.id).read() == PICTURE.read_bytes())
    ahead = dict(settings, messages=[{"role": "user", "content": [
        {"type": "text", "text": QUESTION}, {"type": "image_file", "image_file": {"file_id": sent.id}}]}], max_tokens=8)
    expect(client.chat.completions.create(**ahead).choices[0].message.content == text)
    lines = "".join(json.dumps({"custom_id": str(i), "method": "POST", "url": "/v1/chat/completions", "body": ahead}) + "\n"
                    for i in range(3))
    batch = client.batches.create(input_file_id=client.files.create(file=("in.jsonl", lines.encode()), purpose="batch").id,
                                  endpoint="/v1/chat/completions", completion_window="24h")
    while batch.status == "in_progress":
        batch = client.batches.retrieve(batch.id)
    answers = [json.loads(line) for line in client.files.content(batch.output_file_id).text.splitlines()]
    expect(sorted(answer["custom_id"] for answer in answers) == ["0", "1", "2"], answers)
    expect({answer["response"]["body"]["choices"][0]["message"]["content"] for answer in answers} == {text})
    expect(client.files.delete(sent.id).deleted)


def check_openai(address, answered, has_files=True):
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

    vectors = client.embeddings.create(model=MODEL, input=["One", "Two"])
    again = client.embeddings.create(model=MODEL, input="Two", encoding_format="float")
    # Text has as many digits as a float32 needs.
    expect(array("f", vectors.data[1].embedding) == array("f", again.data[0].embedding))
    expect(abs(sum(value * value for value in again.data[0].embedding) - 1) < 1e-4)
    expect(vectors.data[0].embedding != vectors.data[1].embedding)

    if has_files:
        check_files(client, settings, text)

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
    both = client.embed(model=MODEL, input=["One", "Two"])
    alone = client.embed(model=MODEL, input="Two")
    expect(len(both.embeddings) == 2 and list(both.embeddings[1]) == list(alone.embeddings[0]), both)
    expect(abs(sum(value * value for value in alone.embeddings[0]) - 1) < 1e-4)
    expect(both.prompt_eval_count > alone.prompt_eval_count > 0, both)
    # Longer than the context: cut, unless that is not wanted.
    expect(len(client.embed(model=MODEL, input="One " * 5000).embeddings) == 1)
    try:
        client.embed(model=MODEL, input="One " * 5000, truncate=False)
    except ollama.ResponseError as error:
        expect(error.status_code == 400 and "tokens" in error.error, error)
    else:
        raise AssertionError("no error")
    older = list(client.embeddings(model=MODEL, prompt="Two").embedding)
    length = sum(value * value for value in older) ** 0.5
    expect(max(abs(a / length - b) for a, b in zip(older, alone.embeddings[0], strict=True)) < 1e-5)
    expect(list(client.embeddings(model=MODEL, prompt="").embedding) == [])
    try:
        client.chat(model="other", messages=[message])
    except ollama.ResponseError as error:
        expect(error.status_code == 404, error)
    else:
        raise AssertionError("no error")


def check_gateway(answered):
    with gateway_of() as gateway:
        client = openai.OpenAI(base_url=gateway + "/v1", api_key="none", max_retries=0)
        # The worker registers after it has printed its address.
        while not client.models.list().data:
            pass
        check_ollama(gateway, check_openai(gateway, answered, has_files=False))


def main():
    asked = subprocess.run([PROGRAM, "run", *FLAGS, "--image-file", str(PICTURE), "--query", QUESTION, "--temperature", "0",
                            "--max-new-tokens", "8", "--json"], env=ENVIRONMENT, check=True, capture_output=True, text=True)
    with server_of("serve", *FLAGS) as address:
        check_ollama(address, check_openai(address, json.loads(asked.stdout)))
    check_gateway(json.loads(asked.stdout))
    print(f"openai {openai.__version__} and the Ollama client agree")


main()
