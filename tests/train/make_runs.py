#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/train/runs: training runs of the published software, which golden_run.py compares `llava train` with.

Runs the original trainer (llava-torch 1.2.2.post1, transformers 4.37.2, accelerate 0.21; peft 0.10 for LoRA) on one process of a
processor, on the tiny checkpoints and pictures of tests/golden. Needs the environment that scripts/setup --original makes, and peft
0.10.0 (installed without its dependencies).

usage: make_runs.py [RUN...]   (in that environment; rewrites tests/train/runs, or makes these runs of it anew)
"""

import json
import os
import pathlib
import random
import shutil
import sys
import tempfile

os.environ["WANDB_DISABLED"] = "true"
os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parent
GOLDEN = HERE.parent / "golden"
ROOT = HERE / "runs"

COMMON = {
    "model_name_or_path": "../../golden/models/base-vicuna", "vision_tower": "../../golden/models/towers/clip-28",
    "image_folder": "../../golden/images", "mm_projector_type": "mlp2x_gelu",
    "mm_vision_select_layer": -2, "mm_use_im_start_end": False, "mm_use_im_patch_token": False, "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 2, "evaluation_strategy": "no", "save_strategy": "no", "logging_steps": 1, "report_to": "none",
    "dataloader_num_workers": 0, "lazy_preprocess": True, "seed": 42, "model_max_length": 256}

RUNS = {
    "stage1": {
        "about": "projector alone, plain template, cosine with warm-up, an epoch that ends within a step",
        "flags": {"version": "plain", "data_path": "train/data/captions.json", "tune_mm_mlp_adapter": True, "num_train_epochs": 2,
                  "learning_rate": 1e-3, "weight_decay": 0.0, "warmup_ratio": 0.1, "lr_scheduler_type": "cosine", "gradient_accumulation_steps": 3}},
    "stage2": {
        "about": "the whole model, pictures and text in groups of similar length, two epochs, decay, linear schedule",
        "flags": {"version": "v1", "data_path": "train/data/mix.json", "image_aspect_ratio": "pad", "group_by_modality_length": True,
                  "num_train_epochs": 2, "learning_rate": 5e-4, "weight_decay": 0.05, "warmup_steps": 3, "lr_scheduler_type": "linear",
                  "mm_projector_lr": 2e-4}},
    "llama2": {
        "about": "the whole model but the projector, another template, no clipping, polynomial schedule, a limit that cuts, max_steps",
        "flags": {"version": "llava_llama_2", "data_path": "train/data/mix.json", "freeze_mm_mlp_adapter": True, "max_steps": 7,
                  "learning_rate": 3e-4, "weight_decay": 0.0, "warmup_ratio": 0.2, "lr_scheduler_type": "polynomial", "max_grad_norm": 0.5,
                  "model_max_length": 215, "per_device_train_batch_size": 3, "gradient_accumulation_steps": 1}},
    "long": {
        "about": "fifty steps of the whole model at a high rate, along which differences grow",
        "flags": {"version": "v1", "data_path": "train/data/mix.json", "image_aspect_ratio": "pad", "max_steps": 50, "learning_rate": 1e-3,
                  "weight_decay": 0.0, "warmup_ratio": 0.1, "lr_scheduler_type": "cosine", "gradient_accumulation_steps": 1}},
    "ignored": {
        "about": "batches without a trained token: their loss is no number, their gradients are zero",
        "flags": {"version": "v1", "data_path": "train/data/ignored.json", "num_train_epochs": 1, "learning_rate": 1e-3, "weight_decay": 0.1,
                  "warmup_ratio": 0.0, "lr_scheduler_type": "constant_with_warmup", "per_device_train_batch_size": 1}},
    "lora": {
        "about": "adapters of rank 4, the projector at another rate",
        "flags": {"version": "v1", "data_path": "train/data/mix.json", "image_aspect_ratio": "pad", "group_by_modality_length": True,
                  "num_train_epochs": 1, "learning_rate": 2e-3, "mm_projector_lr": 5e-4, "weight_decay": 0.01, "warmup_ratio": 0.03,
                  "lr_scheduler_type": "cosine", "lora_enable": True, "lora_r": 4, "lora_alpha": 8, "lora_dropout": 0.0}},
}
VARIANTS = {"stage1": ("asis", "fp32tower"), "lora": ("asis", "fp32tower")}


def make_data(folder):
    """Dialogues and captions drawn with a fixed seed: one and several turns, text alone, odd words, masks that fail."""
    chance = random.Random(7)
    words = ("a red the blue of circle square shape is what this in picture and left right small large bright dark line two three "
             "\u00e9t\u00e9 na\u00efve 42 3.5 yes no").split()
    pictures = sorted(path.name for path in (GOLDEN / "images").iterdir())

    def text(low, high):
        return " ".join(chance.choice(words) for _ in range(chance.randint(low, high)))

    captions = [{"id": f"c{i}", "image": pictures[i % len(pictures)],
                 "conversations": [{"from": "human", "value": text(2, 5) + "\n<image>"}, {"from": "gpt", "value": text(3, 12)}]}
                for i in range(16)]
    mix = []
    for i in range(26):
        turns = []
        for turn in range(chance.choice([1, 1, 2, 3])):
            turns += [{"from": "human", "value": text(2, 9) + "?"}, {"from": "gpt", "value": text(1, 14) + "."}]
        sample = {"id": f"m{i}", "conversations": turns}
        if i % 3 != 2:
            sample["image"] = pictures[i % len(pictures)]
            turns[0]["value"] = "<image>\n" + turns[0]["value"] if i % 2 else turns[0]["value"] + "\n<image>"
        mix.append(sample)
    mix[4]["conversations"][1]["value"] = ""  # no answer: the whole sample is ignored
    mix[9]["conversations"][-1]["value"] = text(150, 150)  # longer than the limit
    ignored = []
    for i in range(8):
        good = i % 3 == 1
        ignored.append({"id": f"i{i}", "image": pictures[i % len(pictures)],
                        "conversations": [{"from": "human", "value": "<image>\nwhat?"}, {"from": "gpt", "value": text(2, 5) if good else ""}]})
    for name, samples in (("captions", captions), ("mix", mix), ("ignored", ignored)):
        (folder / f"{name}.json").write_text(json.dumps(samples, indent=1, ensure_ascii=False) + "\n")


def make_initial(folder, name, flags):
    """The weights that the original draws without a seed."""
    generator = torch.Generator().manual_seed(sum(map(ord, name)))

    def uniform(shape, inputs):
        return (torch.rand(shape, generator=generator) * 2 - 1) / inputs ** 0.5

    config = json.loads((ROOT / COMMON["model_name_or_path"] / "config.json").read_text())
    vision = json.loads((ROOT / COMMON["vision_tower"] / "config.json").read_text())
    width, channels = config["hidden_size"], vision.get("vision_config", vision)["hidden_size"]
    projector = {"model.mm_projector.0.weight": uniform((width, channels), channels), "model.mm_projector.0.bias": uniform((width,), channels),
                 "model.mm_projector.2.weight": uniform((width, width), width), "model.mm_projector.2.bias": uniform((width,), width)}
    folder.mkdir(parents=True)
    torch.save(projector, folder / "mm_projector.bin")
    flags["pretrain_mm_mlp_adapter"] = str((folder / "mm_projector.bin").relative_to(ROOT))


class Recorder:
    """Watches a run from inside."""

    def __init__(self):
        self.steps, self.order, self.warnings, self.snapshots = [], [], [], {}
        self.micro, self.tokens, self.shapes, self.norm = [], [], [], None

    def watch(self, module, variant, initial_adapter):
        recorder = self
        module.rank0_print = print

        get_item = module.LazySupervisedDataset.__getitem__

        def get_and_note(dataset, i):
            recorder.order.append(int(i))
            return get_item(dataset, i)

        class Trainer(module.LLaVATrainer):
            def __init__(self, model, **arguments):
                if initial_adapter:
                    state = model.state_dict()
                    for key, value in torch.load(initial_adapter).items():
                        assert key in state, key
                        state[key].copy_(value)
                super().__init__(model=model, **arguments)
                recorder.trainable = [name for name, p in model.named_parameters() if p.requires_grad]

            def training_step(self, model, inputs):
                recorder.tokens.append(int((inputs["labels"] != -100).sum()))
                recorder.shapes.append(list(inputs["input_ids"].shape))
                loss = super().training_step(model, inputs)
                recorder.micro.append(float(loss) * self.args.gradient_accumulation_steps)
                return loss

            def log(self, logs):
                super().log(logs)
                if "train_loss" in logs:
                    stand_in_for_deepspeed()  # not sooner: with it there, transformers would want more of it
                if "loss" in logs:
                    recorder.finish_step(self, logs)

        def clip(accelerator, parameters, max_norm, norm_type=2):
            recorder.norm = float(torch.nn.utils.clip_grad_norm_(list(parameters), max_norm, norm_type))
            return recorder.norm

        import accelerate
        accelerate.Accelerator.clip_grad_norm_ = clip
        module.LazySupervisedDataset.__getitem__ = get_and_note
        module.LLaVATrainer = Trainer
        if variant == "fp32tower":
            from llava.model.multimodal_encoder.clip_encoder import CLIPVisionTower
            CLIPVisionTower.to = lambda tower, *_, **__: tower

    def finish_step(self, trainer, logs):
        self.steps.append({"step": trainer.state.global_step, "micro_losses": self.micro, "micro_label_tokens": self.tokens,
                           "micro_shapes": self.shapes, "lr_logged": logs["learning_rate"], "loss_logged": logs["loss"],
                           "epoch_logged": trainer.state.log_history[-1]["epoch"], "grad_norm_before_clip": self.norm})
        self.micro, self.tokens, self.shapes = [], [], []
        self.keep(trainer, "after_step1" if trainer.state.global_step == 1 else "final")

    def keep(self, trainer, when):
        state = trainer.optimizer.state
        for name, parameter in trainer.model.named_parameters():
            if not parameter.requires_grad:
                continue
            self.snapshots[f"{when}.{name}" if when == "final" else f"after_step1.{name}"] = parameter.detach().clone()
            self.snapshots[f"exp_avg_{when}.{name}"] = state[parameter]["exp_avg"].clone()
            if when == "final":
                self.snapshots[f"exp_avg_sq_{when}.{name}"] = state[parameter]["exp_avg_sq"].clone()


def stand_in_for_deepspeed():
    """Saving asks DeepSpeed whether a tensor is spread over processes; none is."""
    import contextlib
    import types
    status = types.SimpleNamespace(NOT_AVAILABLE="not available", AVAILABLE="available")
    modules = {"deepspeed": {"zero": types.SimpleNamespace(GatheredParameters=lambda *_: contextlib.nullcontext())},
               "deepspeed.runtime": {}, "deepspeed.runtime.zero": {},
               "deepspeed.runtime.zero.partition_parameters": {"ZeroParamStatus": status}}
    for name, members in modules.items():
        module = types.ModuleType(name)
        module.__dict__.update(members)
        sys.modules[name] = module


def run_original(name, variant, flags, output, initial_adapter):
    import llava.train.train as module
    recorder = Recorder()
    recorder.watch(module, variant, initial_adapter)
    trainers = []
    inner = module.LLaVATrainer

    class Kept(inner):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            trainers.append(self)

    module.LLaVATrainer = Kept
    sys.argv = ["train.py", "--output_dir", str(output)]
    for flag, value in flags.items():
        sys.argv += [f"--{flag}", str(value)]
    module.train()
    history = trainers[0].state.log_history[-1]
    recorder.final = {key: history[key] for key in ("total_flos", "train_loss")}
    return recorder


def small(snapshots):
    """Of a big run, some tensors: the projector, the last layer and norm, and of the tables' final values."""
    if sum(t.numel() for t in snapshots.values()) < 150_000:
        return snapshots
    kept = {}
    for key, value in snapshots.items():
        is_moment = key.startswith(("exp_avg", "after_step1"))
        wanted = ("layers.1.self_attn.v_proj", "mm_projector.2", "model.norm") if is_moment else ("layers.1.", "mm_projector", "model.norm", "lm_head")
        if any(part in key for part in wanted):
            kept[key] = value
    return kept


def one(name, variant):
    """One run in this process (the original's modules are patched for it)."""
    os.chdir(ROOT)
    folder = ROOT / "train" / name
    run = json.loads((folder / "run.json").read_text())
    adapter = folder / "init" / "adapter_parameters.pt"
    with tempfile.TemporaryDirectory() as output:
        recorder = run_original(name, variant, run["flags"], pathlib.Path(output) / "out", adapter if adapter.exists() else None)
    path = folder / "expected.json"
    expected = json.loads(path.read_text()) if path.exists() else {}
    expected["order"] = recorder.order
    expected["trainable"] = recorder.trainable
    expected[variant] = {"steps": recorder.steps, "final_log": recorder.final}
    path.write_text(json.dumps(expected) + "\n")
    save_file({key: value.contiguous() for key, value in small(recorder.snapshots).items()}, folder / f"expected_{variant}.safetensors")


def make_adapter(folder, flags):
    """Initial adapters with B not zero, so that gradients of A count; written as PEFT's folder and by the names of its parameters."""
    generator = torch.Generator().manual_seed(5)
    config = json.loads((ROOT / COMMON["model_name_or_path"] / "config.json").read_text())
    width, inner = config["hidden_size"], config["intermediate_size"]
    shapes = {"self_attn.q_proj": (width, width), "self_attn.k_proj": (width, width), "self_attn.v_proj": (width, width),
              "self_attn.o_proj": (width, width), "mlp.gate_proj": (inner, width), "mlp.up_proj": (inner, width), "mlp.down_proj": (width, inner)}
    rank, files, parameters = flags["lora_r"], {}, {}
    for layer in range(config["num_hidden_layers"]):
        for module, (outputs, inputs) in shapes.items():
            for letter, shape, bound in (("A", (rank, inputs), inputs ** -0.5), ("B", (outputs, rank), 0.02)):
                value = (torch.rand(shape, generator=generator) * 2 - 1) * bound
                key = f"base_model.model.model.layers.{layer}.{module}.lora_{letter}"
                files[f"{key}.weight"] = value
                parameters[f"{key}.default.weight"] = value
    save_file(files, folder / "adapter_model.safetensors")
    torch.save(parameters, folder / "adapter_parameters.pt")
    (folder / "adapter_config.json").write_text(json.dumps({
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": flags["lora_alpha"], "lora_dropout": flags["lora_dropout"],
        "bias": "none", "target_modules": sorted(name.split(".")[1] for name in shapes),
        "base_model_name_or_path": "../../golden/models/base-vicuna",
        "fan_in_fan_out": False, "inference_mode": True, "init_lora_weights": True}, indent=2) + "\n")


def make_root():
    shutil.rmtree(ROOT, ignore_errors=True)
    (ROOT / "train/data").mkdir(parents=True)
    make_data(ROOT / "train/data")


def main():
    if sys.argv[1:2] == ["--one"]:
        one(*sys.argv[2:])
        return
    if len(sys.argv) == 1:
        make_root()
    for name in sys.argv[1:] or RUNS:
        run = RUNS[name]
        flags = COMMON | run["flags"]
        folder = ROOT / "train" / name
        shutil.rmtree(folder, ignore_errors=True)
        make_initial(folder / "init", name, flags)
        if flags.get("lora_enable"):
            make_adapter(folder / "init", flags)
        (folder / "run.json").write_text(json.dumps({"about": run["about"], "flags": flags}, indent=1) + "\n")
        for variant in VARIANTS.get(name, ("fp32tower",)):
            if os.system(f"'{sys.executable}' '{__file__}' --one {name} {variant}") != 0:
                raise SystemExit(f"{name} {variant} failed")
        shutil.rmtree(folder / "init" / "adapter_parameters.pt", ignore_errors=True)
        (folder / "init" / "adapter_parameters.pt").unlink(missing_ok=True)


if __name__ == "__main__":
    main()
