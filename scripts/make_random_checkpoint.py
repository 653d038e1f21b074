#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a checkpoint of a published shape with random weights, to load and time at full size.

    scripts/make_random_checkpoint.py OUT --shape llava-1.5-7b --tokenizer FOLDER

OUT receives a checkpoint in the original layout (bfloat16 safetensors shards with an index) and, beside its weights,
the folder of its CLIP vision tower (float32). The answers are nonsense. FOLDER is any folder with a tokenizer.model.
Needs nothing but Python 3.
"""

import argparse
import json
import random
import shutil
import struct
from pathlib import Path

SHAPES = {
    "llava-1.5-7b": dict(hidden=4096, ffn=11008, layers=32, heads=32, kv_heads=32, vocab=32000),
    "llava-1.5-13b": dict(hidden=5120, ffn=13824, layers=40, heads=40, kv_heads=40, vocab=32000),
    "small": dict(hidden=512, ffn=1376, layers=4, heads=8, kv_heads=8, vocab=32000),
}
TOWER = dict(hidden=1024, ffn=4096, layers=24, heads=16, image=336, patch=14)
SHARD_BYTES = 5_000_000_000
BLOCK = 1 << 22


class RandomNumbers:
    """Numbers of a trained weight's size: either sign, magnitude between 2^-7 and 2^-5."""

    def __init__(self, seed, dtype):
        generator = random.Random(seed)
        high = bytes(0x3C | (value & 0x80) for value in range(256))
        size = {"BF16": 2, "F32": 4}[dtype]
        self.block = bytearray(BLOCK)
        for place in range(size - 1):
            self.block[place::size] = generator.randbytes(BLOCK // size)
        self.block[size - 1 :: size] = generator.randbytes(BLOCK // size).translate(high)
        self.block = bytes(self.block)
        self.one = struct.pack("<f", 1.0)[-size:]
        self.size = size

    def write(self, file, count, is_norm):
        left = count * self.size
        block = self.one * (BLOCK // self.size) if is_norm else self.block
        while left > 0:
            part = min(left, BLOCK)
            file.write(block[:part])
            left -= part


def decoder_tensors(s):
    head = s["hidden"] // s["heads"]
    yield "model.embed_tokens.weight", [s["vocab"], s["hidden"]]
    for layer in range(s["layers"]):
        p = f"model.layers.{layer}."
        yield p + "input_layernorm.weight", [s["hidden"]]
        yield p + "self_attn.q_proj.weight", [s["heads"] * head, s["hidden"]]
        yield p + "self_attn.k_proj.weight", [s["kv_heads"] * head, s["hidden"]]
        yield p + "self_attn.v_proj.weight", [s["kv_heads"] * head, s["hidden"]]
        yield p + "self_attn.o_proj.weight", [s["hidden"], s["heads"] * head]
        yield p + "post_attention_layernorm.weight", [s["hidden"]]
        yield p + "mlp.gate_proj.weight", [s["ffn"], s["hidden"]]
        yield p + "mlp.up_proj.weight", [s["ffn"], s["hidden"]]
        yield p + "mlp.down_proj.weight", [s["hidden"], s["ffn"]]
    yield "model.norm.weight", [s["hidden"]]
    yield "lm_head.weight", [s["vocab"], s["hidden"]]
    for index, inputs in ((0, TOWER["hidden"]), (2, s["hidden"])):
        yield f"model.mm_projector.{index}.weight", [s["hidden"], inputs]
        yield f"model.mm_projector.{index}.bias", [s["hidden"]]


def tower_tensors():
    width, ffn, patch = TOWER["hidden"], TOWER["ffn"], TOWER["patch"]
    p = "vision_model."
    yield p + "embeddings.class_embedding", [width]
    yield p + "embeddings.patch_embedding.weight", [width, 3, patch, patch]
    yield p + "embeddings.position_embedding.weight", [(TOWER["image"] // patch) ** 2 + 1, width]
    for norm in ("pre_layrnorm", "post_layernorm"):
        yield p + norm + ".weight", [width]
        yield p + norm + ".bias", [width]
    for layer in range(TOWER["layers"]):
        q = f"{p}encoder.layers.{layer}."
        for norm in ("layer_norm1", "layer_norm2"):
            yield q + norm + ".weight", [width]
            yield q + norm + ".bias", [width]
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            yield f"{q}self_attn.{name}.weight", [width, width]
            yield f"{q}self_attn.{name}.bias", [width]
        yield q + "mlp.fc1.weight", [ffn, width]
        yield q + "mlp.fc1.bias", [ffn]
        yield q + "mlp.fc2.weight", [width, ffn]
        yield q + "mlp.fc2.bias", [width]


def elements(shape):
    count = 1
    for size in shape:
        count *= size
    return count


def write_safetensors(path, tensors, dtype, seed):
    numbers = RandomNumbers(seed, dtype)
    header, offset = {}, 0
    for name, shape in tensors:
        end = offset + elements(shape) * numbers.size
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 64)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, shape in tensors:
            numbers.write(file, elements(shape), "norm" in name and name.endswith("weight"))
    return offset


def shards_of(tensors):
    shard, size = [], 0
    for name, shape in tensors:
        bytes_needed = 2 * elements(shape)
        if shard and size + bytes_needed > SHARD_BYTES:
            yield shard
            shard, size = [], 0
        shard.append((name, shape))
        size += bytes_needed
    yield shard


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n")


def write_tower(folder):
    folder.mkdir(parents=True, exist_ok=True)
    write_safetensors(folder / "model.safetensors", list(tower_tensors()), "F32", seed=1)
    write_json(folder / "config.json", {
        "architectures": ["CLIPVisionModel"], "model_type": "clip_vision_model", "hidden_size": TOWER["hidden"],
        "intermediate_size": TOWER["ffn"], "num_hidden_layers": TOWER["layers"], "num_attention_heads": TOWER["heads"],
        "image_size": TOWER["image"], "patch_size": TOWER["patch"], "projection_dim": 768})
    write_json(folder / "preprocessor_config.json", {
        "crop_size": TOWER["image"], "do_center_crop": True, "do_normalize": True, "do_resize": True,
        "feature_extractor_type": "CLIPFeatureExtractor", "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711], "resample": 3, "size": TOWER["image"]})


def write_checkpoint(folder, shape_name, tokenizer):
    s = SHAPES[shape_name]
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", {
        "architectures": ["LlavaLlamaForCausalLM"], "model_type": "llava_llama", "hidden_size": s["hidden"],
        "intermediate_size": s["ffn"], "num_hidden_layers": s["layers"], "num_attention_heads": s["heads"],
        "num_key_value_heads": s["kv_heads"], "vocab_size": s["vocab"], "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-5, "hidden_act": "silu", "tie_word_embeddings": False, "torch_dtype": "bfloat16",
        "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "mm_vision_tower": "clip-vit-large-patch14-336",
        "mm_hidden_size": TOWER["hidden"], "mm_projector_type": "mlp2x_gelu", "mm_vision_select_layer": -2,
        "mm_vision_select_feature": "patch", "mm_use_im_start_end": False, "mm_use_im_patch_token": False,
        "image_aspect_ratio": "pad"})
    for name in ("tokenizer.model", "tokenizer_config.json", "special_tokens_map.json"):
        if (tokenizer / name).exists():
            shutil.copy(tokenizer / name, folder / name)
    shards = list(shards_of(decoder_tensors(s)))
    weight_map, total = {}, 0
    for number, shard in enumerate(shards, 1):
        name = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        print(f"writing {name}", flush=True)
        total += write_safetensors(folder / name, shard, "BF16", seed=number)
        weight_map.update({tensor: name for tensor, _ in shard})
    write_json(folder / "model.safetensors.index.json",
               {"metadata": {"total_size": total}, "weight_map": weight_map})
    write_tower(folder / "clip-vit-large-patch14-336")
    print(f"{total / 1e9:.2f} GB of weights in {folder}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--shape", choices=sorted(SHAPES), default="llava-1.5-7b")
    parser.add_argument("--tokenizer", type=Path, required=True, help="folder with a tokenizer.model")
    arguments = parser.parse_args()
    if not (arguments.tokenizer / "tokenizer.model").exists():
        parser.error(f"{arguments.tokenizer} has no tokenizer.model")
    write_checkpoint(arguments.out, arguments.shape, arguments.tokenizer)


if __name__ == "__main__":
    main()
