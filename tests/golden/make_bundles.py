#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Computes tests/golden/bundles over the checkpoints of make_tiny_models.py.

Each case names the environment whose library is its oracle; the command computes those of one:

    make_bundles.py hf      transformers 4.57 (and peft)
    make_bundles.py hf5     transformers 5.23
    make_bundles.py orig    the original llava package
    make_bundles.py hf --only hf-qwen2

    make_bundles.py hf5 --check     recomputes what *another* environment recorded, where this one
                                    can, and prints the largest difference of each bundle

A greedy continuation stops before the first step whose two best logits are closer than kClear, so
that every correct float32 implementation gives the same ids.
"""
import argparse
import json
import os
import pathlib
import shutil
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "scripts"))

import torch  # noqa: E402
from safetensors import safe_open  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

import reference  # noqa: E402

MODELS, IMAGES, BUNDLES = HERE / "models", HERE / "images", HERE / "bundles"
kClear = 0.01

LANDSCAPE, PORTRAIT, SQUARE = "landscape_96x64.jpg", "portrait_45x80.png", "square_28x28.png"
THIN, WIDE, ALPHA = "thin_2x90.png", "wide_150x13.png", "alpha_60x50.png"

# What a bundle keeps beside ids, logits and image features. Large ones are few: the folder is in git.
FULL = {"layers": "all"}
HIDDEN = {"layers": "all", "without": {"vision_hidden", "inputs_embeds", "pixel_values"}}
DECODER = {"layers": "all", "without": {"vision_hidden", "pixel_values"}}
SHORT = {"layers": [], "without": {"vision_hidden", "inputs_embeds", "pixel_values"}}
PIXELS = {"layers": [], "without": {"vision_hidden", "inputs_embeds"}}
EMBEDS = {"layers": [], "without": {"vision_hidden", "pixel_values"}}


def case(name, images, query=None, keep=SHORT, dtype="float32", tokens=16, lora=None, **more):
    return {"name": name, "images": images, "query": query, "keep": keep, "dtype": dtype, "tokens": tokens, "lora": lora, **more}


def simple(keep=HIDDEN, **more):
    return [case("landscape", [LANDSCAPE], "What is shown in this image?", keep, **more)]


def sixteen_bit():
    return [
        case("bfloat16", [LANDSCAPE], "Describe the picture in detail.", EMBEDS, dtype="bfloat16"),
        case("float16", [LANDSCAPE], "Describe the picture in detail.", EMBEDS, dtype="float16"),
    ]


ANYRES = [
    case("landscape", [LANDSCAPE], "What is shown?", HIDDEN),
    case("portrait", [PORTRAIT], "Which shape is this?", PIXELS),
    case("thin", [THIN], "How many?", EMBEDS),
    case("wide", [WIDE], "Where is it?", PIXELS),
    case("small", [SQUARE], "Who is this?"),
]

# Prompts of the original's cases are given whole where its long templates would only cost bytes.
USER = "USER: <image>\nWhat is it? ASSISTANT:"


def two_pictures(**more):
    return case("two_images", [LANDSCAPE, THIN], prompt="USER: <image> and <image>\nCompare. ASSISTANT:", **more)


CASES = {
    "hf": {
        "hf-llava": [
            case("landscape", [LANDSCAPE], "What is shown in this image?", FULL),
            case("two_images", [PORTRAIT, ALPHA], "Compare the two pictures.", HIDDEN),
            case("text_only", [], "How many shapes are there?", HIDDEN),
            case("adjacent", [SQUARE, WIDE], prompt="<image><image>"),
            case("conversation", [ALPHA], messages=[["user", "What is it?"], ["assistant", "It is a circle."], ["user", "Where is it?"]]),
            *sixteen_bit(),
        ],
        "hf-llava-rope-linear": simple(),
        "hf-llava-rope-dynamic": simple() + [case("text_only", [], "Who?")],
        "hf-llava-rope-llama3": simple(),
        "hf-llava-full": simple(),
        "hf-llava-eos-list": simple(SHORT),
        "hf-llava-new-keys": simple(SHORT),
        "hf-llava-old-files": simple(SHORT),
        "hf-llava-pad": [
            case("landscape", [LANDSCAPE], "What is shown?", PIXELS),
            case("portrait", [PORTRAIT], "What is shown?", PIXELS),
        ],
        "hf-llava-tied": simple(),
        "hf-llava-head-dim": simple(),
        "hf-llava-layer-list": simple({"layers": "all", "without": {"inputs_embeds", "pixel_values"}}),
        "hf-qwen2": [
            case("landscape", [LANDSCAPE], "What is shown in this image?", FULL),
            case("two_images", [PORTRAIT, SQUARE], "Compare 12 + 345!\n\nAnd you're sure?"),
            case("text_only", [], "na\u00efve caf\u00e9 \u4f60\u597d \U0001f600  it's I'll 2024"),
            *sixteen_bit(),
        ],
        "hf-qwen2-tied": simple(),
        "hf-next-mistral": [
            *ANYRES,
            case("two_images", [LANDSCAPE, THIN], "Compare the two pictures."),
            case("text_only", [], "How many shapes are there? Describe the picture in detail.", HIDDEN),
            *sixteen_bit(),
        ],
        "hf-next-llama3": simple() + [case("thin", [THIN], "How many? 12345")],
        "hf-next-qwen2": simple(SHORT) + [case("wide", [WIDE], "Where is it?")],
        # Adapters beside the base, and bases in GGUF: no published program but transformers and peft.
        "llava-v1.5-lora-rslora": [case("unmerged", [LANDSCAPE], prompt=USER, keep=HIDDEN, base="base-vicuna", lora="unmerged")],
        "llava-v1.5-lora-patterns": [case("unmerged", [LANDSCAPE], prompt=USER, keep=HIDDEN, base="base-vicuna", lora="unmerged")],
        "llava-v1.5-lora-head": [case("unmerged", [LANDSCAPE], prompt=USER, keep=HIDDEN, base="base-vicuna", lora="unmerged")],
        "llava-v1.5-lora-gguf": [
            case("landscape", [LANDSCAPE], prompt=USER, keep=HIDDEN, base="base-gguf.gguf", lora="unmerged"),
            case("bfloat16", [LANDSCAPE], prompt=USER, dtype="bfloat16", base="base-gguf.gguf", lora="unmerged"),
        ],
        "llava-projector-gguf-k": [case("landscape", [LANDSCAPE], prompt=USER, keep=EMBEDS, base="base-gguf-k.gguf", lora="unmerged")],
    },
    "hf5": {
        "hf5-llava": [*simple(), case("two_images", [PORTRAIT, ALPHA], "Compare the two pictures.")],
        "hf5-next-llama3": [*simple(), case("wide", [WIDE], "Where is it?")],
        "hf5-qwen2-tied": simple(),
        "hf-llava-tied-with-head": simple(),
    },
    "orig": {
        "llava-v1.5-pad": [
            case("landscape", [LANDSCAPE], "What is shown in this image?", FULL),
            case("loss", [PORTRAIT], "What is it?", SHORT, reply="It is a red circle.", tokens=0, conv_mode="vicuna_v1"),
            case("loss_two_turns", [PORTRAIT], keep=SHORT, tokens=0, reply="x", conv_mode="llava_llama_2",
                 messages=[["USER", "<image>\nWhat is it?"], ["ASSISTANT", "A circle."], ["USER", "Where is it?"], ["ASSISTANT", "On the table."]]),
            case("loss_unsupervised", [PORTRAIT], "Is </s> it?", SHORT, reply="It is.", tokens=0, conv_mode="vicuna_v1"),
            two_pictures(),
            case("text_only", [], prompt="USER: How many shapes are there? ASSISTANT:", keep=HIDDEN),
            case("float16", [LANDSCAPE], prompt=USER, dtype="float16"),
            case("bfloat16", [LANDSCAPE], prompt=USER, dtype="bfloat16"),
            case("as_square", [LANDSCAPE], prompt=USER, keep=PIXELS, image_aspect_ratio="square"),
        ],
        "llava-v1.5-square-cls": [case("landscape", [LANDSCAPE], prompt=USER, keep=PIXELS), case("thin", [THIN], prompt=USER)],
        "llava-v1.5-crop-layer1": [case("landscape", [LANDSCAPE], prompt=USER, keep=HIDDEN)],
        "llava-v1.5-mlp1x": [case("landscape", [LANDSCAPE], prompt=USER)],
        "llava-v1.5-mlp3x": [case("landscape", [LANDSCAPE], prompt=USER)],
        "llava-v1.5-identity": [case("landscape", [LANDSCAPE], prompt=USER, keep=PIXELS)],
        "llava-v1.5-rope-linear": [case("landscape", [LANDSCAPE], prompt=USER, keep=DECODER)],
        "llava-v1.5-rope-dynamic": [case("landscape", [LANDSCAPE], prompt=USER, keep=DECODER)],
        "llava-v1.6-flat": [case(c["name"], c["images"], prompt=USER) for c in ANYRES[:2]],
        "llava-v1.6-spatial": [case(c["name"], c["images"], prompt=USER) for c in ANYRES[:4]],
        "llava-v1.6-unpad": [
            *[case(c["name"], c["images"], prompt=USER, keep=c["keep"]) for c in ANYRES],
            two_pictures(),
            case("as_pad", [LANDSCAPE], prompt=USER, image_aspect_ratio="pad"),
        ],
        "llava-v1.6-34b": [
            case("landscape", [LANDSCAPE], "What is shown?"),
            case("two_rounds", [PORTRAIT], conv_mode="chatml_direct",
                 messages=[["<|im_start|>user\n", "<image>\nWhat is it?"], ["<|im_start|>assistant\n", "A circle."],
                           ["<|im_start|>user\n", "Where?"], ["<|im_start|>assistant\n", None]]),
        ],
        "llava-v1.6-tower-inside": [case("landscape", [LANDSCAPE], prompt=USER)],
        "llava-v1.6-lora": [case("merged", [LANDSCAPE], prompt=USER, base="llava-v1.6-tower-inside")],
        "llava-v1.6-truncated": [
            case("landscape", [LANDSCAPE], prompt=USER, keep=EMBEDS),
            case("text_only", [], "How many shapes are there?"),
        ],
        "llava-v1.6-mistral": [
            case("landscape", [LANDSCAPE], "What is shown in this image?", HIDDEN),
            case("square", [SQUARE], "What is shown in this image?", FULL, image_aspect_ratio="pad"),
            case("thin", [THIN], "How many?"),
            case("two_rounds", [PORTRAIT], conv_mode="mistral_instruct",
                 messages=[["USER", "<image>\nWhat is it?"], ["ASSISTANT", "A circle."], ["USER", "Where?"], ["ASSISTANT", None]]),
            two_pictures(),
            case("text_only", [], "How many shapes are there?"),
            case("loss", [WIDE], "What is it?", SHORT, reply="It is a red circle.", tokens=0, conv_mode="llava_v1"),
            *sixteen_bit(),
        ],
        "llava-7b-legacy": [
            case("landscape", [LANDSCAPE], "What is shown in this image?", FULL),
            case("portrait", [PORTRAIT], "Where is it?", PIXELS, conv_mode="llava_v1"),
            case("two_images", [ALPHA, WIDE], prompt="Human: <im_start><image><im_end> and <im_start><image><im_end>\nCompare.### Assistant:"),
            case("text_only", [], "How many shapes are there?"),
            case("float16", [LANDSCAPE], prompt="Human: <im_start><image><im_end>\nWhat?### Assistant:", dtype="float16"),
        ],
        "llava-projector-mlp2x": [
            case("landscape", [LANDSCAPE], prompt=USER, keep=HIDDEN, base="base-vicuna"),
            case("float16", [LANDSCAPE], prompt=USER, base="base-vicuna", dtype="float16"),
        ],
        "llava-projector-newline": [case("landscape", [LANDSCAPE], prompt=USER, base="llava-v1.6-unpad")],
        "llava-projector-startend": [
            case("landscape", [LANDSCAPE], "What is it?", HIDDEN, base="base-spare-rows", conv_mode="llava_v1"),
            case("short", [PORTRAIT], prompt="Human: <im_start><image><im_end>\nWhat?### Assistant:", base="base-spare-rows"),
        ],
        "llava-v1.5-lora-rslora": [
            case("merged", [LANDSCAPE], prompt=USER, keep=HIDDEN, base="base-vicuna"),
            case("merged_float16", [LANDSCAPE], prompt=USER, base="base-vicuna", dtype="float16"),
        ],
        "llava-v1.5-lora-patterns": [case("merged", [LANDSCAPE], prompt=USER, keep=HIDDEN, base="base-vicuna")],
        "llava-v1.5-lora-head": [case("merged", [LANDSCAPE], prompt=USER, keep=HIDDEN, base="base-vicuna")],
    },
}


class Loader:
    """Loads each checkpoint once per compute type."""

    def __init__(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.loaded = {}

    def __call__(self, model, spec):
        key = (model, spec["dtype"], spec["lora"])
        if key not in self.loaded:
            self.loaded.clear()
            base = MODELS / spec["base"] if "base" in spec else None
            self.loaded[key] = reference.open_reference(self._path(model), base, spec["dtype"], spec["lora"])
        return self.loaded[key]

    def _path(self, model):
        """What the library can read of a checkpoint: itself, or a copy with what it would miss."""
        adapter = MODELS / model / "adapter_model.safetensors"
        if adapter.exists():
            tensors = load_file(adapter)
            if any(".default." in key for key in tensors):
                plain = {key.replace(".default.", "."): value for key, value in tensors.items()}
                save_file(plain, self._copy(model) / adapter.name)
                return self._copy(model)
        if model == "hf-llava-old-files":
            # transformers 4.57 asks for this file; older versions did not know it.
            shutil.copy(MODELS / "hf-llava" / "processor_config.json", self._copy(model))
            return self._copy(model)
        return MODELS / model

    def _copy(self, model):
        folder = pathlib.Path(self.scratch.name) / model
        if not folder.exists():
            shutil.copytree(MODELS / model, folder)
        return folder


def reset_dynamic_rope(loaded):
    """transformers keeps the longest length that `dynamic` scaling has seen; every case starts anew."""
    for module in loaded.model.modules():
        if hasattr(module, "original_inv_freq"):
            module.inv_freq = module.original_inv_freq
            module.max_seq_len_cached = module.original_max_seq_len


def compute(loaded, model, spec, folder, tokens):
    reset_dynamic_rope(loaded)
    made = reference.Case(
        name=spec["name"],
        images=[IMAGES / image for image in spec["images"]],
        query=spec["query"],
        messages=spec.get("messages"),
        prompt=spec.get("prompt"),
        conv_mode=spec.get("conv_mode"),
        reply=spec.get("reply"),
        image_aspect_ratio=spec.get("image_aspect_ratio"),
        max_new_tokens=tokens,
    )
    keep = spec["keep"]
    options = reference.Options(layers=keep["layers"], without=frozenset(keep.get("without", ())))
    if "base" in spec:
        options.metadata["model_base"] = os.path.relpath(MODELS / spec["base"], BUNDLES / model)
    return reference.record(loaded, made, folder, options)


def write_bundle(load, model, spec):
    loaded, folder = load(model, spec), BUNDLES / model
    tensors, metadata = compute(loaded, model, spec, folder, spec["tokens"])
    margins = json.loads(metadata.get("margins", "[]"))
    unclear = next((step for step, margin in enumerate(margins) if margin < kClear), None)
    if unclear is not None and spec["dtype"] == "float32":
        assert unclear >= 3, f"{model}/{spec['name']}: unclear at step {unclear} ({margins[unclear]}): choose another question"
        tensors, metadata = compute(loaded, model, spec, folder, unclear)
    size = (folder / f"{spec['name']}.safetensors").stat().st_size
    print(f"{model}/{spec['name']}: {size} bytes, T {len(tensors['input_ids'])}, {metadata.get('text', '')!r}")


def check_bundle(load, model, spec):
    """Recomputes a bundle here and prints what differs most, relative to the tensor's magnitude."""
    with safe_open(BUNDLES / model / f"{spec['name']}.safetensors", "pt") as file:
        recorded = {key: file.get_tensor(key) for key in file.keys()}
        metadata = file.metadata()
    with tempfile.TemporaryDirectory() as scratch:
        tensors, _ = compute(load(model, spec), model, spec, pathlib.Path(scratch), int(metadata.get("max_new_tokens", 0)))
    worst, where = 0.0, "-"
    for key, value in recorded.items():
        other = tensors[key]
        if not value.is_floating_point():
            difference = 0.0 if torch.equal(value, other) else float("inf")
        else:
            difference = float((value - other).abs().max() / value.abs().max().clamp(min=1e-30))
        if difference > worst:
            worst, where = difference, key
    print(f"{model}/{spec['name']}: {worst:.2e} ({where}), recorded by {metadata['source']}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("environment", choices=list(CASES))
    parser.add_argument("--only", help="one checkpoint")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    os.chdir(MODELS)  # the original looks for towers relative to the current folder
    torch.set_num_threads(1)
    load = Loader()
    for environment, models in CASES.items():
        if (environment == arguments.environment) == arguments.check:
            continue
        for model, specs in models.items():
            if arguments.only and arguments.only != model:
                continue
            for spec in specs:
                if not arguments.check:
                    write_bundle(load, model, spec)
                    continue
                try:
                    check_bundle(load, model, spec)
                except Exception as error:  # what another library cannot compute is part of the report
                    print(f"{model}/{spec['name']}: not here: {type(error).__name__}: {str(error)[:100]}")


if __name__ == "__main__":
    main()
