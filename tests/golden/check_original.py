#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Recomputes the stages of the original package's bundles with transformers, as a second opinion.

    check_original.py        with transformers 4.57 or 5.23

For each bundle of a whole checkpoint: the tower over the recorded pixels, the language model over the
recorded embeddings. Only configuration keys and tensor names are translated; no code is shared with
the original. Prints the largest difference relative to each tensor's magnitude.
"""
import json
import pathlib
import sys

import torch
import transformers
from safetensors import safe_open
from safetensors.torch import load_file

HERE = pathlib.Path(__file__).resolve().parent
MODELS, BUNDLES = HERE / "models", HERE / "bundles"
TOWER = "model.vision_tower.vision_tower."


def read_weights(folder):
    tensors = {}
    for file in sorted(folder.glob("*.safetensors")):
        tensors.update(load_file(file))
    for file in sorted(folder.glob("pytorch_model*.bin")):
        tensors.update(torch.load(file, weights_only=True))
    return {key: value.float() for key, value in tensors.items()}


def language_model(config, tensors):
    kind = "mistral" if "mistral" in config["model_type"] else "llama"
    keys = {key: value for key, value in config.items() if not key.startswith(("mm_", "image_", "model_type", "torch_dtype"))}
    model_config = transformers.AutoConfig.for_model(kind, **keys)
    model = transformers.AutoModelForCausalLM.from_config(model_config).eval()
    names = set(model.state_dict())
    model.load_state_dict({key: value for key, value in tensors.items() if key in names})
    return model


def difference(recorded, ours):
    return float((recorded - ours[-len(recorded) :]).abs().max() / recorded.abs().max())


def check(bundle, config, tensors, model):
    with safe_open(bundle, "pt") as file:
        recorded = {key: file.get_tensor(key) for key in file.keys()}
        if file.metadata()["dtype"] != "float32":
            return None
    worst = {}
    with torch.inference_mode():
        if "vision_hidden.0" in recorded:
            tower = transformers.CLIPVisionModel.from_pretrained(MODELS / config["mm_vision_tower"]).float().eval()
            inside = {key.removeprefix(TOWER): value for key, value in tensors.items() if key.startswith(TOWER)}
            if inside:
                if not any(key.startswith("vision_model.") for key in tower.state_dict()):
                    inside = {key.removeprefix("vision_model."): value for key, value in inside.items()}
                tower.load_state_dict(inside)
            states = tower(recorded["pixel_values"], output_hidden_states=True).hidden_states
            for index, state in enumerate(states):
                key = f"vision_hidden.{index}"
                worst[key] = float((recorded[key] - state).abs().max() / recorded[key].abs().max())
        if "inputs_embeds" in recorded:
            out = model(inputs_embeds=recorded["inputs_embeds"][None], output_hidden_states=True)
            for index, state in enumerate(out.hidden_states):
                if f"hidden.{index}" in recorded:
                    worst[f"hidden.{index}"] = difference(recorded[f"hidden.{index}"], state[0])
            worst["logits"] = difference(recorded["logits"], out.logits[0])
    return worst


def main():
    transformers.logging.set_verbosity_error()
    print(f"transformers {transformers.__version__}", file=sys.stderr)
    for folder in sorted(BUNDLES.iterdir()):
        config_file = MODELS / folder.name / "config.json"
        weights = read_weights(MODELS / folder.name)
        config = json.loads(config_file.read_text())
        if "text_config" in config or "model.embed_tokens.weight" not in weights:
            continue
        for bundle in sorted(folder.glob("*.safetensors")):
            # A fresh model each time: dynamic rotary scaling remembers lengths.
            worst = check(bundle, config, weights, language_model(config, weights))
            if worst:
                print(f"{folder.name}/{bundle.stem}: " + ", ".join(f"{key} {value:.1e}" for key, value in worst.items()))


if __name__ == "__main__":
    main()
