#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""lmms-eval, unmodified, with its class for OpenAI's API, on a local task whose right answers are those of `llava run`.

usage: lmms_eval_test.py PROGRAM ROOT     status 77 when it, or the default model, is not there (scripts/setup --dev)
"""

import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

PROGRAM, ROOT = str(Path(sys.argv[1]).resolve()), Path(sys.argv[2]).resolve()
PACKAGES = ROOT / ".deps/lmms"
sys.path.insert(0, str(PACKAGES))
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
try:
    VERSION = importlib.metadata.version("lmms_eval")
except ImportError as error:
    print(f"skipped: {error} (scripts/setup --dev)")
    sys.exit(77)
if not (CACHE / "llava/models/SmolLM2-135M-Instruct.Q4_1.gguf").exists():
    print("skipped: the language model of the default model is not there (scripts/setup)")
    sys.exit(77)

MODEL = "tiny-llava-smollm2"
ENVIRONMENT = os.environ | {"LLAVA_THREADS": "2", "LLAVA_LOG": "", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
QUESTIONS = [
    ("models/tiny-llava-smollm2/examples/red_triangle.png", "what color is the triangle?"),
    ("models/tiny-llava-smollm2/examples/red_triangle.png", "what shape is in the image?"),
    ("tests/golden/images/wide_150x13.png", "what color is the shape?"),
]
TASK = """
task: llava_local
dataset_path: json
dataset_kwargs:
  data_files: {{test: {questions}}}
test_split: test
output_type: generate_until
doc_to_visual: !function local_task.doc_to_visual
doc_to_text: !function local_task.doc_to_text
doc_to_target: answer
process_results: !function local_task.process_results
generation_kwargs: {{max_new_tokens: 16, temperature: 0}}
metric_list:
  - {{metric: accuracy, aggregation: mean, higher_is_better: true}}
"""
FUNCTIONS = """
from PIL import Image


def doc_to_visual(doc):
    return [Image.open(doc["picture"]).convert("RGB")]


def doc_to_text(doc, lmms_eval_specific_kwargs=None):
    return doc["question"]


def process_results(doc, results):
    return {"accuracy": float(results[0].strip() == doc["answer"])}
"""


def expect(is_right, *what):
    if not is_right:
        raise AssertionError(what)


def answer_of(picture, question):
    done = subprocess.run([PROGRAM, "run", "--image-file", str(picture), "--query", question, "--temperature", "0",
                           "--max-new-tokens", "16", "--json"], env=ENVIRONMENT, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)["text"].strip()


def write_task(folder):
    questions = folder / "questions.jsonl"
    with questions.open("w") as file:
        for name, question in QUESTIONS:
            picture = ROOT / name
            file.write(json.dumps({"picture": str(picture), "question": question, "answer": answer_of(picture, question)}) + "\n")
    (folder / "local_task.py").write_text(FUNCTIONS)
    (folder / "llava_local.yaml").write_text(TASK.format(questions=questions))


def evaluate(folder, address):
    environment = ENVIRONMENT | {"PYTHONPATH": str(PACKAGES), "HF_HOME": str(folder / "hf"), "HF_HUB_OFFLINE": "1",
                                 "OPENAI_API_KEY": "none", "CUDA_VISIBLE_DEVICES": ""}
    arguments = f"base_url={address}/v1,api_key=none,model_version={MODEL},max_retries=1,timeout=60"
    done = subprocess.run([sys.executable, "-m", "lmms_eval", "eval", "--model", "openai", "--model_args", arguments,
                           "--tasks", "llava_local", "--include_path", str(folder), "--output_path", str(folder / "out"),
                           "--log_samples", "--batch_size", "1"],
                          env=environment, cwd=folder, capture_output=True, text=True, timeout=240)
    expect(done.returncode == 0, done.stdout[-2000:], done.stderr[-2000:])
    results = [json.loads(path.read_text()) for path in (folder / "out").rglob("*results.json")]
    samples = [json.loads(line) for path in (folder / "out").rglob("*samples*.jsonl") for line in path.read_text().splitlines()]
    expect(len(results) == 1, done.stdout[-2000:], done.stderr[-2000:])
    return results[0]["results"]["llava_local"], samples


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_task(folder)
        with subprocess.Popen([PROGRAM, "serve", "--no-web", "--port", "0", "--drain-delay", "0"], env=ENVIRONMENT,
                              stdout=subprocess.PIPE, text=True) as server:
            try:
                result, samples = evaluate(folder, server.stdout.readline().strip())
            finally:
                server.terminate()
        expect(len(samples) == len(QUESTIONS), samples)
        expect(result["accuracy,none"] == 1.0, result, samples)
        expect({sample["filtered_resps"] for sample in samples} >= {"red", "triangle"}, samples)
        expect(all(sample["token_counts"][0]["output_tokens"] > 0 for sample in samples), samples)
    print(f"lmms-eval {VERSION} and llava run agree")


main()
