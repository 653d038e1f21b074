# SPDX-License-Identifier: Apache-2.0
"""Random tensors of each part of a model, under published names. The part's name is the seed, so a
part that several checkpoints have in common is the same bytes."""
import math

import numpy as np
import torch


class Normal:
    """Normal numbers of one named part; the name is the seed."""

    def __init__(self, name):
        self.generator = np.random.Generator(np.random.PCG64(list(name.encode())))

    def tensor(self, *shape, std=1.0, mean=0.0):
        values = self.generator.standard_normal(shape, dtype=np.float32)
        return torch.from_numpy(values * np.float32(std) + np.float32(mean))

    def matrix(self, rows, columns, gain=1.0):
        return self.tensor(rows, columns, std=gain / math.sqrt(columns))


def decoder(name, shape):
    """Language-model tensors under the original's names."""
    normal = Normal(name)
    width, inner = shape["hidden_size"], shape["intermediate_size"]
    heads = shape["num_attention_heads"]
    head_dim = shape.get("head_dim") or width // heads
    kv_rows = shape["num_key_value_heads"] * head_dim
    out = {"model.embed_tokens.weight": normal.tensor(shape["vocab_size"], width, std=0.7)}
    for layer in range(shape["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        out[at + "input_layernorm.weight"] = normal.tensor(width, std=0.2, mean=1.0)
        for part, rows in [("q", heads * head_dim), ("k", kv_rows), ("v", kv_rows)]:
            out[at + f"self_attn.{part}_proj.weight"] = normal.matrix(rows, width, 1.4)
            if shape.get("qkv_bias"):
                out[at + f"self_attn.{part}_proj.bias"] = normal.tensor(rows, std=0.5)
        out[at + "self_attn.o_proj.weight"] = normal.matrix(width, heads * head_dim)
        if shape.get("o_bias"):
            out[at + "self_attn.o_proj.bias"] = normal.tensor(width, std=0.3)
        out[at + "post_attention_layernorm.weight"] = normal.tensor(width, std=0.2, mean=1.0)
        out[at + "mlp.gate_proj.weight"] = normal.matrix(inner, width)
        out[at + "mlp.up_proj.weight"] = normal.matrix(inner, width)
        out[at + "mlp.down_proj.weight"] = normal.matrix(width, inner)
    out["model.norm.weight"] = normal.tensor(width, std=0.2, mean=1.0)
    out["lm_head.weight"] = normal.matrix(shape["vocab_size"], width, 3.0)
    return out


def tower(name, shape):
    """CLIP vision tensors under the tower repository's names."""
    normal = Normal(name)
    width, inner, patch = shape["hidden_size"], shape["intermediate_size"], shape["patch_size"]
    positions = (shape["image_size"] // patch) ** 2 + 1
    out = {
        "embeddings.class_embedding": normal.tensor(width),
        "embeddings.patch_embedding.weight": normal.tensor(width, 3, patch, patch, std=1.5 / math.sqrt(3 * patch * patch)),
        "embeddings.position_embedding.weight": normal.tensor(positions, width, std=0.5),
    }
    for norm in ("pre_layrnorm", "post_layernorm"):
        out[norm + ".weight"] = normal.tensor(width, std=0.2, mean=1.0)
        out[norm + ".bias"] = normal.tensor(width, std=0.1)
    for layer in range(shape["num_hidden_layers"]):
        at = f"encoder.layers.{layer}."
        for norm in ("layer_norm1", "layer_norm2"):
            out[at + norm + ".weight"] = normal.tensor(width, std=0.2, mean=1.0)
            out[at + norm + ".bias"] = normal.tensor(width, std=0.1)
        for part in ("q", "k", "v", "out"):
            out[at + f"self_attn.{part}_proj.weight"] = normal.matrix(width, width, 1.2)
            out[at + f"self_attn.{part}_proj.bias"] = normal.tensor(width, std=0.2)
        out[at + "mlp.fc1.weight"] = normal.matrix(inner, width)
        out[at + "mlp.fc1.bias"] = normal.tensor(inner, std=0.2)
        out[at + "mlp.fc2.weight"] = normal.matrix(width, inner)
        out[at + "mlp.fc2.bias"] = normal.tensor(width, std=0.2)
    return {"vision_model." + key: value for key, value in out.items()}


def projector(name, kind, width, out_width):
    """Projector tensors under the original's names."""
    normal = Normal(name)
    if kind == "identity":
        return {}
    if kind == "linear":
        return {
            "model.mm_projector.weight": normal.matrix(out_width, width),
            "model.mm_projector.bias": normal.tensor(out_width, std=0.2),
        }
    out = {}
    for layer in range(int(kind.removeprefix("mlp").removesuffix("x_gelu"))):
        columns = width if layer == 0 else out_width
        out[f"model.mm_projector.{2 * layer}.weight"] = normal.matrix(out_width, columns, 1.2)
        out[f"model.mm_projector.{2 * layer}.bias"] = normal.tensor(out_width, std=0.2)
    return out


def newline(name, width):
    return {"model.image_newline": Normal(name).tensor(width, std=0.5)}


def cast(tensors, dtype):
    return {key: value.to(dtype).contiguous() for key, value in tensors.items()}
