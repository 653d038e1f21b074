#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`llava serve --tp`: several processes, and several machines, answer as one, and none outlives another.

usage: tensor_parallel_test.py PROGRAM ROOT
"""

import base64
import json
import os
import pathlib
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

PROGRAM, ROOT = sys.argv[1], pathlib.Path(sys.argv[2])
GOLDEN = ROOT / "tests/golden"
ENVIRONMENT = os.environ | {"LLAVA_THREADS": "3", "LLAVA_LOG": ""}
# Of log-probabilities; where two tokens are nearer to each other than twice that, either may be chosen.
TOLERANCE = 1e-4
NUM_RANKS = 3  # the golden model's heads


def command(*flags, model="llava-v1.5-pad"):
    """For a golden model, or for the bundled one."""
    model_flags = ["--model-path", str(GOLDEN / "models" / model), "--dtype", "float32"] if model else []
    return [PROGRAM, "serve", "--no-web", "--port", "0", "--drain-delay", "0", *model_flags, *flags]


class Server:
    def __init__(self, *flags, model="llava-v1.5-pad", environment=None, is_waited_for=True):
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(command(*flags, model=model), stdout=subprocess.PIPE, stderr=self.errors, text=True, env=ENVIRONMENT | (environment or {}))
        if is_waited_for:
            self.wait_until_ready()

    def wait_until_ready(self):
        self.address = self.process.stdout.readline().strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.errors.close()

    def wait(self):
        status = self.process.wait(timeout=60)
        self.errors.seek(0)
        return status, self.errors.read().decode()

    def ask(self, path, body):
        request = urllib.request.Request(self.address + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)

    def ranks(self):
        """The processes that the server has started."""
        found = []
        for status in pathlib.Path("/proc").glob("[0-9]*/status"):
            try:
                if f"PPid:\t{self.process.pid}\n" in status.read_text():
                    found.append(int(status.parent.name))
            except OSError:
                pass
        return found


def has_ended(process):
    """Waits for the end of a process that need not be a child."""
    try:
        descriptor = os.pidfd_open(process)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], 10)[0])
    finally:
        os.close(descriptor)


def picture(name):
    data = base64.b64encode((GOLDEN / "images" / name).read_bytes()).decode()
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}


def chat(*content, **members):
    return {"messages": [{"role": "user", "content": list(content)}], "temperature": 0, "max_tokens": 24, "logprobs": True,
            "top_logprobs": 2} | members


TEXT = {"type": "text", "text": "What is shown, and how many are there?"}
QUESTIONS = [chat(TEXT), chat(picture("wide_150x13.png"), TEXT), chat(picture("square_28x28.png"), picture("thin_2x90.png"), TEXT)]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Machines:
    """Machines that share a model, one rank each: here all of them are this one."""

    def __init__(self, *flags, secrets=("one", "one"), models=("llava-v1.5-pad", "llava-v1.5-pad"), nnodes=3):
        port = str(free_port())
        self.machines = []
        # The first one comes last: the others wait for it.
        for rank in reversed(range(nnodes)):
            self.machines.insert(0, Server("--tp", str(NUM_RANKS), "--nnodes", str(nnodes), "--node-rank", str(rank), "--master-port", port,
                                           *flags, model=models[min(rank, 1)], is_waited_for=False,
                                           environment={"LLAVA_RANK_SECRET": secrets[min(rank, 1)]}))
        self.first = self.machines[0]

    def __enter__(self):
        return self

    def __exit__(self, *arguments):
        for machine in self.machines:
            machine.__exit__(*arguments)


class TensorParallel(unittest.TestCase):
    def expect_same(self, found, expected, tolerance=TOLERANCE):
        ours, theirs = (answer["choices"][0]["logprobs"]["content"] for answer in (found, expected))
        self.assertTrue(theirs)
        for one, other in zip(ours, theirs):
            first, second = (rival["logprob"] for rival in other["top_logprobs"])
            if one["token"] != other["token"] and first - second < 2 * tolerance:
                return
            self.assertEqual(one["token"], other["token"])
            self.assertAlmostEqual(one["logprob"], other["logprob"], delta=tolerance)
        self.assertEqual(len(ours), len(theirs))

    def test_answers_as_one_process(self):
        backends = ["native", "torch"] if pathlib.Path(PROGRAM).with_name("llava-torch").exists() else ["native"]
        for backend in backends:
            flags = "--tensor-parallel-size", str(NUM_RANKS), "--backend", backend
            with self.subTest(backend=backend), Server() as alone, Server(*flags) as together:
                self.assertEqual(len(together.ranks()), NUM_RANKS - 1)
                self.compare(together, alone)

    def compare(self, together, alone):
        for question in QUESTIONS * 2:  # the second time from the caches
            self.expect_same(together.ask("/v1/chat/completions", question), alone.ask("/v1/chat/completions", question))
        body = {"input": "a text"}
        ours, theirs = (server.ask("/v1/embeddings", body)["data"][0]["embedding"] for server in (together, alone))
        for one, other in zip(ours, theirs, strict=True):
            self.assertAlmostEqual(one, other, delta=TOLERANCE)
        body = {"messages": [{"role": "user", "content": [picture("square_28x28.png"), TEXT]}, {"role": "assistant", "content": "A square."}]}
        ours, theirs = (server.ask("/v1/attention", body)["tokens"] for server in (together, alone))
        for one, other in zip(ours, theirs, strict=True):
            for row, expected in zip(one["images"][0]["weights"][0], other["images"][0]["weights"][0], strict=True):
                self.assertAlmostEqual(row, expected, delta=TOLERANCE)

    def test_quantized_weights(self):
        """The bundled model, whose base has 4 and 8 bits: activations are rounded, so sums that differ in the last bit may differ by a step of these."""
        question = {"messages": [{"role": "user", "content": [picture("square_28x28.png"), {"type": "text", "text": "what shape is in the image?"}]}],
                    "temperature": 0, "max_tokens": 12, "logprobs": True, "top_logprobs": 2}
        talk = {"messages": [{"role": "user", "content": "Tell me about the sea."}], "temperature": 0, "max_tokens": 12, "logprobs": True, "top_logprobs": 2}
        with Server(model=None) as alone, Server("--tp", str(NUM_RANKS), model=None) as together:
            for body in (question, talk):
                self.expect_same(together.ask("/v1/chat/completions", body), alone.ask("/v1/chat/completions", body), tolerance=0.1)

    def test_lost_rank_ends_the_group(self):
        for number in (signal.SIGKILL, signal.SIGTERM):
            with Server("--tp", str(NUM_RANKS)) as server:
                ranks = server.ranks()
                begin = time.monotonic()
                os.kill(ranks[-1], number)
                status, errors = server.wait()
                self.assertEqual(status, 3, errors)
                self.assertLess(time.monotonic() - begin, 30)
                self.assertIn("of the model (process", errors)
                self.expect_ended(ranks)

    def test_all_encode_tiles(self):
        model = "llava-v1.6-unpad"
        with Server(model=model) as alone, Server("--tp", str(NUM_RANKS), "--encoder-dp", model=model) as together:
            self.compare(together, alone)

    def test_machines_answer_as_one_process(self):
        with Server() as alone, Machines() as together:
            together.first.wait_until_ready()
            self.assertEqual([len(machine.ranks()) for machine in together.machines], [0, 1, 1])
            self.compare(together.first, alone)
            together.first.process.send_signal(signal.SIGTERM)
            self.assertEqual(together.first.wait()[0], 0)
            for machine in together.machines[1:]:
                status, errors = machine.wait()
                self.assertEqual(status, 3, errors)
                self.assertIn("lost its first rank", errors)

    def test_a_lost_machine_ends_the_others(self):
        for number, expected in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 0)):
            with self.subTest(signal=number), Machines() as together:
                together.first.wait_until_ready()
                ranks = [rank for machine in together.machines for rank in machine.ranks()]
                together.machines[1].process.send_signal(number)
                self.assertEqual(together.machines[1].wait()[0], expected)
                for machine in (together.first, together.machines[2]):
                    status, errors = machine.wait()
                    self.assertEqual(status, 3, errors)
                self.assertIn("of the model (on another machine)", together.first.wait()[1])
                self.expect_ended(ranks)

    def test_machines_with_another_secret_or_model(self):
        with Machines(secrets=("one", "other")) as together:
            for machine in together.machines[1:]:
                status, errors = machine.wait()
                self.assertEqual(status, 2, errors)
                self.assertIn("LLAVA_RANK_SECRET", errors)
            self.assertIsNone(together.first.process.poll())
        with Machines(models=("llava-v1.5-pad", self.other_model())) as together:
            status, errors = together.first.wait()
            self.assertEqual(status, 2, errors)
            self.assertIn("has loaded another model", errors)

    def other_model(self):
        """A folder like the golden model's, one weight of the decoder being another."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        model = pathlib.Path(folder.name) / "model"
        shutil.copytree(GOLDEN / "models/llava-v1.5-pad", model)
        shutil.copytree(GOLDEN / "models/towers", model.parent / "towers")
        weights = model / "model-00001-of-00002.safetensors"
        data = bytearray(weights.read_bytes())
        data[-1] ^= 1
        weights.write_bytes(data)
        return model

    def test_silent_rank_ends_the_group(self):
        with Server("--tp", str(NUM_RANKS)) as server:
            ranks = server.ranks()
            os.kill(ranks[0], signal.SIGSTOP)
            with self.assertRaises(OSError):
                server.ask("/v1/chat/completions", QUESTIONS[0])
            status, errors = server.wait()
            self.assertEqual(status, 3, errors)
            self.expect_ended(ranks)

    def test_no_rank_outlives_the_server(self):
        for number, expected in ((signal.SIGTERM, 0), (signal.SIGINT, 0), (signal.SIGKILL, -signal.SIGKILL)):
            with Server("--tp", str(NUM_RANKS)) as server:
                ranks = server.ranks()
                self.assertEqual(len(ranks), NUM_RANKS - 1)
                server.process.send_signal(number)
                status, errors = server.wait()
                self.assertEqual(status, expected, errors)
                self.expect_ended(ranks)

    def expect_ended(self, ranks):
        for rank in ranks:
            self.assertTrue(has_ended(rank))

    def test_refuses_what_cannot_be_shared(self):
        for flags, status, words in ((("--tp", "2"), 2, "3 attention heads cannot be shared evenly by 2 ranks"),
                                     (("--tp", "3", "--load-4bit"), 3, "are no share of q4 weights"),
                                     (("--tp", "3", "--device", "cuda"), 3, "on the processor"),
                                     (("--tp", "3", "--nnodes", "2"), 2, "cannot be spread evenly over --nnodes 2"),
                                     (("--tp", "3", "--nnodes", "6"), 2, "cannot be spread evenly over --nnodes 6"),
                                     (("--tp", "3", "--nnodes", "3", "--node-rank", "3"), 2, "the last one is 2"),
                                     (("--tp", "3", "--nnodes", "3"), 2, "LLAVA_RANK_SECRET")):
            result = subprocess.run(command(*flags), capture_output=True, text=True, env=ENVIRONMENT, timeout=120)
            self.assertEqual(result.returncode, status, result.stderr)
            self.assertIn(words, result.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[3:])
