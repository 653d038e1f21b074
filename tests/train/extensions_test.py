# SPDX-License-Identifier: Apache-2.0
"""What `llava train` does and the original's trainer does not has the losses of PyTorch (make_extensions.py): a tower with its own rate,
adapters on tower and projector, anyres pictures.

usage: extensions_test.py PROGRAM
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

TESTS = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = pathlib.Path(sys.argv[1]).resolve()
EXPECTED = json.loads((TESTS / "train/extensions/expected.json").read_text())
# Relative: float32 in another order.
LOSS, NORM = 1e-5, 1e-4


class Extensions(unittest.TestCase):
    def check(self, name):
        run = EXPECTED[name]
        with tempfile.TemporaryDirectory() as folder:
            command = [str(PROGRAM), "train", "--output_dir", folder, "--report_to", "json", "--logging_steps", "1", "--save_strategy", "no"]
            for flag, value in run["flags"].items():
                if value != "":
                    command += [f"--{flag}", str(value)]
            result = subprocess.run(command, cwd=TESTS, capture_output=True, text=True)
            self.assertEqual(result.returncode, 0, result.stderr)
            lines = [json.loads(line) for line in (pathlib.Path(folder) / "train_log.jsonl").read_text().splitlines()]
        steps = [line for line in lines if "micro_losses" in line]
        self.assertEqual(len(steps), len(run["losses"]))
        for number, (step, loss, norm) in enumerate(zip(steps, run["losses"], run["norms"])):
            self.assertAlmostEqual(step["micro_losses"][0], loss, delta=LOSS * loss, msg=f"step {number + 1}")
            self.assertAlmostEqual(step["grad_norm"], norm, delta=NORM * norm, msg=f"step {number + 1}")


for case in EXPECTED:
    setattr(Extensions, f"test_{case}", lambda self, name=case: self.check(name))

if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
