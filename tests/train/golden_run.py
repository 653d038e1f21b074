# SPDX-License-Identifier: Apache-2.0
"""`llava train` repeats runs of the original trainer: order of samples, rates, losses, norms, moments, final tensors.

usage: golden_run.py PROGRAM ROOT [VARIANT...]
ROOT is a folder of runs: the original's working folder, with train/<run>/{run.json,expected.json,expected_<variant>.safetensors}.
A run's variants are "asis" (the original's float16 tower) and "fp32tower" (the tower in float32, for tight tolerances).
"""

import json
import math
import pathlib
import struct
import subprocess
import sys
import tempfile
from array import array

# Relative tolerances: losses of the first step and of the others, norms of gradients, norms of differences of a tensor. A
# float16 tower rounds differently in other hands, which a run then carries on.
TOLERANCES = {"fp32tower": (1e-5, 1e-5, 1e-4, 1e-4), "asis": (1e-4, 1e-3, 5e-3, 2e-2)}


def read_safetensors(path):
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + size])
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        if entry["dtype"] == "F32":
            tensors[name] = array("f", data[8 + size + begin:8 + size + end])
    return tensors


def shapes(path):
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    return {name: (entry["dtype"], entry["shape"]) for name, entry in json.loads(data[8:8 + size]).items() if name != "__metadata__"}


def canonical(name):
    """The expected files' names -> ours: base_model.model.<layer>.lora_A.default.weight -> <layer>.lora_A."""
    name = name.removeprefix("base_model.model.")
    for letter in "AB":
        name = name.replace(f".lora_{letter}.default.weight", f".lora_{letter}")
    return name


# Of runs longer than this, losses of the first ten steps and of the others: differences of the last bit grow.
SHORT = 30
LONG_TOLERANCES = (1e-4, 1e-3)
# Norm of the differences of all weights, or all first or second moments, together: float32 towers, runs of ten steps and more.
STATE_TOLERANCE = 1e-5

# Of the original's final files: versions; the library for models that are split over machines; how often this test saves.
MAY_DIFFER = ("transformers_version", "megatron_core", "save_steps")


class Check:
    def __init__(self, program, root, run, variant):
        self.program, self.root, self.variant = program, root, variant
        self.folder = root / "train" / run
        self.run = json.loads((self.folder / "run.json").read_text())
        everything = json.loads((self.folder / "expected.json").read_text())
        self.expected, self.order = everything[variant], everything["order"]
        self.first_loss, self.loss, self.norm, self.tensor = TOLERANCES[variant]
        self.problems = []

    def expect(self, what, is_so):
        if not is_so:
            self.problems.append(what)

    def close(self, what, found, expected, tolerance):
        if math.isnan(expected):
            self.expect(f"{what}: {found}, expected nan", math.isnan(found))
        else:
            self.expect(f"{what}: {found}, expected {expected}", abs(found - expected) <= tolerance * abs(expected))

    def train(self, output):
        command = [self.program, "train", "--compat", "reference", "--output_dir", str(output), "--threads", "2"]
        for name, value in self.run["flags"].items():
            command += [f"--{name}", str(value)]
        if self.run["flags"].get("lora_enable"):
            command += ["--lora_weight_path", str(self.folder / "init")]
        if self.variant == "fp32tower":
            command += ["--vision_tower_dtype", "fp32"]
        command += ["--save_strategy", "steps", "--save_steps", "1", "--report_to", "json"]
        result = subprocess.run(command, cwd=self.root, capture_output=True, text=True)
        if result.returncode != 0:
            raise SystemExit(f"{' '.join(map(str, command))}\nexit status {result.returncode}\n{result.stderr}")
        lines = [json.loads(line) for line in (output / "train_log.jsonl").read_text().splitlines()]
        return [line for line in lines if "micro_losses" in line], lines[-1]

    def check(self):
        with tempfile.TemporaryDirectory() as folder:
            output = pathlib.Path(folder) / "out"
            steps, summary = self.train(output)
            self.check_steps(steps)
            self.check_summary(summary)
            self.check_tensors(output, len(steps))
            self.check_files(output)
        return self.problems

    def check_steps(self, steps):
        expected = self.expected["steps"]
        self.expect(f"{len(steps)} steps, expected {len(expected)}", len(steps) == len(expected))
        self.largest = 0.0
        order = []
        for found, wanted in zip(steps, expected):
            name = f"step {wanted['step']}"
            order += found["samples"]
            loss = self.loss
            if len(expected) > SHORT:
                loss = max(loss, LONG_TOLERANCES[wanted["step"] > 10])
            for i, (ours, theirs) in enumerate(zip(found["micro_losses"], wanted["micro_losses"])):
                ours = math.nan if ours is None else ours
                theirs = math.nan if theirs is None else theirs
                self.close(f"{name}, micro-loss {i}", ours, theirs, self.first_loss if wanted["step"] == 1 else loss)
                if not math.isnan(theirs):
                    self.largest = max(self.largest, abs(ours - theirs) / abs(theirs))
            # The original's are counted before pictures take their room, which may push some over the limit.
            self.expect(f"{name}: trained tokens {found['label_tokens']}, expected {sum(wanted['micro_label_tokens'])}",
                        found["label_tokens"] <= sum(wanted["micro_label_tokens"]))
            self.expect(f"{name}: rate {found['learning_rate']}, expected {wanted['lr_logged']}",
                        math.isclose(found["learning_rate"], wanted["lr_logged"], rel_tol=4e-16, abs_tol=0))
            self.expect(f"{name}: loss {found['loss']}, expected {wanted['loss_logged']}",
                        abs(found["loss"] - wanted["loss_logged"]) <= max(1.01e-4, loss * wanted["loss_logged"]))
            self.expect(f"{name}: epoch {found['epoch']}, expected {wanted['epoch_logged']}", found["epoch"] == wanted["epoch_logged"])
            self.close(f"{name}, norm", found["grad_norm"], wanted["grad_norm_before_clip"], max(self.norm, loss))
        # The original also reads ahead, and its last micro-batches may be too few for a step.
        self.expect(f"order {order}, expected {self.order}", order == self.order[:len(order)] and len(self.order) < len(order) + 8)

    def check_summary(self, summary):
        for name, wanted in self.expected["final_log"].items():
            self.close(name, summary[name], wanted, self.loss if name == "train_loss" else 0)

    def check_tensors(self, output, last):
        expected = read_safetensors(self.folder / f"expected_{self.variant}.safetensors")
        states = {step: read_safetensors(output / f"checkpoint-{step}" / "optimizer.safetensors") for step in (1, last)}
        places = {"final": (last, "master"), "after_step1": (1, "master"), "exp_avg_after_step1": (1, "exp_avg"),
                  "exp_avg_final": (last, "exp_avg"), "exp_avg_sq_final": (last, "exp_avg_sq"), "exp_avg_sq_after_step1": (1, "exp_avg_sq")}
        squares = {prefix: [0.0, 0.0] for prefix in places}
        for name, wanted in expected.items():
            prefix, rest = name.split(".", 1)
            step, kind = places[prefix]
            found = states[step].get(f"{kind}.{canonical(rest)}")
            if found is None:
                self.problems.append(f"{name}: no such tensor")
                continue
            self.expect(f"{name}: {len(found)} elements, expected {len(wanted)}", len(found) == len(wanted))
            distance, norm = math.dist(found, wanted), math.hypot(*wanted)
            difference = distance / max(1e-30, norm)
            self.expect(f"{name}: relative difference {difference:.2e}", difference <= self.tensor)
            squares[prefix][0] += distance**2
            squares[prefix][1] += norm**2
        if self.variant == "fp32tower" and last >= 10:
            for prefix, (distance, norm) in squares.items():
                self.expect(f"{prefix}: relative difference {math.sqrt(distance / max(1e-60, norm)):.2e}",
                            distance <= STATE_TOLERANCE**2 * norm)

    def check_files(self, output):
        """What the original wrote at the end, where that is kept: ours says the same, and may say more."""
        theirs = self.folder / f"final_{self.variant}"
        for path in theirs.glob("*.json"):
            found, wanted = json.loads((output / path.name).read_text()), json.loads(path.read_text())
            for key, value in wanted.items():
                if key == "target_modules":  # a set, in no order
                    self.expect(f"{path.name}: {key} {found[key]}", sorted(found[key]) == sorted(value))
                elif key == "log_history":  # the numbers are those of the steps
                    self.expect(f"{path.name}: {key}", [sorted(entry) for entry in found[key]] == [sorted(entry) for entry in value])
                elif key not in MAY_DIFFER and value not in (None, {}):
                    self.expect(f"{path.name}: {key} is {found.get(key)}, expected {value}", found.get(key) == value)
        for path in theirs.glob("*.safetensors"):
            self.expect(f"{path.name}: names, shapes or types differ", shapes(output / path.name) == shapes(path))


def main():
    program, root = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
    status = 0
    for folder in sorted((root / "train").iterdir()):
        if not (folder / "run.json").exists():
            continue
        expected = json.loads((folder / "expected.json").read_text())
        for variant in sys.argv[3:] or [v for v in TOLERANCES if v in expected]:
            check = Check(program, root, folder.name, variant)
            problems = check.check()
            print(f"{folder.name} {variant}: {'; '.join(problems[:12]) or 'equal'} (losses within {check.largest:.1e})")
            status = status or int(bool(problems))
    return status


if __name__ == "__main__":
    sys.exit(main())
