# SPDX-License-Identifier: Apache-2.0
"""Records what the published software computes; scripts/make_reference.py is its command line."""
import importlib.util
import json
import pathlib

from reference.adapter import AdapterReference
from reference.case import DTYPES, Case, UsageError
from reference.hugging_face import HfReference
from reference.original import OriginalReference, infer_conv_mode
from reference.recording import GREEDY, Options, record

__all__ = ["DTYPES", "GREEDY", "Case", "Options", "UsageError", "infer_conv_mode", "open_reference", "record"]


def open_reference(model_path, model_base=None, dtype="float32", lora=None, model_name=None):
    """Loads a checkpoint with the software that its contents call for (scripts/make_reference.py says which)."""
    path = pathlib.Path(model_path)
    if not (path / "config.json").exists():
        raise UsageError(f"{path}: no config.json; --model-path is a checkpoint folder")
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    if "text_config" in config:
        return HfReference(path, dtype)
    adapter = (path / "adapter_config.json").exists()
    if (adapter or (path / "mm_projector.bin").exists()) and model_base is None:
        raise UsageError(f"{path} holds only an adapter or a projector: give --model-base")
    if importlib.util.find_spec("llava") is not None and lora != "unmerged":
        return OriginalReference(path, model_base, dtype, model_name)
    if model_base is None:
        raise UsageError(f"{path} is in the original layout: run this where the `llava` package is installed")
    if lora == "merged":
        raise UsageError("--lora merged is the original package's rule: run this where `llava` is installed")
    return AdapterReference(path, model_base, dtype)
