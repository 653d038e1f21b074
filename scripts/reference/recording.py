# SPDX-License-Identifier: Apache-2.0
"""Computing a case and writing its bundle."""
import dataclasses
import json
import os
import pathlib

import torch

from reference.case import DTYPES

FORMAT = "llava-reference/1"
GREEDY = {
    "do_sample": False,
    "num_beams": 1,
    "repetition_penalty": 1.0,
    "temperature": None,
    "top_p": None,
    "top_k": None,
}


@dataclasses.dataclass
class Options:
    """What of a case is kept. `layers` is "all", or a list of decoder hidden states, where negative
    numbers count from the end; `logits` is how many of the last positions are kept."""

    layers: object = "all"
    logits: int = 2
    without: frozenset = frozenset()
    metadata: dict = dataclasses.field(default_factory=dict)


def continue_greedily(reference, encoded, max_new_tokens):
    """New ids, the end token included, and each step's best minus second-best logit."""
    out, skipped = reference.generate(encoded, max_new_tokens=max_new_tokens, **GREEDY)
    ids = out.sequences[0, skipped:]
    best = [score[0].float().topk(2).values for score in out.scores]
    return ids, [round(float(top[0] - top[1]), 5) for top in best[: len(ids)]]


@torch.inference_mode()
def record(reference, case, folder, options=Options()):
    """Computes a case and writes `folder`/<case.name>.safetensors; returns tensors and metadata."""
    folder = pathlib.Path(folder)
    encoded = reference.encode(case)
    tensors = {"input_ids": encoded.input_ids}
    metadata = {
        "format": FORMAT,
        "source": reference.source,
        "dtype": next(name for name, dtype in DTYPES.items() if dtype == reference.dtype),
        "prompt": encoded.prompt,
        **encoded.metadata,
        **options.metadata,
    }
    if reference.lora is not None:
        metadata.setdefault("lora", reference.lora)
    if case.images:
        metadata["images"] = json.dumps([os.path.relpath(path, folder) for path in case.images])
        tensors["pixel_values"] = encoded.pixel_values
        if "vision_hidden" not in options.without:
            for index, state in enumerate(reference.vision_hidden(encoded)):
                tensors[f"vision_hidden.{index}"] = state
    out = reference.forward(encoded)
    if out.image_features is not None:
        tensors["image_features"] = out.image_features
    tensors["inputs_embeds"] = out.inputs_embeds
    count = len(out.hidden)
    wanted = range(1, count) if options.layers == "all" else sorted({index % count for index in options.layers})
    for index in wanted:
        tensors[f"hidden.{index}"] = out.hidden[index]
    tensors["logits"] = out.logits[-min(options.logits, len(out.logits)) :]
    if case.reply is not None:
        tensors["labels"] = encoded.labels
        tensors["loss"] = out.loss
    elif case.max_new_tokens > 0:
        tensors["generated_ids"], margins = continue_greedily(reference, encoded, case.max_new_tokens)
        metadata["max_new_tokens"] = str(case.max_new_tokens)
        metadata["margins"] = json.dumps(margins)
        metadata["text"] = reference.tokenizer.decode(tensors["generated_ids"], skip_special_tokens=True)
    tensors = {
        name: (tensor.float() if tensor.is_floating_point() else tensor.long()).cpu().contiguous().clone()
        for name, tensor in tensors.items()
        if name not in options.without
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_bundle(folder / f"{case.name}.safetensors", tensors, metadata)
    return tensors, metadata


def write_bundle(path, tensors, metadata):
    """A safetensors file with everything in a fixed order, so that the same case is the same bytes."""
    header, data = {"__metadata__": dict(sorted(metadata.items()))}, b""
    for name, tensor in sorted(tensors.items()):
        raw = tensor.numpy().tobytes()
        kind = "F32" if tensor.is_floating_point() else "I64"
        header[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
