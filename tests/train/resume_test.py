# SPDX-License-Identifier: Apache-2.0
"""A run that is killed again and again ends as one that was left alone: bit for bit.

usage: resume_test.py PROGRAM [KILLS]     ROOT of the models and data: runs/ beside this file
"""

import json
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time
import unittest

RUNS = pathlib.Path(__file__).resolve().parent / "runs"
PROGRAM = pathlib.Path(sys.argv[1]).resolve()
KILLS = int(sys.argv[2]) if len(sys.argv) > 2 else 3

COMMON = {"model_name_or_path": "../../golden/models/base-vicuna", "vision_tower": "../../golden/models/towers/clip-28",
          "image_folder": "../../golden/images", "mm_projector_type": "mlp2x_gelu",
          "mm_vision_select_layer": -2, "mm_use_im_patch_token": False, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 2,
          "save_strategy": "steps", "save_steps": 2, "save_total_limit": 2, "logging_steps": 1, "learning_rate": 1e-3, "threads": 2,
          "warmup_ratio": 0.1, "lr_scheduler_type": "cosine", "model_max_length": 256, "report_to": "json", "skip_data_check": True}
MODES = {
    "stage 1": {"version": "plain", "data_path": "train/data/captions.json", "tune_mm_mlp_adapter": True, "num_train_epochs": 4,
                "mm_projector_type": "linear"},
    "lora": {"version": "v1", "data_path": "train/data/mix.json", "lora_enable": True, "lora_r": 4, "lora_dropout": 0.2,
             "group_by_modality_length": True, "image_aspect_ratio": "pad", "num_train_epochs": 3, "mm_projector_lr": 1e-4},
    "contrastive": {"stage": "contrastive", "version": "plain", "data_path": "train/data/captions.json", "num_train_epochs": 4,
                    "gradient_accumulation_steps": 1, "augment_flip": True, "augment_shift": 3},
    # 8 rounds, or 13, in steps of three: an epoch leaves some to a step of the next one.
    "checkpoints within a step": {"version": "plain", "data_path": "train/data/captions.json", "tune_mm_mlp_adapter": True, "num_train_epochs": 6,
                                  "save_strategy": "epoch", "gradient_accumulation_steps": 3},
    "checkpoints within a step, by tokens": {"version": "v1", "data_path": "train/data/mix.json", "lora_enable": True, "lora_r": 4,
                                             "lora_dropout": 0.2, "num_train_epochs": 5, "save_strategy": "epoch",
                                             "gradient_accumulation_steps": 3, "loss_reduction": "token"},
    "full in bfloat16": {"version": "v1", "data_path": "train/data/mix.json", "bf16": True, "num_train_epochs": 2},
}


def command(flags, output):
    arguments = [str(PROGRAM), "train", "--output_dir", str(output)]
    for name, value in (COMMON | flags).items():
        arguments += [f"--{name}", str(value)]
    return arguments


def start(flags, output):
    return subprocess.Popen(command(flags, output), cwd=RUNS, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process):
    out, error = process.communicate(timeout=300)
    if process.returncode != 0:
        raise AssertionError(f"exit status {process.returncode}\n{out}\n{error}")


def content(output):
    """What has to be equal: weights, optimiser state, history."""
    files = {}
    newest = max(output.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    for folder in (output, newest):
        for path in sorted(folder.iterdir()):
            if path.suffix in (".safetensors", ".bin"):
                files[path.name if folder == output else f"last/{path.name}"] = path.read_bytes()
    steps = [json.loads(line) for line in (output / "train_log.jsonl").read_text().splitlines()]
    history = [{key: step[key] for key in ("step", "loss", "learning_rate", "epoch", "grad_norm", "samples", "micro_losses")}
               for step in steps if "micro_losses" in step]
    return files, history


class Resume(unittest.TestCase):
    def test_killed_at_any_moment(self):
        seed = random.randrange(1 << 30)
        chance = random.Random(seed)
        for mode, flags in MODES.items():
            with self.subTest(mode=mode, seed=seed), tempfile.TemporaryDirectory() as folder:
                whole, broken = pathlib.Path(folder) / "whole", pathlib.Path(folder) / "broken"
                begin = time.monotonic()
                finish(start(flags, whole))
                duration = time.monotonic() - begin
                for _ in range(KILLS):
                    process = start(flags, broken)
                    # Longer than a start takes: most kills hit a step or a save.
                    time.sleep(chance.uniform(0.2, 1.0) * duration)
                    process.send_signal(signal.SIGKILL)
                    process.communicate()
                finish(start(flags, broken))
                expected, found = content(whole), content(broken)
                self.assertEqual(found[1], expected[1])
                self.assertEqual(sorted(found[0]), sorted(expected[0]))
                for name, data in expected[0].items():
                    self.assertEqual(found[0][name], data, name)
                self.assertEqual([p.name for p in broken.iterdir() if p.name.startswith("tmp-")], [])

    def test_interrupted_it_writes_a_checkpoint(self):
        flags = MODES["stage 1"] | {"num_train_epochs": 100, "save_strategy": "no"}
        with tempfile.TemporaryDirectory() as folder:
            output = pathlib.Path(folder)
            process = start(flags, output)
            log = output / "train_log.jsonl"
            deadline = time.monotonic() + 120
            while (not log.exists() or not log.read_text()) and time.monotonic() < deadline:
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
            self.assertEqual(process.returncode, 130)
            self.assertEqual(len(list(output.glob("checkpoint-*"))), 1)

    def test_another_configuration_is_refused(self):
        flags = MODES["stage 1"] | {"num_train_epochs": 1}
        with tempfile.TemporaryDirectory() as folder:
            finish(start(flags, folder))
            process = start(flags | {"learning_rate": 5e-4}, folder)
            _, error = process.communicate()
            self.assertEqual(process.returncode, 2)
            self.assertIn("--learning-rate: 0.001 then, 0.0005 now", error)
            finish(start(flags | {"learning_rate": 5e-4, "overwrite_output_dir": True}, folder))

    def test_a_checkpoint_of_the_original_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = pathlib.Path(folder) / "checkpoint-5"
            checkpoint.mkdir()
            (checkpoint / "trainer_state.json").write_text("{}")
            process = start(MODES["lora"], folder)
            _, error = process.communicate()
            self.assertEqual(process.returncode, 2)
            self.assertIn("checkpoint-5", error)
            self.assertIn("--overwrite-output-dir", error)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
