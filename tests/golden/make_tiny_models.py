#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the tiny checkpoints of tests/golden/models and the pictures of tests/golden/images.

    make_tiny_models.py              all but the next (transformers 4.57)
    make_tiny_models.py --resave5    the folders that transformers 5 writes (transformers 5.23)

Everything is random with a fixed seed per part. What each checkpoint is for stands beside its code
in tiny/ and in README.md; make_bundles.py computes the reference bundles.
"""
import argparse

from tiny import hf, original, over_bases, pictures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resave5", action="store_true")
    if parser.parse_args().resave5:
        hf.resave_with_transformers5()
        return
    pictures.write_pictures()
    original.write_towers()
    original.write_original_models()
    over_bases.write_bases()
    over_bases.write_projector_only()
    over_bases.write_lora()
    hf.write_hf_models()


if __name__ == "__main__":
    main()
