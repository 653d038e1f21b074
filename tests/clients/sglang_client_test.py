#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""SGLang's own frontend language and its RuntimeEndpoint, unmodified, against `llava serve` with a golden model.

usage: sglang_client_test.py PROGRAM ROOT     status 77 when it is not installed (scripts/setup --dev)
"""

import base64
import math
import os
import subprocess
import sys
from pathlib import Path

try:
    import requests
    import sglang as sgl
except ImportError as error:
    print(f"skipped: {error} (scripts/setup --dev)")
    sys.exit(77)

PROGRAM, ROOT = sys.argv[1], Path(sys.argv[2])
MODEL = "llava-v1.5-pad"
PICTURE = ROOT / "tests/golden/images/wide_150x13.png"
QUESTION = "What is shown?"
ENVIRONMENT = os.environ | {"LLAVA_THREADS": "2", "LLAVA_LOG": "", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
os.environ.update(ENVIRONMENT)


def expect(is_right, *what):
    if not is_right:
        raise AssertionError(what)


@sgl.function
def describe(s, picture, question):
    s += sgl.user(sgl.image(picture) + question)
    s += sgl.assistant(sgl.gen("answer", max_tokens=8))


@sgl.function
def talk(s, first, second):
    s += sgl.user(first)
    s += sgl.assistant(sgl.gen("one", max_tokens=6))
    s += sgl.user(second)
    s += sgl.assistant(sgl.gen("two", max_tokens=6))


@sgl.function
def choose(s, picture, question, choices):
    s += sgl.user(sgl.image(picture) + question)
    s += sgl.assistant(sgl.select("choice", choices=choices))


@sgl.function
def fork_and_join(s, question):
    s += sgl.user(question)
    branches = s.fork(3)
    for branch in branches:
        branch += sgl.assistant(sgl.gen("part", max_tokens=5))
    branches.join()
    s += sgl.user("|".join(branch["part"] for branch in branches))


def generate(address, **body):
    reply = requests.post(address + "/generate", json=body, timeout=60)
    expect(reply.status_code == 200, reply.text)
    return reply.json()


def check_answers(address, backend):
    picture = base64.b64encode(PICTURE.read_bytes()).decode()
    state = describe.run(picture=str(PICTURE), question=QUESTION, temperature=0, backend=backend)
    prompt = state.text()[: -len(state["answer"])] if not state.text().endswith("</s>") else state.text()[: -len(state["answer"]) - 4]
    # The same words as a plain completion, through another front end.
    plain = requests.post(address + "/v1/completions", timeout=60, json={
        "model": MODEL, "prompt": prompt, "images": [picture], "temperature": 0, "max_tokens": 8}).json()["choices"][0]["text"]
    expect(state["answer"] == plain, state.text(), plain)
    streamed = describe.run(picture=str(PICTURE), question=QUESTION, temperature=0, backend=backend, stream=True)
    pieces = list(streamed.text_iter("answer"))
    expect("".join(pieces) == plain, pieces, plain)
    meta = state.get_meta_info("answer")
    expect(meta["completion_tokens"] == 8 and meta["prompt_tokens"] > 16, meta)

    turns = talk.run(first="Hi", second="And?", temperature=0, backend=backend)
    expect(turns["one"] and turns["two"])
    batch = talk.run_batch([{"first": "Hi", "second": "And?"}, {"first": "Ho", "second": "So?"}] * 3, temperature=0, backend=backend)
    expect([state["two"] for state in batch[::2]] == [turns["two"]] * 3)
    joined = fork_and_join.run(question="Hi", temperature=0, backend=backend).text()
    part = talk.run(first="Hi", second="And?", temperature=0, backend=backend)["one"][:3]
    expect(part and joined.count(part) >= 3, joined, part)


def check_select(address, backend):
    """The choice is that with the highest mean log-probability, whoever computes it."""
    choices = ["a red triangle", "a blue circle", "nothing at all"]
    state = choose.run(picture=str(PICTURE), question=QUESTION, choices=choices, backend=backend)
    expect(state["choice"] in choices)
    # What was said with log-probabilities has the same ones when it is read again.
    first = generate(address, text="Once upon", return_logprob=True, sampling_params={"temperature": 0, "max_new_tokens": 5})
    said = first["meta_info"]["output_token_logprobs"]
    prompt_ids = [entry[1] for entry in generate(address, text="Once upon", return_logprob=True,
                                                 sampling_params={"max_new_tokens": 0})["meta_info"]["input_token_logprobs"]]
    again = generate(address, input_ids=prompt_ids + [entry[1] for entry in said], return_logprob=True,
                     logprob_start_len=len(prompt_ids) - 1, sampling_params={"max_new_tokens": 0})
    scores = again["meta_info"]["input_token_logprobs"]
    expect(again["text"] == "" and again["meta_info"]["completion_tokens"] == 0, again)
    expect(again["meta_info"]["prompt_tokens"] == len(prompt_ids) + 5, again)
    expect([entry[1:] for entry in scores] == [entry[1:] for entry in said], scores, said)
    expect(all(math.isclose(a[0], b[0], abs_tol=1e-5) for a, b in zip(scores, said)), scores, said)
    mean = sum(entry[0] for entry in scores) / len(scores)
    expect(math.isclose(again["meta_info"]["normalized_prompt_logprob"], mean, abs_tol=1e-6), again)
    whole = generate(address, text=["Once", "Once upon"], return_logprob=True, sampling_params={"max_new_tokens": 0})
    expect([entry["meta_info"]["input_token_logprobs"][0][0] for entry in whole] == [None, None], whole)


def check_errors(address):
    for body, words in [({"text": "x", "sampling_params": {"max_new_tokens": 2}, "return_logprob": True, "logprob_start_len": 0},
                         "logprob_start_len"),
                        ({"text": "<image>x", "image_data": base64.b64encode(PICTURE.read_bytes()).decode(), "return_logprob": True,
                          "logprob_start_len": 0, "sampling_params": {"max_new_tokens": 0}}, "behind all pictures"),
                        ({"text": "x", "logprob_start_len": -2}, "logprob_start_len"), ({}, "text")]:
        reply = requests.post(address + "/generate", json=body, timeout=60)
        expect(reply.status_code == 400 and words in reply.json()["error"]["message"], reply.text)


def main():
    server = subprocess.Popen([PROGRAM, "serve", "--no-web", "--port", "0", "--drain-delay", "0", "--dtype", "float32",
                               "--model-path", str(ROOT / "tests/golden/models" / MODEL)],
                              env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    try:
        address = server.stdout.readline().strip()
        backend = sgl.RuntimeEndpoint(address)
        expect(backend.get_model_name() == MODEL)
        check_answers(address, backend)
        check_select(address, backend)
        check_errors(address)
    finally:
        server.terminate()
        server.wait(60)
    print(f"sglang {sgl.__version__} agrees")


main()
