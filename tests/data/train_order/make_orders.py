#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes orders.json: the order of samples that the published training stack makes.

Ran with torch 2.13.0, transformers 4.37.2, accelerate 0.21.0 and llava-torch 1.2.2.post1, on a CPU.
The samplers, the cut into batches and the share of each rank are those packages' own code; a rank of several is the
process it would be, one after another: its global generator seeded, its sampler's generator fresh.

usage: make_orders.py [OUT]
"""

import json
import pathlib
import random
import sys

import torch
from accelerate.data_loader import BatchSamplerShard
from llava.train.llava_trainer import LengthGroupedSampler as ModalitySampler
from torch.utils.data import BatchSampler, DataLoader, RandomSampler
from transformers.trainer_pt_utils import LengthGroupedSampler

SPEC_LENGTHS = [12, -7, 30, 5, -20, 18, 9, -3, 25, 14, -11, 40, 8, 6, -16, 21, 33, 2, -9, 17]


def generator_cases():
    for seed in (0, 42, 67280421310721, 2**63 - 1):
        generator = torch.Generator().manual_seed(seed)
        draw = torch.empty((), dtype=torch.int64)
        yield {"seed": seed,
               "seeds": [draw.random_(generator=generator).item() for _ in range(3)],
               "permutations": [torch.randperm(n, generator=generator).tolist() for n in (10, 1, 0, 2, 700, 10)],
               "last": draw.random_(generator=generator).item()}


def sampler_of(case, generator):
    lengths, batch, world, accumulation = case["lengths"], case["batch"], case["world"], case["accumulation"]
    if case["grouping"] == "none":
        return RandomSampler(range(case["samples"]), generator=generator)
    if case["grouping"] == "modality":
        return ModalitySampler(batch, world_size=world * accumulation, lengths=lengths, generator=generator,
                               group_by_modality=True)
    return LengthGroupedSampler(batch * accumulation, lengths=lengths, generator=generator)


def epochs(case, rank):
    """What one rank sees: epochs of batches."""
    torch.manual_seed(case["seed"])
    generator = torch.Generator() if case["world"] > 1 else None
    batches = BatchSampler(sampler_of(case, generator), case["batch"], case["drop_last"])
    if case["world"] > 1:
        batches = BatchSamplerShard(batches, case["world"], rank)
    loader = DataLoader(range(case["samples"]), batch_sampler=batches, collate_fn=list)
    return [[batch for batch in loader] for _ in range(3)]


def order_cases():
    chance = random.Random(7)
    mixes = [("spec", SPEC_LENGTHS), ("pictures", [abs(length) for length in SPEC_LENGTHS]),
             ("texts", [-abs(length) for length in SPEC_LENGTHS]),
             ("mixed", [chance.choice((1, -1)) * chance.randint(1, 9) for _ in range(61)])]
    for grouping in ("none", "modality", "length"):
        for name, lengths in mixes:
            if grouping == "length":
                lengths = [abs(length) for length in lengths]
            for batch, world, accumulation, drop_last in ((2, 1, 1, 0), (2, 1, 2, 0), (2, 2, 1, 0), (2, 2, 2, 0), (4, 3, 1, 0),
                                                          (3, 4, 1, 0), (3, 1, 1, 1), (2, 4, 2, 1), (5, 8, 1, 0), (16, 2, 1, 0)):
                if grouping == "none" and (name not in ("spec", "mixed") or accumulation > 1):
                    continue
                case = {"name": name, "grouping": grouping, "seed": 42 if name != "mixed" else 3, "samples": len(lengths),
                        "lengths": lengths, "batch": batch, "world": world, "accumulation": accumulation,
                        "drop_last": bool(drop_last)}
                yield case | {"ranks": [epochs(case, rank) for rank in range(world)]}


def main():
    out = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).with_name("orders.json"))
    cases = {"generators": list(generator_cases()), "orders": list(order_cases())}
    lines = ['{"generators": [', ",\n".join(json.dumps(case) for case in cases["generators"]), '], "orders": [',
             ",\n".join(json.dumps(case) for case in cases["orders"]), "]}\n"]
    out.write_text("\n".join(lines))
    print(f"{out.name}: {len(cases['orders'])} orders")


if __name__ == "__main__":
    main()
