#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the files of this folder with torch.save, for the writer's test to equal byte for byte.

    python3 make_torch_written.py

Ran with torch 2.13. order.json lists the names of each file in the order they were given.
"""
import json
from pathlib import Path

import torch

HERE = Path(__file__).resolve().parent


def main():
    values = torch.randn(6, 5, generator=torch.Generator().manual_seed(7))
    names = ["float32", "float16", "bfloat16", "float64", "int64", "int32", "int16", "int8", "uint8"]
    every = {f"model.{name}.weight": (values * 100).abs().to(getattr(torch, name)) for name in names}
    every["model.bool"] = values > 0
    every["model.scalar"] = torch.tensor(2.5)
    every["model.empty"] = torch.zeros(0, 3)
    every["model.patch_embedding"] = torch.arange(2 * 3 * 4 * 4, dtype=torch.float32).reshape(2, 3, 4, 4)
    every["model.row"] = torch.arange(300, dtype=torch.int16).reshape(1, 300)
    # Sizes of every width that a pickle has for integers, without the bytes.
    every["model.wide"] = torch.zeros(0, 70000, 2**31, 255)
    every["model.cube"] = torch.ones(2, 3, 4)
    every["lm_head.weight"] = every["model.float32.weight"]
    one = torch.arange(5, dtype=torch.int64)
    files = {
        "every_type": every,
        "projector": {"model.mm_projector.0.weight": values.to(torch.bfloat16)},
        "many": {f"name.{i}": one for i in range(1001)},
        "nothing": {},
    }
    for stem, tensors in files.items():
        torch.save(tensors, HERE / f"{stem}.bin")
    order = {f"{stem}.bin": list(tensors) for stem, tensors in files.items()}
    (HERE / "order.json").write_text(json.dumps(order, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
