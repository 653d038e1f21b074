# SPDX-License-Identifier: Apache-2.0
"""Which versions compute, and what they call things."""
from importlib import metadata


def transformers_version():
    import transformers

    return tuple(int(part) for part in transformers.__version__.split(".")[:2])


def dtype_argument(dtype):
    return {"dtype" if transformers_version() >= (4, 56) else "torch_dtype": dtype}


def package_version(names):
    for name in names:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return "unknown"
