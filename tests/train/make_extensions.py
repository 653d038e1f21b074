#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/train/extensions.json: losses of training that the original's trainer does not do, for extensions_test.py.

The network, the preparation of texts and pictures and the merging of tiles are the published package's (llava-torch 1.2.2.post1); what
trains at which rate, the steps and, for adapters, the layers beside the weights are PyTorch's own, written here. Every step sees the same
few samples, so that their order does not matter.

usage: make_extensions.py      (in the environment of make_runs.py, with Pillow 13: 10 resamples otherwise)
"""

import json
import os
import pathlib
import re
import types

os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from PIL import Image
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parent
FOLDER = HERE / "extensions"
GOLDEN = HERE.parent / "golden"
STEPS = 6

# Flags as `llava train` takes them, paths from this folder's parent; only those that differ from run to run.
COMMON = {"model_name_or_path": "golden/models/base-vicuna", "vision_tower": "golden/models/towers/clip-28", "image_folder": "golden/images",
          "data_path": "train/extensions/data.json", "pretrain_mm_mlp_adapter": "train/runs/train/stage2/init/mm_projector.bin",
          "mm_projector_type": "mlp2x_gelu", "mm_vision_select_layer": -2, "mm_use_im_start_end": False, "mm_use_im_patch_token": False,
          "version": "v1", "image_aspect_ratio": "pad", "per_device_train_batch_size": 4, "max_steps": STEPS, "learning_rate": 1e-3,
          "lr_scheduler_type": "constant", "weight_decay": 0.0, "max_grad_norm": 1.0, "model_max_length": 256}
LORA = {"lora_enable": True, "lora_r": 4, "lora_alpha": 8, "lora_dropout": 0.0, "learning_rate": 5e-3}
RUNS = {
    "tower": {"tune_vision_tower": True, "mm_vision_tower_lr": 2e-4, "mm_projector_lr": 5e-4},
    "tower_adapters": LORA | {"lora_target_modules": r".*(layers\.\d+\.self_attn\.[qv]_proj|mm_projector\.[02]|mlp\.fc1)",
                              "lora_weight_path": "train/extensions/tower_adapters"},
    "anyres": {"model_name_or_path": "golden/models/llava-v1.6-unpad", "image_aspect_ratio": "anyres", "mm_patch_merge_type": "spatial_unpad",
               "image_grid_pinpoints": "[(28, 56), (56, 28), (56, 56)]", "pretrain_mm_mlp_adapter": "", "model_max_length": 512},
}


def make_data():
    """The first samples that the original's arithmetic makes labels for, so that labels are the same everywhere; one has no picture."""
    import llava.train.train as published
    samples = json.loads((HERE / "runs/train/data/mix.json").read_text())
    tokenizer = open_tokenizer(COMMON)

    def has_labels(sample):
        turns = [[dict(turn) for turn in sample["conversations"]]]
        if "image" in sample:
            turns = published.preprocess_multimodal(turns, types.SimpleNamespace(is_multimodal=True, mm_use_im_start_end=False))
        return bool((published.preprocess(turns, tokenizer, has_image="image" in sample)["labels"][0] != -100).any())

    good = [sample for sample in samples if has_labels(sample)]
    chosen = [sample for sample in good if "image" in sample][:3] + [sample for sample in good if "image" not in sample][:1]
    (FOLDER / "data.json").write_text(json.dumps(chosen, indent=1, ensure_ascii=False) + "\n")


def open_tokenizer(flags):
    import transformers
    from llava import conversation
    tokenizer = transformers.AutoTokenizer.from_pretrained(flags["model_name_or_path"], use_fast=False, padding_side="right",
                                                           model_max_length=flags["model_max_length"])
    tokenizer.pad_token = tokenizer.unk_token
    conversation.default_conversation = conversation.conv_templates["v1"]
    return tokenizer


def open_model(flags):
    from llava.model import LlavaLlamaForCausalLM
    from llava.model.multimodal_encoder.clip_encoder import CLIPVisionTower
    forward = CLIPVisionTower.forward
    CLIPVisionTower.forward = getattr(forward, "__wrapped__", forward)  # the published one never records
    config = LlavaLlamaForCausalLM.config_class.from_pretrained(flags["model_name_or_path"])
    if hasattr(config, "mm_vision_tower"):
        config.mm_vision_tower = flags["vision_tower"]
    model = LlavaLlamaForCausalLM.from_pretrained(flags["model_name_or_path"], config=config, torch_dtype=torch.float32)
    arguments = types.SimpleNamespace(
        vision_tower=flags["vision_tower"], mm_vision_select_layer=flags["mm_vision_select_layer"], mm_vision_select_feature="patch",
        pretrain_mm_mlp_adapter=flags["pretrain_mm_mlp_adapter"] or None, mm_projector_type=flags["mm_projector_type"],
        mm_patch_merge_type=flags.get("mm_patch_merge_type", "flat"))
    model.config.mm_vision_tower = flags["vision_tower"]
    model.get_model().initialize_vision_modules(model_args=arguments)
    model.config.image_aspect_ratio = flags["image_aspect_ratio"]
    model.config.image_grid_pinpoints = flags.get("image_grid_pinpoints")
    model.config.tokenizer_padding_side = "right"
    model.config.tokenizer_model_max_length = flags["model_max_length"]
    model.config.tune_mm_mlp_adapter = False
    model.config.mm_use_im_start_end = False
    model.config.use_cache = False
    model.get_vision_tower().to(torch.float32)
    return model


def make_batch(flags, model):
    """ids, labels, mask, pictures and their sizes, padded as the published collator does."""
    import llava.train.train as published
    from llava.mm_utils import process_images
    tokenizer = open_tokenizer(flags)
    arguments = types.SimpleNamespace(is_multimodal=True, image_folder=flags["image_folder"], image_aspect_ratio=flags["image_aspect_ratio"],
                                      mm_use_im_start_end=False, image_processor=model.get_vision_tower().image_processor)
    data = published.LazySupervisedDataset(tokenizer=tokenizer, data_path=flags["data_path"], data_args=arguments)
    assert all((data[i]["labels"] != -100).any() for i in range(len(data)))
    batch = published.DataCollatorForSupervisedDataset(tokenizer=tokenizer)([data[i] for i in range(len(data))])
    sizes = []
    if flags["image_aspect_ratio"] == "anyres":
        pictures = []
        for sample in json.loads(pathlib.Path(flags["data_path"]).read_text()):
            side = arguments.image_processor.crop_size["height"]
            if "image" not in sample:
                pictures.append(torch.zeros(1, 3, side, side))
                sizes.append((side, side))
                continue
            picture = Image.open(pathlib.Path(flags["image_folder"]) / sample["image"]).convert("RGB")
            pictures.append(process_images([picture], arguments.image_processor, model.config)[0])
            sizes.append(picture.size)
        batch["images"] = pictures
    return batch, sizes


class Adapted(torch.nn.Module):
    """A linear layer with a low-rank update beside it."""

    def __init__(self, layer, rank, scale, generator):
        super().__init__()
        self.layer, self.scale = layer, scale
        draw = lambda shape, bound: torch.nn.Parameter((torch.rand(shape, generator=generator) * 2 - 1) * bound)
        self.A = draw((rank, layer.in_features), layer.in_features ** -0.5)
        self.B = draw((layer.out_features, rank), 0.02)

    def forward(self, x):
        return self.layer(x) + self.scale * (x @ self.A.T @ self.B.T)


def attach(model, flags):
    generator = torch.Generator().manual_seed(9)
    pattern = re.compile(flags["lora_target_modules"])
    files = {}
    for name, module in list(model.named_modules()):
        if not isinstance(module, torch.nn.Linear) or not pattern.fullmatch(name):
            continue
        adapted = Adapted(module, flags["lora_r"], flags["lora_alpha"] / flags["lora_r"], generator)
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, adapted)
        for letter in "AB":
            files[f"base_model.model.{name}.lora_{letter}.weight"] = getattr(adapted, letter).detach().clone()
    folder = HERE.parent / flags["lora_weight_path"]
    folder.mkdir(exist_ok=True)
    save_file(files, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": flags["lora_r"], "lora_alpha": flags["lora_alpha"], "lora_dropout": 0.0,
        "bias": "none", "target_modules": flags["lora_target_modules"], "base_model_name_or_path": "../../golden/models/base-vicuna", "fan_in_fan_out": False,
        "inference_mode": True, "init_lora_weights": True}, indent=2) + "\n")


def groups(model, flags):
    """What trains, at which rate."""
    rates = {"decoder": flags["learning_rate"], "projector": flags.get("mm_projector_lr", flags["learning_rate"]),
             "tower": flags.get("mm_vision_tower_lr", flags["learning_rate"])}
    parameters = {part: [] for part in rates}
    for name, parameter in model.named_parameters():
        part = "tower" if "vision_tower" in name else "projector" if "mm_projector" in name else "decoder"
        is_adapter = name.endswith((".A", ".B"))
        trains = part == "projector" or name.endswith("image_newline") if flags.get("lora_enable") else part != "tower" or flags.get("tune_vision_tower", False)
        parameter.requires_grad_(is_adapter or trains)
        if parameter.requires_grad:
            parameters[part].append(parameter)
    return [{"params": parameters[part], "lr": rate} for part, rate in rates.items() if parameters[part]]


def train(flags):
    model = open_model(flags)
    if flags.get("lora_enable"):
        attach(model, flags)
    model.train()
    optimizer = torch.optim.AdamW(groups(model, flags), betas=(0.9, 0.999), eps=1e-8, weight_decay=flags["weight_decay"])
    batch, sizes = make_batch(flags, model)
    losses, norms = [], []
    for _ in range(STEPS):
        loss = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=batch["labels"], images=batch["images"],
                     image_sizes=sizes or None).loss
        loss.backward()
        losses.append(float(loss))
        norms.append(float(torch.nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], flags["max_grad_norm"])))
        optimizer.step()
        optimizer.zero_grad()
    return {"losses": losses, "norms": norms}


def main():
    os.chdir(HERE.parent)
    FOLDER.mkdir(exist_ok=True)
    make_data()
    result = {}
    for name, flags in RUNS.items():
        flags = COMMON | flags
        result[name] = {"flags": flags} | train(flags)
        print(name, result[name]["losses"], result[name]["norms"])
    (FOLDER / "expected.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
