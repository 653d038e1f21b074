#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times LibTorch on the cases of kernel_bench, in alternation with it, and prints a table of ratios.

  python bench/torch_ops.py --kernel-bench build/release/bin/kernel_bench --rounds 5

Each round of a case times LibTorch (through Python; the calls take far longer than the interpreter)
and then kernel_bench. A ratio is LibTorch's time over ours in the same round:
above 1 we are faster. Needs torch; nothing else of the project needs this script.

On a machine that is busy with other work, --cpu-time compares processor time of one thread instead
of wall time: others' work then disturbs only through caches and memory.
"""
import argparse
import json
import math
import os
import re
import statistics
import subprocess
import time

import torch
import torch.nn.functional as F

COLD_BYTES = 192 << 20
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}


def random(shape, dtype):
    return (torch.rand(shape, dtype=torch.float32) * 2 - 1).to(dtype)


def linear_case(shape, rows, dtype):
    outputs, inputs = map(int, shape.split("x"))
    x = random((rows, inputs), dtype)
    weights = [random((outputs, inputs), dtype)]
    while rows < 64 and len(weights) * weights[0].nbytes < COLD_BYTES:
        weights.append(weights[0].clone())
    state = {"next": 0}

    def run():
        state["next"] += 1
        return F.linear(x, weights[state["next"] % len(weights)])
    return run


def attention_case(kind, dtype):
    name, numbers = re.match(r"([a-z]+)([\dx]+)", kind).groups()
    tokens, heads, width = map(int, numbers.split("x"))
    if name == "decode":
        q = random((1, heads, 1, width), dtype)
        caches = [random((2, 1, heads, tokens + 1, width), dtype) for _ in range(8)]
        state = {"next": 0}

        def run():
            state["next"] += 1
            keys, values = caches[state["next"] % len(caches)]
            return F.scaled_dot_product_attention(q, keys, values)
        return run
    # The projections leave [T, H, E]; attention sees its transpose, as in the published model.
    q, k = (random((1, tokens, heads, width), dtype).transpose(1, 2) for _ in range(2))
    return lambda: F.scaled_dot_product_attention(q, k, k, is_causal=name == "prefill")


def rows_case(name, shape, dtype):
    rows, width = map(int, shape.split("x"))
    x, y = random((rows, width), dtype), random((rows, width), dtype)
    vector = y[0].clone()
    if name == "rms_norm":
        return lambda: F.rms_norm(x, (width,), vector, 1e-5)
    if name == "layer_norm":
        return lambda: F.layer_norm(x, (width,), vector, vector, 1e-5)
    if name == "silu_mul":
        return lambda: F.silu(x) * y
    if name == "gelu":
        return lambda: F.gelu(x)
    if name == "quick_gelu":
        return lambda: x * torch.sigmoid(1.702 * x)
    if name == "add":
        return lambda: x + y
    if name == "cast":
        return lambda: x.to(torch.bfloat16 if dtype == torch.float32 else torch.float32)
    if name == "concat_columns":
        return lambda: torch.cat((x, y), -1)
    if name == "rope":
        heads = x.view(rows, 32, 128)
        angles = y.reshape(-1, 128)[:rows].unsqueeze(1)
        return lambda: heads * angles + torch.cat((-heads[..., 64:], heads[..., :64]), -1) * angles
    if name == "gather_rows":
        index = torch.arange(rows - 1, -1, -1)
        return lambda: x.index_select(0, index)
    raise ValueError(name)


def make_case(name):
    parts = name.split("/")
    dtype = DTYPES[parts[-1]]
    if parts[0] == "linear":
        return linear_case(parts[1], int(parts[2].removeprefix("rows")), dtype)
    if parts[0] == "attention":
        return attention_case(parts[1], dtype)
    if parts[0] == "patch_embed":
        side, patch, width = map(int, parts[1].split("x"))
        pixels, weight = random((1, 3, side, side), dtype), random((width, 3, patch, patch), dtype)
        return lambda: F.conv2d(pixels, weight, stride=patch).flatten(2).transpose(1, 2)
    return rows_case(parts[0], parts[1], dtype)


def time_torch(run, args):
    clock = time.process_time if args.cpu_time else time.perf_counter
    count, begin = 0, clock()
    while count < 2 or clock() - begin < args.seconds:
        run()
        count += 1
    return (clock() - begin) / count * 1e6


def time_ours(name, args):
    output = subprocess.run(
        [args.kernel_bench, f"--benchmark_filter=^{re.escape(name)}/real_time$",
         f"--benchmark_min_time={args.seconds}", "--benchmark_format=json"],
        capture_output=True, text=True, check=True,
        env=os.environ | {"LLAVA_THREADS": str(args.threads)}).stdout
    result = json.loads(output)["benchmarks"][0]
    if result.get("error_occurred"):
        raise SystemExit(f"{name}: {result['error_message']}")
    return result["cpu_time" if args.cpu_time else "real_time"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kernel-bench", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.2, help="per case, side and round")
    parser.add_argument("--filter", default=".")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cpu-time", action="store_true", help="processor time of one thread")
    args = parser.parse_args()
    if args.cpu_time:
        args.threads = 1
    torch.set_num_threads(args.threads)
    torch.set_grad_enabled(False)
    listing = subprocess.run([args.kernel_bench, "--benchmark_list_tests"], capture_output=True,
                             text=True, check=True).stdout.split()
    names = [n.removesuffix("/real_time") for n in listing if re.search(args.filter, n)]
    print("| case | LibTorch, us (median) | native, us (median) | ratio min | median | max |")
    print("|---|---|---|---|---|---|")
    medians = []
    for name in names:
        run = make_case(name)
        time_torch(run, args)
        pairs = [(time_torch(run, args), time_ours(name, args)) for _ in range(args.rounds)]
        ratios = [theirs / ours for theirs, ours in pairs]
        medians.append(statistics.median(ratios))
        print(f"| {name} | {statistics.median(p[0] for p in pairs):.0f} | "
              f"{statistics.median(p[1] for p in pairs):.0f} | "
              f"{min(ratios):.2f} | {medians[-1]:.2f} | {max(ratios):.2f} |", flush=True)
    mean = math.exp(sum(map(math.log, medians)) / len(medians))
    print(f"\n{len(names)} cases: smallest median ratio {min(medians):.2f}, geometric mean {mean:.2f}.")


if __name__ == "__main__":
    main()
