#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Records `check/` of the bundled model anew: what transformers and peft answer to its 50 questions, and two reference bundles.

Run it in a Python environment that has torch, transformers, peft, gguf and Pillow; the questions and their pictures stay.

usage: record_check.py [--model DIR] [--base FILE]
  --model DIR  folder with check/questions.json and check/images (default: the bundled model)
  --base FILE  its language model (default: the one that scripts/fetch_model fetches)
"""

import argparse
import json
import pathlib
import subprocess
import sys

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(REPOSITORY / "scripts"))
import reference  # noqa: E402
import torch  # noqa: E402
from reference.recording import continue_greedily  # noqa: E402

MAX_NEW_TOKENS = 32
# The first question about each of these pictures becomes a bundle.
BUNDLES = ("59", "548")


@torch.inference_mode()
def answer(recorded, image, asked):
    case = reference.Case(name="", images=[image], query=asked["question"], conv_mode="qwen_1_5")
    encoded = recorded.encode(case)
    ids, margins = continue_greedily(recorded, encoded, MAX_NEW_TOKENS)
    return {"image": asked["image"], "question": asked["question"], "answer": asked["answer"], "prompt_ids": encoded.input_ids.tolist(),
            "generated_ids": ids.tolist(), "text": recorded.tokenizer.decode(ids, skip_special_tokens=True), "min_margin": round(min(margins), 4)}


def main():
    parser = argparse.ArgumentParser(usage=argparse.SUPPRESS, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, default=REPOSITORY / "models/tiny-llava-smollm2", help=argparse.SUPPRESS)
    parser.add_argument("--base", type=pathlib.Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    base = arguments.base
    if base is None:
        base = subprocess.run([REPOSITORY / "scripts/fetch_model"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    check = arguments.model / "check"
    asked = json.loads((check / "questions.json").read_text())["questions"]
    recorded = reference.open_reference(arguments.model, base, "float32", "unmerged")
    answers = [answer(recorded, check / question["image"], question) for question in asked]
    for name in BUNDLES:
        first = next(question for question in asked if pathlib.Path(question["image"]).stem == name)
        case = reference.Case(name=name, images=[check / first["image"]], query=first["question"], conv_mode="qwen_1_5", max_new_tokens=12)
        reference.record(recorded, case, check / "bundles", reference.Options(layers=[1, 15, 30], without=frozenset(["vision_hidden"])))
    text = json.dumps({"source": f"{recorded.source}, float32, adapters unmerged", "questions": answers}, indent=1)
    (check / "questions.json").write_text(text + "\n")
    right = sum(line["text"] == line["answer"] for line in answers)
    print(f"{right} of {len(answers)} right, the smallest gap between the best two logits of a token is {min(line['min_margin'] for line in answers):.2f}")


if __name__ == "__main__":
    main()
