#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`llava train report`: the page it makes of runs that are finished, going on, hostile or damaged.

usage: train_report_test.py PROGRAM ROOT
"""

import html.parser
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

PROGRAM, ROOT = sys.argv[1], pathlib.Path(sys.argv[2])
EXAMPLE = ROOT / "models/tiny-llava-smollm2/examples/red_triangle.png"
VOID = {"meta", "img", "br", "hr", "link", "input", "base", "source", "col", "wbr", "embed", "area", "track", "param"}
HOSTILE = "</title></td><script>alert(1)</script><img src=https://example.org/x.png onerror=alert(1)>\"'"


class Page(html.parser.HTMLParser):
    """Parses strictly: every element closed in its order, quoted attributes, and nothing from elsewhere."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text, self.faults, self.urls, self.ids = [], [], [], [], [], set()
        self.feed(text)
        self.close()
        if self.open:
            self.faults.append(f"never closed: {self.open}")

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag not in VOID and not self.get_starttag_text().endswith("/>"):
            self.open.append(tag)
        names = [name for name, _ in attributes]
        if len(names) != len(set(names)):
            self.faults.append(f"attribute twice: {self.get_starttag_text()[:200]}")
        for name, value in attributes:
            if name.startswith("on") or name == "style":
                self.faults.append(f"{name} of {tag}")
            if name in ("src", "href", "srcset", "action", "data", "poster", "xlink:href"):
                self.urls.append(value)
            if name == "id":
                self.ids.add(value)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> out of place at {self.getpos()}")

    def handle_data(self, data):
        self.text.append(data)


class TrainReport(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="llava-report-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.run_folder = self.folder / "run"
        self.run_folder.mkdir()

    def write(self, name, *objects):
        path = self.run_folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join((o if isinstance(o, str) else json.dumps(o)) + "\n" for o in objects))
        return path

    def report(self, *flags, status=0):
        environment = {**os.environ, "LLAVA_LOG": "warning"}
        result = subprocess.run([PROGRAM, "train", "report", *map(str, flags)], capture_output=True, text=True,
                                timeout=120, env=environment)
        self.assertEqual(result.returncode, status, result.stderr)
        self.assertEqual(result.stdout, "")
        return result.stderr

    def page(self, path=None):
        text = (path or self.run_folder / "report.html").read_text(encoding="utf-8")
        page = Page(text)
        self.assertEqual(page.faults, [])
        for url in page.urls:
            self.assertRegex(url, r"^(#[a-z]+|data:image/png;base64,[A-Za-z0-9+/]+=*)$")
            if url.startswith("#"):
                self.assertIn(url[1:], page.ids)
        self.assertNotIn("script", page.tags)
        self.assertNotRegex(text, r"url\(|@import")
        self.assertIn("default-src 'none'", text)
        return page, "".join(page.text)

    def whole_run(self):
        steps = [{"step": i, "epoch": i / 2000, "loss": 2 / i ** 0.3, "learning_rate": 1e-4, "grad_norm": 1.0,
                  "tokens": 1000, "label_tokens": 300, "samples": [i, i + 1], "ignored_samples": 0,
                  "skipped_steps": 0, "seconds": 0.5, "tokens_per_second": 2000.0} for i in range(1, 4001)]
        self.write("train_log.jsonl", *steps, {"eval_loss": 0.4, "epoch": 1, "step": 2000},
                   {"train_runtime": 2100.0, "train_loss": 0.3, "epoch": 2.0, "step": 4000})
        self.write("training_args.json", {"learning-rate": 1e-4, "tune-mm-mlp-adapter": True, "output-dir": "run",
                                          "model-name-or-path": "base", "adam-beta1": 0.9})
        self.write("trainer_state.json", {"max_steps": 4000, "log_history": []})
        self.write("checkpoint-4000/model.safetensors", "x" * 2047)
        self.write("predictions.jsonl", *[{"step": step, "sample": 1, "image": str(EXAMPLE), "prompt": "Colour?",
                                           "reference": "red", "answer": answer}
                                          for step, answer in ((10, "blue"), (4000, "red"))])

    def test_a_whole_run(self):
        self.whole_run()
        self.assertIn("wrote", self.report(self.run_folder))
        page, text = self.page()
        for part in ("finished after 4,000 steps", "projector alone (stage 1)", "2000 (30.0 % of them trained)", "33 min 20 s",
                     "nats per trained token", "of 4,000 points", "checkpoint-4000", "2.0 KiB", "as expected"):
            self.assertIn(part, text)
        self.assertEqual(page.tags.count("img"), 1)
        self.assertEqual(page.tags.count("figure"), 5)
        self.assertLess(text.index("--learning-rate"), text.index("--adam-beta1"))

    def test_the_check_of_the_data(self):
        data = self.folder / "data.json"
        data.write_text(json.dumps([{"id": HOSTILE, "conversations": [{"from": "human", "value": "Hi <image>"},
                                                                      {"from": "gpt", "value": ""}]}]))
        check = subprocess.run([PROGRAM, "data", "check", data, "--json"], capture_output=True, text=True, timeout=120)
        (self.folder / "check.json").write_text(check.stdout)
        self.write("train_log.jsonl", {"step": 1, "loss": 1})
        self.report(self.run_folder, "--data-check", self.folder / "check.json", "--output", self.folder / "other.html")
        page, text = self.page(self.folder / "other.html")
        self.assertIn("empty_answer", text)
        self.assertIn("Lengths of the samples", text)
        self.assertIn("rect", page.tags)
        self.assertFalse((self.run_folder / "report.html").exists())

    def test_a_run_that_was_killed(self):
        self.whole_run()
        log = self.run_folder / "train_log.jsonl"
        (self.run_folder / "trainer_state.json").unlink()
        for size in (0, 1, 150, 1000, 33333):
            with self.subTest(bytes=size):
                log.write_bytes(log.read_bytes()[:1000000])
                os.truncate(log, size)
                self.report(self.run_folder)
                self.assertIn("not finished", self.page()[1])
                self.whole_run()
                (self.run_folder / "trainer_state.json").unlink()

    def test_broken_lines_are_counted_and_named(self):
        self.write("train_log.jsonl", {"step": 1, "loss": 2}, "{broken", {"loss": 1}, {"step": 2, "loss": 1})
        self.write("predictions.jsonl", {"step": 1, "sample": 1, "prompt": 5, "answer": "a"})
        errors = self.report(self.run_folder)
        text = self.page()[1]
        for part in ("train_log.jsonl: 2 lines could not be read", "line 2: ", "line 3: ", "predictions.jsonl: 1 line"):
            self.assertIn(part, errors)
            self.assertIn(part, text)

    def test_hostile_texts(self):
        self.write("train_log.jsonl", {"step": 1, "loss": 1}, HOSTILE)
        self.write("training_args.json", {"run-name": HOSTILE, HOSTILE: HOSTILE, "image-folder": HOSTILE})
        self.write("config.json", {"model_type": HOSTILE})
        self.write("predictions.jsonl", {"step": 1, "sample": HOSTILE, "image": [HOSTILE, "\0", "../" * 9],
                                         "prompt": HOSTILE + "\x1b\u2028", "reference": HOSTILE, "answer": HOSTILE})
        hostile_name = self.folder / "<script>alert(1)<"
        self.run_folder = self.run_folder.rename(hostile_name)
        self.report(self.run_folder)
        page, text = self.page()
        self.assertIn("<script>alert(1)</script>", text)
        self.assertNotIn("img", page.tags)

    def test_a_picture_that_is_gone(self):
        self.write("train_log.jsonl", {"step": 1, "loss": 1})
        self.write("predictions.jsonl", {"step": 1, "sample": 1, "image": "gone.png", "prompt": "p", "answer": "a"})
        self.report(self.run_folder)
        self.assertIn("The picture gone.png is gone", self.page()[1])

    def test_what_is_no_run(self):
        for place, flags, status, message in (
                (self.folder / "none", [], 3, "there is no folder"),
                (self.folder, [], 3, "is not the folder of a training run"),
                (self.run_folder, ["--data-check", self.folder / "none.json"], 3, "none.json"),
                (self.run_folder, ["--outptu", "x"], 2, "did you mean --output?"),
                (self.run_folder, ["--output", self.folder / "none" / "x.html"], 3, "x.html")):
            with self.subTest(message):
                self.write("train_log.jsonl", {"step": 1, "loss": 1})
                self.assertIn(message, self.report(place, *flags, status=status))
        self.assertIn("expected one", self.report(status=2))


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v"])
