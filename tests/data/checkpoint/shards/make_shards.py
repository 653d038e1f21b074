#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes expected.json: how transformers splits weights into shards, and the index it writes.

    python3 make_shards.py

Ran with transformers 4.37.2 and torch 2.13 (`shard_checkpoint`, "5GB" given as a number of bytes).
"""
import json
from pathlib import Path

import torch
from transformers.modeling_utils import shard_checkpoint

HERE = Path(__file__).resolve().parent
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16, "int64": torch.int64}


def weights():
    result = [("model.embed_tokens.weight", [40, 8], "float16")]
    for layer in range(12):
        prefix = f"model.layers.{layer}"
        result += [
            (f"{prefix}.self_attn.q_proj.weight", [8, 8], "float16"),
            (f"{prefix}.mlp.up_proj.weight", [20, 8], "bfloat16"),
            (f"{prefix}.input_layernorm.weight", [8], "float32"),
        ]
    return result + [("model.ids", [3], "int64"), ("lm_head.weight", [40, 8], "float16")]


def main():
    cases = []
    for limit in [100, 640, 641, 1000, 2000, 10000, 5 * 10**9]:
        state = {name: torch.zeros(shape, dtype=DTYPES[dtype]) for name, shape, dtype in weights()}
        shards, index = shard_checkpoint(state, max_shard_size=limit, weights_name="model.safetensors")
        text = json.dumps(index, indent=2, sort_keys=True) + "\n" if index is not None else ""
        cases.append({"max_shard_bytes": limit, "shards": {f: list(t) for f, t in shards.items()}, "index": text})
    expected = {"weights": [list(w) for w in weights()], "cases": cases}
    (HERE / "expected.json").write_text(json.dumps(expected, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
