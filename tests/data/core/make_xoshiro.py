#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints the expectations of tests/llava/core/random_test.cc.

Transcribes the authors' definitions (Blackman and Vigna, arXiv:1805.01407): splitmix64 fills the
state of xoshiro256**. Checked here against the published outputs for splitmix64 from 1234567 and
for xoshiro256** from the state 1, 2, 3, 4.
"""
MASK = (1 << 64) - 1


def rotl(x, k):
    return ((x << k) | (x >> (64 - k))) & MASK


def splitmix64(seed):
    while True:
        seed = (seed + 0x9E3779B97F4A7C15) & MASK
        z = seed
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        yield z ^ (z >> 31)


def xoshiro256starstar(state):
    s = list(state)
    while True:
        yield (rotl((s[1] * 5) & MASK, 7) * 9) & MASK
        t = (s[1] << 17) & MASK
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = rotl(s[3], 45)


def first(generator, count):
    return [next(generator) for _ in range(count)]


assert first(splitmix64(1234567), 3) == [6457827717110365317, 3203168211198807973, 9817491932198370423]
assert first(xoshiro256starstar([1, 2, 3, 4]), 4) == [11520, 0, 1509978240, 1215971899390074240]
for seed in (0, 42, MASK):
    outputs = first(xoshiro256starstar(first(splitmix64(seed), 4)), 5)
    print(seed, ", ".join(f"0x{value:016X}u" for value in outputs))
