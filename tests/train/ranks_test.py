# SPDX-License-Identifier: Apache-2.0
"""Runs of several processes: they make the steps of one process, end together, and resume with as many or with others.

usage: ranks_test.py PROGRAM [TEST...]      models and data: runs/ beside this file
"""

import json
import math
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from golden_run import read_safetensors  # noqa: E402

RUNS = pathlib.Path(__file__).resolve().parent / "runs"
PROGRAM = pathlib.Path(sys.argv[1]).resolve()

COMMON = {"model_name_or_path": "../../golden/models/base-vicuna", "vision_tower": "../../golden/models/towers/clip-28",
          "image_folder": "../../golden/images", "mm_projector_type": "mlp2x_gelu",
          "mm_vision_select_layer": -2, "mm_use_im_patch_token": False, "per_device_train_batch_size": 1, "save_strategy": "no",
          "logging_steps": 1, "learning_rate": 1e-3, "lr_scheduler_type": "cosine", "warmup_ratio": 0.1, "model_max_length": 256,
          "report_to": "json", "skip_data_check": True, "threads": 1, "version": "v1"}
MODES = {"full": {}, "lora": {"lora_enable": True, "lora_r": 4, "lora_dropout": 0}, "stage 1": {"tune_mm_mlp_adapter": True}}


def command(flags, output):
    arguments = [str(PROGRAM), "train", "--output_dir", str(output)]
    for name, value in (COMMON | flags).items():
        arguments += [f"--{name}", str(value)]
    return arguments


def start(flags, output, environment=None):
    return subprocess.Popen(command(flags, output), cwd=RUNS, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            env=os.environ | (environment or {}))


def finish(process, timeout=300):
    out, error = process.communicate(timeout=timeout)
    if process.returncode != 0:
        raise AssertionError(f"exit status {process.returncode}\n{out}\n{error}")


def children(process):
    return [int(pid) for pid in pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def wait_for_steps(output, count):
    deadline = time.monotonic() + 120
    log = output / "train_log.jsonl"
    while time.monotonic() < deadline:
        if log.exists() and len(log.read_text().splitlines()) >= count:
            return
        time.sleep(0.05)
    raise AssertionError(f"no {count} steps in '{log}'")


def tensors(folder):
    found = {}
    for name in ("model.safetensors", "adapter_model.safetensors", "mm_projector.safetensors"):
        if (folder / name).exists():
            found |= read_safetensors(folder / name)
    assert found, folder
    return found


def history(output):
    lines = [json.loads(line) for line in (output / "train_log.jsonl").read_text().splitlines()]
    return [line for line in lines if "micro_losses" in line]


class Ranks(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.number = 0

    def train(self, timeout=300, **flags):
        self.number += 1
        output = self.folder / str(self.number)
        finish(start(flags, output), timeout)
        return output

    def data(self, *samples):
        self.number += 1
        path = self.folder / f"data{self.number}.json"
        path.write_text(json.dumps(samples))
        return path

    def mix(self):
        return json.loads((RUNS / "train/data/mix.json").read_text())

    def assert_same_run(self, ours, expected, loss=1e-6, weights=1e-5):
        ours_steps, expected_steps = history(ours), history(expected)
        self.assertEqual(len(ours_steps), len(expected_steps))
        for a, b in zip(ours_steps, expected_steps):
            self.assertEqual(sorted(a["samples"]), sorted(b["samples"]))
            self.assertEqual(a["learning_rate"], b["learning_rate"])
            self.assertEqual((a["tokens"], a["label_tokens"], a["ignored_samples"]), (b["tokens"], b["label_tokens"], b["ignored_samples"]))
            self.assertAlmostEqual(a["grad_norm"], b["grad_norm"], delta=1e-4 * b["grad_norm"])
            # Micro-batches of one sample, in another order.
            for (_, mine), (_, theirs) in zip(sorted(zip(a["samples"], a["micro_losses"])), sorted(zip(b["samples"], b["micro_losses"]))):
                if theirs is None or mine is None:
                    self.assertEqual(mine, theirs)
                else:
                    self.assertAlmostEqual(mine, theirs, delta=loss * abs(theirs))
        ours_tensors, expected_tensors = tensors(ours), tensors(expected)
        self.assertEqual(sorted(ours_tensors), sorted(expected_tensors))
        for name, theirs in expected_tensors.items():
            size = math.sqrt(sum(x * x for x in theirs))
            difference = math.sqrt(sum((x - y) ** 2 for x, y in zip(ours_tensors[name], theirs)))
            self.assertLessEqual(difference, weights * size, name)

    def test_they_make_the_steps_of_one(self):
        # Every step sees all four samples, so that the order, which is another with several ranks, does not matter.
        mix = self.mix()
        path = self.data(mix[0], mix[1], mix[2], mix[4])
        for mode, flags in MODES.items():
            # A rate at which four samples are not learned by heart, which would magnify roundings.
            flags = flags | {"data_path": path, "max_steps": 20, "learning_rate": 1e-4}
            if mode == "stage 1":
                flags["data_path"] = self.data(mix[0], mix[1], mix[3], mix[4])
            one = self.train(gradient_accumulation_steps=4, **flags)
            with self.subTest(mode=mode):
                self.assert_same_run(self.train(gradient_accumulation_steps=1, num_processes=4, **flags), one)
                two = self.train(gradient_accumulation_steps=2, num_processes=2, **flags)
                self.assert_same_run(two, one)
                self.assertEqual(tensors(two), tensors(self.train(gradient_accumulation_steps=2, num_processes=2, **flags)))

    def test_deepspeed_stages_make_the_same_step(self):
        mix = self.mix()
        flags = {"data_path": self.data(mix[0], mix[2]), "max_steps": 6, "max_grad_norm": 0}
        one = self.train(gradient_accumulation_steps=2, **flags)
        for stage in (1, 2, 3):
            config = self.folder / f"zero{stage}.json"
            zero = {"stage": stage} | ({"offload_optimizer": {"device": "cpu"}} if stage == 3 else {})
            config.write_text(json.dumps({"zero_optimization": zero, "train_batch_size": 2}))
            self.assert_same_run(self.train(num_processes=2, deepspeed=config, **flags), one)

    def test_bfloat16(self):
        mix = self.mix()
        flags = {"data_path": self.data(mix[0], mix[2]), "max_steps": 8, "bf16": True, "save_strategy": "steps", "save_steps": 8}
        one = self.train(gradient_accumulation_steps=2, **flags)
        for dtype in ("model", "fp32"):
            two = self.train(num_processes=2, grad_reduce_dtype=dtype, **flags)
            expected = read_safetensors(one / "checkpoint-8/optimizer.safetensors")
            found = read_safetensors(two / "checkpoint-8/optimizer.safetensors")
            count = far = 0
            for name, theirs in expected.items():
                if name.startswith("master."):
                    count += len(theirs)
                    far += sum(abs(x - y) > 2 ** -7 * abs(y) for x, y in zip(found[name], theirs))
            self.assertLess(far, 0.01 * count, dtype)

    def test_tokens_of_all_ranks_count_the_same(self):
        mix = self.mix()
        flags = {"data_path": self.data(mix[0], mix[1], mix[2], mix[4]), "max_steps": 5, "loss_reduction": "token"}
        one = self.train(per_device_train_batch_size=4, **flags)
        four = self.train(num_processes=4, **flags)
        for a, b in zip(history(four), history(one)):
            self.assertAlmostEqual(a["grad_norm"], b["grad_norm"], delta=1e-4 * b["grad_norm"])
            self.assertAlmostEqual(a["loss"], b["loss"], delta=2e-4)

    def test_text_beside_a_picture_and_no_label_at_all(self):
        mix = self.mix()
        mute = {"conversations": [{"from": "human", "value": "why " * 300}, {"from": "gpt", "value": "so"}]}
        for samples in ((mix[0], mix[2]), (mix[0], mute)):
            path = self.data(*samples)
            for flags in ({}, {"lora_enable": True, "lora_r": 4, "lora_dropout": 0}):
                flags = flags | {"data_path": path, "max_steps": 4}
                two = self.train(timeout=60, num_processes=2, **flags)
                self.assert_same_run(two, self.train(gradient_accumulation_steps=2, **flags))

    def test_evaluation_is_shared(self):
        flags = {"data_path": "train/data/mix.json", "eval_data_path": "train/data/mix.json", "evaluation_strategy": "steps", "eval_steps": 1,
                 "per_device_eval_batch_size": 2, "max_steps": 1}
        losses = []
        for processes in (1, 3):
            output = self.train(num_processes=processes, learning_rate=0, **flags)
            state = json.loads((output / "trainer_state.json").read_text())
            losses += [entry["eval_loss"] for entry in state["log_history"] if "eval_loss" in entry]
        self.assertEqual(len(losses), 2)
        self.assertAlmostEqual(losses[0], losses[1], delta=1e-6 * losses[0])

    def test_a_launcher_can_start_them(self):
        mix = self.mix()
        flags = {"data_path": self.data(mix[0], mix[2]), "max_steps": 3}
        one = self.train(gradient_accumulation_steps=2, **flags)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        place = {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
        output = self.folder / "launched"
        ranks = [start(flags | {"local_rank": rank}, output, place | {"RANK": str(rank), "LOCAL_RANK": str(rank)}) for rank in range(2)]
        for rank in ranks:
            finish(rank)
        self.assert_same_run(output, one)
        ranks = [start(flags | {"learning_rate": 0.1 * (rank + 1)}, self.folder / "other", place | {"RANK": str(rank)}) for rank in range(2)]
        for rank in ranks:
            _, error = rank.communicate(timeout=60)
            self.assertEqual(rank.returncode, 2, error)
            self.assertIn("rank 1 has another set of flags", error)

    def test_a_killed_rank_ends_the_others(self):
        for victim in range(2):
            output = self.folder / f"killed{victim}"
            process = start({"data_path": "train/data/mix.json", "num_processes": 3, "max_steps": 100000}, output)
            wait_for_steps(output, 2)
            ranks = children(process)
            self.assertEqual(len(ranks), 3)
            os.kill(ranks[victim], signal.SIGKILL)
            _, error = process.communicate(timeout=30)
            self.assertEqual(process.returncode, 4)
            self.assertIn(f"rank {victim} of 3 (process {ranks[victim]}) was killed by signal 9", error)

    def test_a_rank_that_fails_ends_the_others(self):
        data = self.mix()[:8]
        data[5]["image"] = "gone.png"
        data[5]["conversations"][0]["value"] = "<image>\nwhat?"
        process = start({"data_path": self.data(*data), "num_processes": 2, "num_train_epochs": 1}, self.folder / "out")
        _, error = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 3, error)
        self.assertIn("gone.png", error)

    def test_interrupted_they_write_a_checkpoint(self):
        output = self.folder / "interrupted"
        process = start({"data_path": "train/data/mix.json", "num_processes": 2, "max_steps": 100000}, output)
        wait_for_steps(output, 2)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130, error)
        self.assertEqual(len(list(output.glob("checkpoint-*"))), 1)

    def test_killed_all_together_they_resume_bit_for_bit(self):
        flags = {"data_path": "train/data/mix.json", "num_processes": 2, "num_train_epochs": 3, "gradient_accumulation_steps": 2,
                 "save_strategy": "steps", "save_steps": 2, "lora_enable": True, "lora_r": 4, "lora_dropout": 0.2}
        whole = self.train(**flags)
        broken = self.folder / "broken"
        for steps in (3, 8):
            process = start(flags, broken)
            wait_for_steps(broken, steps)
            process.kill()  # the ranks go with it
            process.communicate()
        finish(start(flags, broken))
        self.assertEqual([(s["samples"], s["micro_losses"], s["loss"]) for s in history(broken)],
                         [(s["samples"], s["micro_losses"], s["loss"]) for s in history(whole)])
        self.assertEqual(tensors(broken), tensors(whole))

    def resumed(self, whole, step, **flags):
        """A run that goes on from a checkpoint of another."""
        self.number += 1
        output = self.folder / str(self.number)
        output.mkdir()
        shutil.copytree(whole / f"checkpoint-{step}", output / f"checkpoint-{step}")
        (output / "train_log.jsonl").write_text("".join(
            line for line in (whole / "train_log.jsonl").read_text().splitlines(True) if json.loads(line)["step"] <= step))
        finish(start(flags, output))
        return output

    def test_others_go_on_at_the_same_sample(self):
        flags = {"data_path": "train/data/mix.json", "num_train_epochs": 2, "save_strategy": "steps", "save_steps": 4, "learning_rate": 1e-4}
        for processes, accumulation in ((2, 2), (1, 4)):
            whole = self.train(num_processes=processes, gradient_accumulation_steps=accumulation, **flags)
            for now, then in ((1, 4), (2, 2), (4, 1)):
                with self.subTest(before=processes, after=now):
                    # Up to the end of the epoch steps see the same samples; its last round is filled up by the number of ranks.
                    again = self.resumed(whole, 4, num_processes=now, gradient_accumulation_steps=then, **flags)
                    a, b = history(again), history(whole)
                    self.assertEqual([sorted(s["samples"]) for s in a[:6]], [sorted(s["samples"]) for s in b[:6]])
                    for ours, theirs in zip(a[4:6], b[4:6]):
                        self.assertAlmostEqual(ours["loss"], theirs["loss"], delta=2e-4)
                        self.assertAlmostEqual(ours["grad_norm"], theirs["grad_norm"], delta=1e-4 * theirs["grad_norm"])

    def test_they_can_share_the_work_of_one(self):
        # Its order of samples, its dropout, and accumulation that runs on across epochs.
        flags = {"data_path": "train/data/mix.json", "num_train_epochs": 2, "gradient_accumulation_steps": 4, "save_strategy": "steps",
                 "save_steps": 4, "lora_enable": True, "lora_r": 4, "lora_dropout": 0.3, "threads": 2}
        one = self.train(**flags)
        process = start(flags | {"num_processes": 0}, self.folder / "measured", {"LLAVA_LOG": "info"})
        _, error = process.communicate(timeout=300)
        self.assertEqual(process.returncode, 0, error)
        self.assertEqual(error.count("processes_measured"), 1)
        self.assert_same_run(self.folder / "measured", one)
        for chosen in (1, 2):
            state = one / "checkpoint-4/run_state.json"
            state.write_text(json.dumps(json.loads(state.read_text()) | {"num_processes": chosen}))
            again = self.resumed(one, 4, num_processes=0, **flags)
            self.assert_same_run(again, one)
            self.assertEqual([step["samples"] for step in history(again)], [step["samples"] for step in history(one)])
            kept = json.loads((again / "checkpoint-12/run_state.json").read_text())["num_processes"]
            self.assertEqual(kept, chosen)

    def test_another_size_of_steps(self):
        flags = {"data_path": "train/data/mix.json", "num_train_epochs": 1, "save_strategy": "steps", "save_steps": 4}
        whole = self.train(num_processes=2, **flags)  # steps of 2 samples
        again = self.resumed(whole, 4, per_device_train_batch_size=3, num_processes=2, **flags)
        samples = [index for step in history(again) for index in step["samples"]]
        self.assertEqual(sorted(samples), list(range(26)))  # 4 steps of 2, 3 of 6
        self.assertEqual(json.loads((again / "trainer_state.json").read_text())["global_step"], 7)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
