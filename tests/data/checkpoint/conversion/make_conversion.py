#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes expected.json: what the original's conversion programs make of golden checkpoints.

    python3 make_conversion.py

Needs llava-torch 1.2.2.post1 with transformers 4.37.2 and peft 0.10.0; ran with torch 2.13. For every conversion
expected.json has type, shape and SHA-256 of the bytes of each tensor that the original writes, and the keys of
config.json that matter. merge_lora_weights.py and extract_mm_projector.py are not in the package; they consist of the
calls made here.
"""
import hashlib
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", CUDA_VISIBLE_DEVICES="")
HERE = Path(__file__).resolve().parent
MODELS = HERE.parents[2] / "golden" / "models"

import torch  # noqa: E402
from llava.model.apply_delta import apply_delta  # noqa: E402
from llava.model.builder import load_pretrained_model  # noqa: E402
from llava.model.consolidate import consolidate_ckpt  # noqa: E402
from llava.model.make_delta import make_delta  # noqa: E402
from safetensors import safe_open  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

CONFIG_KEYS = ["architectures", "torch_dtype", "vocab_size", "tie_word_embeddings"]
MERGES = [
    ("llava-v1.5-lora-rslora", "base-vicuna"),
    ("llava-v1.5-lora-patterns", "base-vicuna"),
    ("llava-v1.6-lora", "llava-v1.6-tower-inside"),
    ("llava-projector-mlp2x", "base-vicuna"),
    ("llava-projector-startend", "base-spare-rows"),
]
WHOLE = ["llava-7b-legacy", "llava-v1.6-mistral", "llava-v1.6-tower-inside"]


def describe(folder):
    tensors = {}
    for file in sorted(Path(folder).glob("*.safetensors")):
        with safe_open(file, framework="pt") as opened:
            for name in opened.keys():
                tensor = opened.get_tensor(name).contiguous()
                raw = bytes(tensor.reshape(-1).view(torch.uint8).numpy())
                tensors[name] = [str(tensor.dtype).removeprefix("torch."), list(tensor.shape), hashlib.sha256(raw).hexdigest()]
    config = json.loads((Path(folder) / "config.json").read_text())
    return {"tensors": tensors, "config": {key: config.get(key) for key in CONFIG_KEYS}}


def name_as_peft(file):
    # Some training programs leave the adapter's name in the keys; PEFT 0.10 then loads nothing, without a word.
    if file.exists():
        tensors = load_file(file)
        file.unlink()
        save_file({key.replace(".default.weight", ".weight"): value for key, value in tensors.items()}, file)


def merge(adapter, base, output):
    # The original loads adapters by the folder's name, and the tower from beside the current folder.
    tokenizer, merged, _, _ = load_pretrained_model(str(adapter), base, adapter.name, device_map="cpu", device="cpu")
    merged.save_pretrained(output)
    tokenizer.save_pretrained(output)


def copy_for_original(model, folder):
    # transformers 4.37 takes the older model_type, "llava", for its own LLaVA.
    shutil.copytree(model, folder)
    config = json.loads((folder / "config.json").read_text())
    if config["model_type"] == "llava":
        (folder / "config.json").write_text(json.dumps(config | {"model_type": "llava_llama"}))


def main():
    torch.set_num_threads(1)
    os.chdir(MODELS)
    expected = {"merge": {}}
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        for model, base in MERGES:
            adapter = scratch / "adapters" / model
            shutil.copytree(model, adapter)
            name_as_peft(adapter / "adapter_model.safetensors")
            merge(adapter, base, scratch / model)
            expected["merge"][model] = {"base": base, **describe(scratch / model)}
        for model in WHOLE:
            copy_for_original(model, scratch / model)
        make_delta("base-vicuna", str(scratch / "llava-7b-legacy"), str(scratch / "llava-7b-delta"), None)
        expected["make_delta"] = describe(scratch / "llava-7b-delta")
        apply_delta("base-vicuna", str(scratch / "llava-7b-again"), str(scratch / "llava-7b-delta"))
        expected["apply_delta"] = describe(scratch / "llava-7b-again")
        for model in WHOLE:
            consolidate_ckpt(str(scratch / model), str(scratch / "consolidated" / model))
            expected.setdefault("consolidate", {})[model] = describe(scratch / "consolidated" / model)
    (HERE / "expected.json").write_text(json.dumps(expected, separators=(",", ":"), sort_keys=True) + "\n")


if __name__ == "__main__":
    sys.exit(main())
