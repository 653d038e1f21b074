# SPDX-License-Identifier: Apache-2.0
"""Writes codes.json: what a matrix becomes in 4 and 8 bits by the published formulas, computed here from them alone.

usage: make_codes.py     needs torch; where bitsandbytes is installed as well, its codes have to be the same
"""

import hashlib
import json
import pathlib

import torch

ROWS, COLUMNS = 4096, 64
NF4 = [-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
       -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
       0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0]
FP4 = [0.0, 0.0052083333333, 2 / 3, 1.0, 1 / 3, 0.5, 1 / 6, 0.25]


def matrix():
    """Numbers of either sign, small ones more often, that any program can make again."""
    i = torch.arange(ROWS * COLUMNS, dtype=torch.int64)
    u = (i * 2654435761 + 12345) % 2**32
    v = torch.where(u >= 2**31, u - 2**32, u).to(torch.float32) * 2.0**-31
    return (v * v * v).view(ROWS, COLUMNS)


def scale_map():
    entries = [0.0, 1.0]
    for i in range(7):
        bounds = torch.linspace(0.1, 1, 2**i + 1)
        middles = (bounds[:-1] + bounds[1:]) / 2 * 10.0 ** (i - 6)
        entries += middles.tolist() + (-middles).tolist()
    return torch.tensor(sorted(entries), dtype=torch.float32)


def nearest(values, levels):
    """Positions of the nearest levels, which rise."""
    thresholds = (levels[1:].double() + levels[:-1].double()) / 2
    return torch.bucketize(values.double(), thresholds)


def digest(tensor):
    return hashlib.sha256(bytes(tensor.flatten().tolist())).hexdigest()


def four_bits(values, kind):
    blocks = values.reshape(-1, 64)
    scales = blocks.abs().amax(1)
    scaled = blocks * (1 / scales)[:, None]
    if kind == "nf4":
        codes = nearest(scaled, torch.tensor(NF4))
    else:
        levels = torch.tensor(FP4, dtype=torch.float64)
        rising = levels.argsort()
        codes = rising[torch.bucketize(scaled.abs().double(), (levels[rising][1:] + levels[rising][:-1]) / 2)] + 8 * (scaled < 0)
    codes = codes.reshape(-1, 2)
    return (codes[:, 0] * 16 + codes[:, 1]).to(torch.uint8), scales


def nested(scales):
    offset = scales.double().mean().float()
    blocks = (scales - offset).reshape(-1, 256)
    maxima = blocks.abs().amax(1)
    return nearest(blocks * (1 / maxima)[:, None], scale_map()).to(torch.uint8), maxima, offset


def compare_with_bitsandbytes(values, result):
    try:
        import bitsandbytes.functional as bnb
    except ImportError:
        print("bitsandbytes is not installed: nothing to compare with")
        return
    assert torch.equal(bnb.create_dynamic_map(), scale_map())
    for kind in ("nf4", "fp4"):
        codes, state = bnb.quantize_4bit(values, blocksize=64, quant_type=kind, compress_statistics=False)
        ours, scales = result[kind]
        differing = int((codes.flatten() != ours).sum())
        print(kind, "differing bytes", differing, "scales", float((state.absmax - scales).abs().max()))
        codes, state = bnb.quantize_4bit(values, blocksize=64, quant_type=kind, compress_statistics=True)
        scale_codes, maxima, offset = nested(scales)
        print("  nested: differing codes", int((state.absmax.flatten() != scale_codes.flatten()).sum()),
              "maxima", float((state.state2.absmax - maxima).abs().max()), "offset", float((state.offset - offset).abs()))


def main():
    values = matrix()
    result = {kind: four_bits(values, kind) for kind in ("nf4", "fp4")}
    compare_with_bitsandbytes(values, result)
    written = {"map_sum_of_magnitudes": float(scale_map().double().abs().sum())}
    for kind, (codes, scales) in result.items():
        scale_codes, maxima, offset = nested(scales)
        written[kind] = {"codes_sha256": digest(codes), "first_codes": codes[:16].tolist(), "scales_sum": float(scales.double().sum()),
                         "first_scales": scales[:8].tolist(), "scale_codes_sha256": digest(scale_codes),
                         "first_scale_codes": scale_codes.flatten()[:16].tolist(), "maxima": maxima.tolist(), "offset": float(offset)}
    scales = values.abs().amax(1)
    codes = (values * (127.0 / scales)[:, None]).round().to(torch.int64) % 256
    written["int8"] = {"codes_sha256": digest(codes), "first_codes": codes.flatten()[:16].tolist(), "scales_sum": float(scales.double().sum())}
    (pathlib.Path(__file__).parent / "codes.json").write_text(json.dumps(written, indent=1) + "\n")


if __name__ == "__main__":
    main()
