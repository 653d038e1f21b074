#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Computes the goldens of everything after the logits: beam search, repetition penalty, sampling
filters and the terminal chat's rounds. All in float32, over the checkpoints of make_tiny_models.py.

    make_generation.py hf      beam.json and repetition.json of llava-hf checkpoints, sampling.json
    make_generation.py orig    the same of original checkpoints, cli_rounds.json

Entries of the other environment are kept. `prompt` has `<image>` where pictures stand; paths are
relative to this folder.
"""
import contextlib
import io
import json
import os
import pathlib
import sys

import numpy as np
import torch

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "scripts"))
import reference  # noqa: E402

MODELS = HERE / "models"
USER = "USER: <image>\nWhat is it? ASSISTANT:"
NEAR = 0.002  # scores closer than this could change places in another correct implementation

BEAMS = {
    "hf": [
        ("hf-llava", None, USER, ["landscape_96x64.jpg"]),
        ("hf-llava-eos-list", None, USER, ["landscape_96x64.jpg"]),
        ("hf-llava-eos-list", None, "USER: How many shapes are there? ASSISTANT:", []),
        ("hf-qwen2", None, "<|im_start|>user\n<image>\nWhat?<|im_end|>\n<|im_start|>assistant\n", ["portrait_45x80.png"]),
        ("hf-next-mistral", None, USER, ["wide_150x13.png"]),
    ],
    "orig": [
        ("llava-v1.5-pad", None, USER, ["landscape_96x64.jpg"]),
        ("llava-v1.6-mistral", None, USER, ["portrait_45x80.png"]),
        ("llava-v1.5-lora-patterns", "base-vicuna", USER, ["landscape_96x64.jpg"]),
    ],
}


def open_model(name, base):
    return reference.open_reference(MODELS / name, MODELS / base if base else None)


def encode(loaded, prompt, images):
    return loaded.encode(reference.Case(name="", images=[HERE / "images" / image for image in images], prompt=prompt))


def describe(loaded, name, base, prompt, images):
    entry = {"model": f"models/{name}", "prompt": prompt, "images": [f"images/{image}" for image in images]}
    if base:
        entry.update(model_base=f"models/{base}", lora="merged")
    return {**entry, "source": loaded.source}


def merge(file, environment, entries):
    """Replaces this environment's entries in a list of both."""
    path = HERE / file
    old = json.loads(path.read_text()) if path.exists() else []
    original = lambda entry: entry["source"].startswith("llava ")  # noqa: E731
    kept = [entry for entry in old if original(entry) != (environment == "orig")]
    write(file, sorted(kept + entries, key=lambda entry: entry["model"]))


def write(file, value):
    text = json.dumps(value, indent=1, ensure_ascii=True)
    (HERE / file).write_text(text + "\n", encoding="ascii")


@torch.inference_mode()
def beam_entries(environment):
    out = []
    for name, base, prompt, images in BEAMS[environment]:
        loaded = open_model(name, base)
        encoded = encode(loaded, prompt, images)
        for beams, length_penalty, tokens in [(2, 1.0, 12), (4, 1.0, 12), (4, 0.0, 8), (3, 2.0, 10)]:
            result, skipped = loaded.generate(
                encoded,
                max_new_tokens=tokens,
                do_sample=False,
                num_beams=beams,
                num_return_sequences=beams,
                length_penalty=length_penalty,
                early_stopping=False,
                **{key: None for key in ("temperature", "top_p", "top_k")},
            )
            best, second = (float(score) for score in result.sequences_scores[:2])
            if best - second < NEAR:
                print(f"{name}: {beams} beams, penalty {length_penalty}: left out, {best - second:.5f} apart")
                continue
            ids = result.sequences[0, skipped:].tolist()
            ids = ids[: useful_length(ids, loaded)]
            out.append(
                {
                    **describe(loaded, name, base, prompt, images),
                    "num_beams": beams,
                    "length_penalty": length_penalty,
                    "max_new_tokens": tokens,
                    "ids": ids,
                    "score": best,
                    "runner_up_score": second,
                }
            )
    return out


def useful_length(ids, loaded):
    """Shorter hypotheses than the longest of the batch are filled up behind their end token."""
    ends = loaded.model.generation_config.eos_token_id
    ends = set(ends if isinstance(ends, list) else [ends])
    return next((index + 1 for index, token in enumerate(ids) if token in ends), len(ids))


@torch.inference_mode()
def repetition_entries(environment):
    """Greedy with a repetition penalty. transformers' own classes penalise the expanded prompt's ids
    too; the original, which generates from embeddings, only the begin token and what is new."""
    out = []
    for name, base, prompt, images in BEAMS[environment][:1] + BEAMS[environment][-2:-1]:
        loaded = open_model(name, base)
        encoded = encode(loaded, prompt, images)
        for penalty in (1.2, 1.8):
            arguments = {**reference.GREEDY, "repetition_penalty": penalty}
            result, skipped = loaded.generate(encoded, max_new_tokens=20, **arguments)
            margins = [float(score[0].topk(2).values.diff().abs()) for score in result.scores]
            clear = next((step for step, margin in enumerate(margins) if margin < 0.005), len(margins))
            ids = result.sequences[0, skipped:].tolist()[:clear]
            penalised = encoded.inputs["input_ids"][0].tolist() if environment == "hf" else [loaded.tokenizer.bos_token_id]
            out.append(
                {
                    **describe(loaded, name, base, prompt, images),
                    "repetition_penalty": penalty,
                    "penalised_before": sorted(set(penalised)),
                    "max_new_tokens": len(ids),
                    "ids": ids,
                }
            )
    return out


def sampling_entries():
    """Fixed logits through transformers' processors in the order in which `generate` applies them."""
    import transformers
    from transformers import generation

    generator = np.random.Generator(np.random.PCG64(7))
    vectors = {
        "random": (generator.standard_normal(40) * 3).astype(np.float32),
        "flat": (generator.standard_normal(24) * 0.05 - 20).astype(np.float32),
        "peaked": np.float32([12, 3, 2.5, 2, 1, 0, -1, -2, -5, -30]),
        "ties": np.float32([1, 2, 2, 2, 0.5, 2, 1, -3]),
    }
    settings = [
        {"temperature": 0.2},
        {"temperature": 0.7, "top_p": 0.6},
        {"temperature": 1.0, "top_k": 5},
        {"temperature": 1.3, "top_k": 8, "top_p": 0.9},
        {"temperature": 1.0, "top_p": 0.01},
        {"temperature": 0.9, "top_p": 1.0, "top_k": 0, "repetition_penalty": 1.5},
        {"temperature": 0.5, "top_k": 50, "top_p": 0.95, "repetition_penalty": 1.1},
    ]
    out = []
    for name, logits in vectors.items():
        for setting in settings:
            previous = [0, 3, 3, 5] if "repetition_penalty" in setting else []
            processors = generation.LogitsProcessorList()
            if "repetition_penalty" in setting:
                processors.append(generation.RepetitionPenaltyLogitsProcessor(setting["repetition_penalty"]))
            if setting["temperature"] != 1.0:
                processors.append(generation.TemperatureLogitsWarper(setting["temperature"]))
            if setting.get("top_k"):
                processors.append(generation.TopKLogitsWarper(setting["top_k"]))
            if setting.get("top_p", 1.0) < 1.0:
                processors.append(generation.TopPLogitsWarper(setting["top_p"]))
            scores = processors(torch.tensor([previous], dtype=torch.int64), torch.from_numpy(logits)[None].clone())[0]
            probabilities = torch.softmax(scores, dim=-1)
            out.append(
                {
                    "name": name,
                    **setting,
                    "previous_ids": previous,
                    "logits": [float(value) for value in logits],
                    "kept": torch.isfinite(scores).nonzero()[:, 0].tolist(),
                    "probabilities": [float(value) for value in probabilities],
                    "source": f"transformers {transformers.__version__}",
                }
            )
    return out


CHATS = [
    ("llava-v1.6-mistral", None, ["What is this?", "How many shapes are there?", "Thanks."]),
    ("llava-7b-legacy", None, ["What is this?", "Is it 12 meters tall?"]),
    ("llava-v1.6-34b", None, ["What is this?", "How many shapes are there?"]),
    ("llava-v1.5-pad", None, ["What is this?", "Where is it?", "Why?"]),
    ("llava-v1.5-lora-rslora", "base-vicuna", ["Describe it.", "Really?"]),
    ("llava-projector-mlp2x", "base-vicuna", ["Describe it.", "Really?"]),
]


@torch.inference_mode()
def cli_rounds():
    """The loop of the original's cli.py, greedy: the stored answer keeps its special tokens."""
    from llava.conversation import conv_templates
    from llava.mm_utils import get_model_name_from_path
    from make_bundles import Loader
    from transformers import TextStreamer

    load, out = Loader(), {}
    for name, base, lines in CHATS:
        spec = {"dtype": "float32", "lora": None, **({"base": base} if base else {})}
        loaded = load(name, spec)
        mode = reference.infer_conv_mode(get_model_name_from_path(name))
        template = conv_templates[mode].copy()
        token = "<image>"
        if getattr(loaded.model.config, "mm_use_im_start_end", False):
            token = "<im_start><image><im_end>"
        rounds = []
        for number, line in enumerate(lines):
            template.append_message(template.roles[0], (token + "\n" if number == 0 else "") + line)
            template.append_message(template.roles[1], None)
            prompt = template.get_prompt()
            encoded = encode(loaded, prompt, ["landscape_96x64.jpg"])
            screen = io.StringIO()
            with contextlib.redirect_stdout(screen):
                streamer = TextStreamer(loaded.tokenizer, skip_prompt=True, skip_special_tokens=True)
                result, _ = loaded.generate(encoded, max_new_tokens=8, streamer=streamer, **reference.GREEDY)
            returned = result.sequences[0].tolist()
            margins = [float(score[0].topk(2).values.diff().abs()) for score in result.scores]
            assert min(margins) > 0.003, f"{name}, round {number}: {min(margins)}"
            stored = loaded.tokenizer.decode(result.sequences[0]).strip()
            template.messages[-1][-1] = stored
            rounds.append(
                {
                    "prompt": prompt,
                    "input_ids": encoded.input_ids.tolist(),
                    "max_new_tokens": 8,
                    "returned_ids": returned,
                    "stored_text": stored,
                    "screen_text": screen.getvalue().removesuffix("\n"),
                }
            )
        out[name] = {
            "image": "landscape_96x64.jpg",
            "lines": lines,
            "conv_mode": mode,
            "rounds": rounds,
            "next_prompt": template.get_prompt(),
            "model_base": base,
        }
    return out


def main():
    if len(sys.argv) != 2 or sys.argv[1] not in BEAMS:
        sys.exit(__doc__)
    environment = sys.argv[1]
    os.chdir(MODELS)  # the original looks for towers relative to the current folder
    torch.set_num_threads(1)
    merge("beam.json", environment, beam_entries(environment))
    merge("repetition.json", environment, repetition_entries(environment))
    if environment == "hf":
        write("sampling.json", sampling_entries())
    else:
        write("cli_rounds.json", cli_rounds())


if __name__ == "__main__":
    main()
