# SPDX-License-Identifier: Apache-2.0
"""Flags of `llava train` that must change the cost of a run and not its numbers, and what it says of bad ones.

usage: options_test.py PROGRAM      models and data: runs/ beside this file
"""

import json
import math
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

from golden_run import read_safetensors

RUNS = pathlib.Path(__file__).resolve().parent / "runs"
PROGRAM = pathlib.Path(sys.argv[1]).resolve()

COMMON = {"model_name_or_path": "../../golden/models/base-vicuna", "vision_tower": "../../golden/models/towers/clip-28",
          "image_folder": "../../golden/images", "mm_projector_type": "mlp2x_gelu",
          "mm_vision_select_layer": -2, "mm_use_im_patch_token": False, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 2,
          "save_strategy": "no", "logging_steps": 1, "learning_rate": 1e-3, "threads": 2, "model_max_length": 256, "report_to": "json",
          "skip_data_check": True, "version": "v1", "data_path": "train/data/mix.json", "max_steps": 4}
LORA = {"lora_enable": True, "lora_r": 4, "lora_dropout": 0.3, "num_train_epochs": 2}


def run(output, *switches, before=None, **flags):
    command = [str(PROGRAM), "train", "--output_dir", str(output), *switches]
    for name, value in (COMMON | flags).items():
        command += [f"--{name}", str(value)]
    return subprocess.run(command, cwd=RUNS, capture_output=True, text=True, timeout=300, preexec_fn=before)


class Options(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.number = 0

    def train(self, *switches, **flags):
        """Losses, norms and the files of a run."""
        self.number += 1
        output = self.folder / str(self.number)
        result = run(output, *switches, **flags)
        self.assertEqual(result.returncode, 0, result.stderr)
        steps = [json.loads(line) for line in (output / "train_log.jsonl").read_text().splitlines()]
        self.log = [step for step in steps if "micro_losses" in step]
        return [(step["micro_losses"], step["grad_norm"]) for step in self.log], output

    def refuse(self, status, *parts, **flags):
        self.number += 1
        result = run(self.folder / str(self.number), **flags)
        self.assertEqual(result.returncode, status, result.stderr)
        for part in parts:
            self.assertIn(part, result.stderr)

    def test_recomputing_layers_changes_no_bit(self):
        for flags in (LORA, {}):
            plain, whole = self.train(**flags)
            recomputed, again = self.train(gradient_checkpointing=True, **flags)
            self.assertEqual(plain, recomputed)
            for path in whole.glob("*.safetensors"):
                self.assertEqual(path.read_bytes(), (again / path.name).read_bytes())

    def test_samples_made_ahead_are_the_same(self):
        self.assertEqual(self.train(**LORA)[0], self.train(dataloader_num_workers=3, **LORA)[0])

    def test_kept_features_are_the_same(self):
        cache = self.folder / "features"
        flags = {"feature_cache": cache, "num_train_epochs": 3, "max_steps": -1}
        first, _ = self.train(**flags)
        files = {path: path.stat().st_mtime_ns for path in cache.rglob("*.safetensors")}
        self.assertEqual(len(files), 4)  # one for each picture of the data
        second, _ = self.train(**flags)
        self.assertEqual(first, second)
        self.assertEqual(files, {path: path.stat().st_mtime_ns for path in cache.rglob("*.safetensors")})
        plain, _ = self.train(num_train_epochs=3, max_steps=-1)
        for (ours, _), (theirs, _) in zip(first, plain):
            for a, b in zip(ours, theirs):
                if a is not None:
                    self.assertAlmostEqual(a, b, delta=1e-4)

    def test_accumulation_by_token_is_exact(self):
        whole, _ = self.train(loss_reduction="token", per_device_train_batch_size=4, gradient_accumulation_steps=1)
        parts, _ = self.train(loss_reduction="token", per_device_train_batch_size=1, gradient_accumulation_steps=4)
        for (_, a), (_, b) in zip(whole, parts):
            self.assertAlmostEqual(a, b, delta=1e-4 * a)

    def test_switches_take_values(self):
        self.assertEqual(self.train("--bf16", "False", "--no-lazy-preprocess")[0], self.train()[0])
        self.assertNotEqual(self.train("--bf16", "yes")[0], self.train()[0])

    def test_a_recipe_gives_way_to_flags(self):
        recipe = self.folder / "recipe.json"
        recipe.write_text('// a comment\n{"learning_rate": 7e-3, "max_steps": 2, "bf16": false}\n')
        self.train("--recipe", str(recipe), max_steps=1)
        self.assertEqual(len(self.log), 1)
        recipe.write_text('{"max_steps": {}}')
        self.refuse(3, "max_steps", recipe=recipe)

    def test_tokens_that_are_added_have_rows(self):
        _, output = self.train(mm_use_im_patch_token=True, mm_use_im_start_end=True)
        config = json.loads((output / "config.json").read_text())
        self.assertEqual(config["vocab_size"], json.loads((RUNS / COMMON["model_name_or_path"] / "config.json").read_text())["vocab_size"] + 3)

    def test_held_out_data(self):
        result = run(self.folder / "out", eval_data_path="train/data/captions.json", evaluation_strategy="steps", eval_steps=2, version="v1")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stdout.count("eval_loss"), 2)

    def test_held_out_questions_are_answered(self):
        flags = {"eval_data_path": "train/data/mix.json", "evaluation_strategy": "steps", "eval_steps": 3, "eval_predictions": 3,
                 "learning_rate": 5e-3, "per_device_eval_batch_size": 2}
        _, output = self.train(**flags)
        data = json.loads((RUNS / "train/data/mix.json").read_text())
        lines = [json.loads(line) for line in (output / "predictions.jsonl").read_text().splitlines()]
        self.assertEqual([(line["step"], line["sample"]) for line in lines], [(step, f"m{i}") for step in (3, 4) for i in range(3)])
        for line, sample in zip(lines, data[:3]):
            question, answer = (turn["value"].replace("<image>", "").strip() for turn in sample["conversations"][:2])
            self.assertEqual((line["prompt"], line["reference"], line.get("image")), (question, answer, sample.get("image")))
        # The last ones are by the weights that the folder has: inference, on the other backend, begins them alike.
        for line in (lines[3], lines[4]):
            result = subprocess.run([str(PROGRAM), "run", "--model-path", str(output), "--image-file", str(RUNS / "../../golden/images" / line["image"]),
                                     "--query", line["prompt"], "--temperature", "0", "--max-new-tokens", "12", "--conv-mode", "v1"],
                                    cwd=RUNS, capture_output=True, text=True, timeout=300)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertTrue(line["answer"].startswith(result.stdout.strip()), (line["answer"], result.stdout))
        page = subprocess.run([str(PROGRAM), "train", "report", str(output)], cwd=RUNS, capture_output=True, text=True)
        self.assertEqual(page.returncode, 0, page.stderr)
        html = (output / "report.html").read_text()
        for part in ("data:image/png", data[1]["conversations"][1]["value"]):
            self.assertIn(part, html)
        self.assertNotIn("could not be", page.stderr)

    def test_no_held_out_data_no_answers(self):
        _, output = self.train()
        self.assertFalse((output / "predictions.jsonl").exists())

    def test_the_best_checkpoint_is_the_result(self):
        # A rate that spoils the model for good: two evaluations that are no better than the best one end the run.
        flags = {"eval_data_path": "train/data/mix.json", "evaluation_strategy": "steps", "eval_steps": 1, "save_strategy": "steps",
                 "save_steps": 1, "save_total_limit": 2, "learning_rate": 1000, "max_steps": 9, "load_best_model_at_end": True,
                 "early_stopping_patience": 2, "bf16": True}
        _, output = self.train(**flags)
        state = json.loads((output / "trainer_state.json").read_text())
        losses = [entry["eval_loss"] for entry in state["log_history"] if "eval_loss" in entry]
        self.assertEqual(state["best_metric"], min(losses))
        self.assertLess(state["global_step"], 9)
        best = pathlib.Path(state["best_model_checkpoint"])
        self.assertEqual((output / "model.safetensors").read_bytes(), (best / "model.safetensors").read_bytes())
        self.assertEqual(len(list(output.glob("checkpoint-*"))), 2)

    def test_a_run_has_a_report(self):
        _, output = self.train(skip_data_check=False, **LORA)
        result = subprocess.run([str(PROGRAM), "train", "report", str(output)], capture_output=True, text=True)
        self.assertEqual(result.returncode, 0, result.stderr)
        page = (output / "report.html").read_text()
        for part in ("<svg", "radient norm", "lora", "mix.json"):
            self.assertIn(part, page)

    def test_files_of_torch(self):
        _, output = self.train(save_safetensors=False, max_steps=1)
        self.assertTrue((output / "pytorch_model.bin").exists())
        self.assertFalse((output / "model.safetensors").exists())
        _, again = self.train(model_name_or_path=output, max_steps=1)
        self.assertTrue((again / "model.safetensors").exists())
        _, adapters = self.train(save_safetensors=False, max_steps=1, **LORA)
        self.train(lora_weight_path=adapters, max_steps=1, **LORA)

    def test_float16_has_a_loss_scale(self):
        _, output = self.train(fp16=True, save_strategy="steps", save_steps=4, learning_rate=1e-4)
        state = json.loads((output / "checkpoint-4" / "run_state.json").read_text())
        self.assertGreater(state["loss_scale"]["scale"], 1)
        losses = [loss for step in self.log for loss in step["micro_losses"] if loss is not None]
        self.assertLess(max(losses), 12)
        full, _ = self.train(learning_rate=1e-4)
        self.assertAlmostEqual(full[0][0][0], losses[0], delta=0.02)

    def test_deepspeed_files(self):
        config = self.folder / "zero2.json"
        config.write_text('{"zero_optimization": {"stage": 2}, "train_batch_size": "auto", "bf16": {"enabled": "auto"}}')
        clipped, _ = self.train(max_grad_norm=0.01)
        free, _ = self.train(deepspeed=config, max_grad_norm=0.01)
        self.assertEqual(clipped[0], free[0])
        self.assertNotEqual(clipped[2], free[2])
        config.write_text('{"train_batch_size": 64}')
        self.refuse(2, "train_batch_size is 64", "is 4", deepspeed=config)

    def test_adapters_beside_codes(self):
        flags = LORA | {"lora_dropout": 0.0}
        plain, _ = self.train(**flags)
        losses = {}
        for name, extra in (("int8", {"bits": 8}), ("nf4", {"bits": 4}), ("fp4", {"bits": 4, "quant_type": "fp4"}),
                            ("scales", {"bits": 4, "double_quant": False})):
            steps, output = self.train(**flags, **extra)
            losses[name] = steps[0][0][0]
            self.assertAlmostEqual(losses[name], plain[0][0][0], delta=0.5)
        self.assertEqual(len(set(losses.values())), 4)
        recomputed, _ = self.train(gradient_checkpointing=True, **flags, **extra)
        self.assertEqual(steps, recomputed)
        # The adapters are those of any base.
        self.train(lora_weight_path=output, **flags)
        # The original quantises the head as well.
        quirk, _ = self.train(compat="reference", vision_tower_dtype="fp32", **flags, **extra)
        self.assertNotEqual(quirk[0][0][0], steps[0][0][0])
        self.refuse(2, "--bits 5", "16, 8 and 4", bits=5, **flags)
        self.refuse(2, "--bits 4", "--lora-enable", bits=4)
        stage3 = self.folder / "zero3.json"
        stage3.write_text('{"zero_optimization": {"stage": 3}}')
        self.refuse(2, "stage 3", "--bits 8", bits=8, deepspeed=stage3, **flags)

    def test_memory_is_planned(self):
        self.number += 1
        result = run(self.folder / "plan", "--memory-plan")
        self.assertEqual(result.returncode, 0, result.stderr)
        for part in ("weights", "gradients", "optimiser", "activations", "in all, ", "less with --gradient_checkpointing True"):
            self.assertIn(part, result.stdout)
        self.assertFalse((self.folder / "plan/train_log.jsonl").exists())

    def test_what_is_not_supported_is_refused(self):
        for flag in ({"optim_args": "a=1"}, {"label_smoothing_factor": 0.1}, {"neftune_noise_alpha": 5}, {"torch_compile": True},
                     {"fsdp": "full_shard", "deepspeed": "zero2.json"}):
            self.refuse(2, "--" + next(iter(flag)).replace("_", "-"), **flag)

    def test_a_disk_that_is_full_keeps_the_checkpoint_before(self):
        flags = {"save_strategy": "steps", "save_steps": 1}
        _, whole = self.train(**flags)
        output = self.folder / "full"
        shutil.copytree(whole / "checkpoint-1", output / "checkpoint-1")

        def content():
            return {path.name: path.read_bytes() for path in (output / "checkpoint-1").iterdir()}

        def limited():
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a refused write and not the end of the program

        before = content()
        bad = run(output, before=limited, **flags)
        self.assertEqual(bad.returncode, 4, bad.stderr)
        self.assertIn("tmp-checkpoint-2", bad.stderr)
        self.assertEqual(before, content())
        self.assertEqual([path.name for path in output.glob("*checkpoint*")], ["checkpoint-1"])
        again = run(output, **flags)
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertEqual((output / "model.safetensors").read_bytes(), (whole / "model.safetensors").read_bytes())

    def test_room_is_asked_for_first(self):
        small = self.folder / "small"
        small.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(small)], capture_output=True).returncode != 0:
            self.skipTest("a small file system needs the right to mount one")
        try:
            result = run(small / "out", save_strategy="steps", save_steps=1)
            self.assertEqual(result.returncode, 4, result.stderr)
            for part in ("the result with 4 checkpoints", "MiB of the disk are free", "--save-total-limit"):
                self.assertIn(part, result.stderr)
            self.assertEqual(list((small / "out").glob("*checkpoint*")), [])
        finally:
            subprocess.run(["umount", str(small)])

    def test_quirks_of_the_original(self):
        published = {"zero_optimization": {"stage": 2}, "bf16": {"enabled": "auto"}}
        zero2 = self.folder / "zero2.json"
        zero2.write_text(json.dumps(published))
        flags = LORA | {"mm_projector_lr": 0.0, "deepspeed": zero2, "save_strategy": "steps", "save_steps": 1, "vision_tower_dtype": "fp32"}

        def changed(compat):
            _, output = self.train(compat=compat, **flags)
            first, last = (read_safetensors(output / f"checkpoint-{step}/optimizer.safetensors") for step in (1, 4))
            return {part: any(first[name] != last[name] for name in first if name.startswith("master.model.mm_projector") and name.endswith(part))
                    for part in (".weight", ".bias")}

        # DeepSpeed drops the empty group, and the projector's matrices get the rate of the others.
        self.assertEqual(changed("reference"), {".weight": True, ".bias": False})
        self.assertEqual(changed("intended"), {".weight": False, ".bias": False})

        offload = self.folder / "zero3_offload.json"
        offload.write_text(json.dumps(published | {
            "optimizer": {"type": "AdamW", "params": {"lr": "auto", "betas": "auto", "eps": "auto", "weight_decay": "auto"}},
            "scheduler": {"type": "WarmupLR", "params": {"warmup_min_lr": "auto", "warmup_max_lr": "auto", "warmup_num_steps": "auto"}},
            "gradient_clipping": "auto"}))
        for compat in ("reference", "intended"):
            self.train(compat=compat, deepspeed=offload, warmup_steps=3, lr_scheduler_type="cosine", vision_tower_dtype="fp32")
            rates = [step["learning_rate"] for step in self.log]
            for rate, expected in zip(rates, [0, math.log(2) / math.log(3), 1, 1]):
                self.assertAlmostEqual(rate, 1e-3 * expected, delta=1e-15)

    def test_bad_input_is_named(self):
        self.refuse(3, "no-such-base", model_name_or_path="no-such-base")
        self.refuse(3, "no-such.json", data_path="no-such.json")
        self.refuse(2, "--fp16", bf16=True, fp16=True)
        self.refuse(2, "v7", version="v7")
        self.refuse(2, "--learn-rate", "did you mean", learn_rate=3)
        self.refuse(3, "mm_projector", pretrain_mm_mlp_adapter="../../golden/models/base-vicuna/model.safetensors")

    def test_bad_samples(self):
        data = json.loads((RUNS / "train/data/mix.json").read_text())[:6]
        data[3]["image"] = "gone.png"
        data[3]["conversations"][0]["value"] = "<image>\nwhat?"
        path = self.folder / "data.json"
        path.write_text(json.dumps(data))
        flags = {"data_path": path, "max_steps": -1, "num_train_epochs": 1, "gradient_accumulation_steps": 1}
        self.refuse(3, "gone.png", "--on-bad-sample", skip_data_check=False, **flags)
        self.refuse(3, "gone.png", **flags)
        for policy in ("skip", "substitute"):
            self.train(on_bad_sample=policy, skip_data_check=False, **flags)
            samples = [index for step in self.log for index in step["samples"]]
            self.assertNotIn(3, samples)

    def test_a_loss_that_is_no_number_stops_before_the_update(self):
        self.refuse(2, "Its samples", "--on-nonfinite skip", learning_rate=1e30, max_steps=8)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
