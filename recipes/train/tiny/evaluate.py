#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How good a model of the tiny recipe is: all questions of easy-VQA's test split, talk without pictures, unseen drawings of emoji.

usage: evaluate.py [--data DIR] [--model DIR] [--base FILE] [--llava PROGRAM] [--held-out] [--output DIR] [--json]
  --data DIR       data of recipes/train/tiny/run (default: build/tiny/data)
  --model DIR      adapters, or a whole model (default: the bundled model)
  --base FILE      its language model (default: the bundled model's)
  --llava PROGRAM  default: build/release-torch/bin/llava
  --held-out       the 400 train pictures that choices are made on, instead of the test split
  --output DIR     folder for the answers, where a run that was ended goes on (default: beside the data)
  --json           print one JSON object
"""

import argparse
import json
import pathlib
import subprocess
import sys
from collections import Counter

import easy_vqa

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
MODEL = REPOSITORY / "models/tiny-llava-smollm2"


class Evaluation:
    def __init__(self, llava, model, base, data, output):
        self.llava, self.data, self.output = llava, data, output
        self.flags = ["--model-path", str(model)] + (["--model-base", str(base)] if base else [])
        self.base = base
        output.mkdir(parents=True, exist_ok=True)

    def answers(self, name, max_new_tokens):
        """Lines of `llava batch` beside the expected answers of a file of questions."""
        questions = self.data / f"{name}.jsonl"
        target = self.output / f"{name}.answers.jsonl"
        subprocess.run([self.llava, "batch", "--input", questions, "--image-folder", self.data / "pictures", "--output", target,
                        "--max-new-tokens", str(max_new_tokens), *self.flags], check=True, stdout=subprocess.DEVNULL)
        given = {line["id"]: line for line in map(json.loads, target.read_text().splitlines())}
        for line in map(json.loads, questions.read_text().splitlines()):
            yield line["expected"], given[line["id"]].get("answer", "").strip().lower().rstrip(".")

    def questions(self, name):
        """Counts of questions and right answers by kind."""
        asked, right = Counter(), Counter()
        for expected, answer in self.answers(name, 4):
            for kind in ("all", easy_vqa.kind_of(expected)):
                asked[kind] += 1
                right[kind] += answer == expected
        return {kind: {"questions": asked[kind], "right": right[kind], "accuracy": right[kind] / asked[kind]} for kind in asked}

    def emoji(self):
        """How many drawings of a vendor that was not trained on have their name; by chance it is one in their number."""
        pairs = list(self.answers("emoji", 16))
        right = sum(expected == answer for expected, answer in pairs)
        shared = sum(bool(set(expected.split()) & set(answer.split())) for expected, answer in pairs)
        return {"drawings": len(pairs), "right": right, "accuracy": right / len(pairs), "share_a_word": shared / len(pairs)}

    def texts(self):
        """Divergence of the talk from the base's, which answered the texts."""
        result = subprocess.run([self.llava, "divergence", self.data / "text_measured.json", "--reference", self.base, "--version", "qwen_1_5",
                                 "--dtype", "float32", "--json", *self.flags], check=True, stdout=subprocess.PIPE)
        return json.loads(result.stdout)


def table(result):
    rows = ["| questions | number | right |", "| --- | --- | --- |"]
    names = {"all": "all", "yes": 'answer "yes"', "no": 'answer "no"', "shape": "answer is a shape", "color": "answer is a colour"}
    for kind, name in names.items():
        if kind in result["questions"]:
            of_kind = result["questions"][kind]
            rows.append(f"| {name} | {of_kind['questions']} | {100 * of_kind['accuracy']:.2f} % |")
    return "\n".join(rows)


def main():
    parser = argparse.ArgumentParser(usage=argparse.SUPPRESS, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, default=REPOSITORY / "build/tiny/data", help=argparse.SUPPRESS)
    parser.add_argument("--model", type=pathlib.Path, default=MODEL, help=argparse.SUPPRESS)
    parser.add_argument("--base", type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--llava", type=pathlib.Path, default=REPOSITORY / "build/release-torch/bin/llava", help=argparse.SUPPRESS)
    parser.add_argument("--held-out", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--output", type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    base = arguments.base
    if base is None:
        fetched = subprocess.run([REPOSITORY / "scripts/fetch_model"], check=True, stdout=subprocess.PIPE, text=True)
        base = pathlib.Path(fetched.stdout.strip())
    output = arguments.output or arguments.data.parent / "evaluation"
    evaluation = Evaluation(arguments.llava, arguments.model, base, arguments.data, output)
    result = {"questions": evaluation.questions("held_out" if arguments.held_out else "test"), "emoji": evaluation.emoji(),
              "texts": evaluation.texts()}
    if arguments.json:
        print(json.dumps(result))
        return
    print(table(result))
    print(f"\nTalk: {result['texts']['mean_kl']:.4f} nats from the base over {result['texts']['tokens']} tokens of {result['texts']['texts']} texts")
    print(f"Emoji of an unseen vendor: {100 * result['emoji']['accuracy']:.1f} % of {result['emoji']['drawings']} named exactly, "
          f"{100 * result['emoji']['share_a_word']:.1f} % with a word of the name")


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(f"evaluate: {error.cmd[0]} {error.cmd[1]} ended with status {error.returncode}")
