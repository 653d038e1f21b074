# SPDX-License-Identifier: Apache-2.0
"""Runs OpenVINO GenAI on a GGUF language model under the control of run: the commands of llama_driver.cc, without pictures.

    openvino_driver.py MODEL.gguf threads=2

Times are those the library reports of its own inference calls. It has no batches of sequences in this interface and no
vision tower in a GGUF file: those cases answer with an error.
"""

import json
import sys
import time

import numpy as np
import openvino as ov
import openvino_genai as genai

STEPS = 8


def peak_bytes(key):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(key))


class Driver:
    def __init__(self, model, threads):
        start = time.monotonic()
        self.pipeline = genai.LLMPipeline(model, "CPU", INFERENCE_NUM_THREADS=threads, PERFORMANCE_HINT="LATENCY")
        self.load_ms = 1000 * (time.monotonic() - start)
        self.random = np.random.default_rng(1)

    def generate(self, ids, count):
        """New tokens after a prompt, and the milliseconds of each inference call, the prompt's first."""
        ids = np.asarray([ids], np.int64)
        config = genai.GenerationConfig()
        config.max_new_tokens, config.ignore_eos, config.do_sample = count, True, False
        inputs = genai.TokenizedInputs(ov.Tensor(ids), ov.Tensor(np.ones_like(ids)))
        result = self.pipeline.generate(inputs, config)
        return result.tokens[0], [us / 1000 for us in result.perf_metrics.raw_metrics.token_infer_durations]

    def run(self, command):
        name, _, rest = command.partition(":")
        if name == "prefill":
            return {"ms": self.generate(self.random.integers(300, 30000, int(rest)), 1)[1][:1]}
        if name == "decode":
            return {"ms": self.generate(self.random.integers(300, 30000, int(rest)), STEPS + 1)[1][1:]}
        if name == "greedy":
            count, _, ids = rest.partition(":")
            return {"ids": self.generate([int(word) for word in ids.split(",")], int(count))[0]}
        if name == "memory":
            return {"bytes": peak_bytes("VmRSS"), "peak_bytes": peak_bytes("VmHWM")}
        return {"error": f"OpenVINO GenAI is not measured on '{command}'"}


def main():
    options = dict(word.split("=", 1) for word in sys.argv[2:])
    driver = Driver(sys.argv[1], int(options.get("threads", "2")))
    print(json.dumps({"program": "OpenVINO GenAI " + ov.__version__, "load_ms": driver.load_ms}), flush=True)
    for line in sys.stdin:
        print(json.dumps(driver.run(line.strip())), flush=True)


if __name__ == "__main__":
    main()
