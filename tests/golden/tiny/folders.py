# SPDX-License-Identifier: Apache-2.0
"""Checkpoint folders and their files."""
import json
import pathlib
import shutil

from safetensors.torch import save_file


HERE = pathlib.Path(__file__).resolve().parent.parent
MODELS = HERE / "models"
IMAGES = HERE / "images"


def write_json(path, value):
    path.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def edit_json(path, edit):
    value = json.loads(path.read_text(encoding="utf-8"))
    edit(value)
    write_json(path, value)


def new_folder(name):
    folder = MODELS / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def copy_folder(source, name):
    folder = MODELS / name
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(MODELS / source, folder)
    return folder


def write_safetensors(path, tensors):
    save_file(tensors, str(path), metadata={"format": "pt"})


def write_shards(folder, shards):
    """`model-0000i-of-0000n.safetensors` with its index."""
    weight_map, total = {}, 0
    for number, tensors in enumerate(shards, start=1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        write_safetensors(folder / file, tensors)
        weight_map.update(dict.fromkeys(tensors, file))
        total += sum(tensor.nbytes for tensor in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
    write_json(folder / "model.safetensors.index.json", index)
