#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""huggingface_hub and transformers, unmodified, on the cache that `llava pull` wrote, and the other way round.

usage: hub_clients_test.py PROGRAM ROOT     status 77 when one is not installed (scripts/setup --dev)
"""

import json
import os
import signal
import subprocess
import sys
import time
import unittest
from pathlib import Path

try:
    import huggingface_hub
    import transformers
except ImportError as error:
    print(f"skipped: {error} (scripts/setup --dev)")
    sys.exit(77)

sys.path.insert(0, str(Path(sys.argv[2]) / "tests/hub"))
from hub_case import CHUNK_BYTES, MODELS, PICTURE, HubCase, folder_files, main, noise  # noqa: E402

READ = """
import json, os, sys
from huggingface_hub import scan_cache_dir, snapshot_download, try_to_load_from_cache
from transformers import AutoConfig, AutoTokenizer
name = sys.argv[1]
report = scan_cache_dir()
print(json.dumps({
    "snapshot": snapshot_download(name),
    "config": try_to_load_from_cache(name, "config.json"),
    "adapter": try_to_load_from_cache(name, "adapter_config.json") is not None,
    "model_type": AutoConfig.from_pretrained(name).model_type,
    "ids": AutoTokenizer.from_pretrained(name)("a red triangle").input_ids,
    "warnings": [str(warning) for warning in report.warnings],
    "repos": {repo.repo_id: repo.size_on_disk for repo in report.repos},
    "refs": sorted(ref for repo in report.repos for ref in repo.refs),
}))
"""


class HubClients(HubCase):
    def setUp(self):
        super().setUp()
        self.files = folder_files(MODELS / "hf-llava")
        self.commit = self.hub.add("org/model", self.files)
        self.environment["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"

    def python(self, program, *arguments, **environment):
        result = subprocess.run([sys.executable, "-c", program, *arguments], env=self.environment | environment, text=True,
                                capture_output=True, check=False, timeout=120)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def run_model(self, **environment):
        self.environment |= environment
        return json.loads(self.run_llava("run", "--model-path", "org/model", "--image-file", PICTURE, "--query", "What?",
                                         "--max-new-tokens", "4", "--temperature", "0", "--json"))["generated_ids"]

    def test_they_read_what_we_wrote(self):
        folder = self.pull("org/model").strip()
        self.hub.forget()
        found = json.loads(self.python(READ, "org/model", HF_HUB_OFFLINE="1"))
        self.assertEqual(self.hub.asked(), [])
        self.assertEqual(found["snapshot"], folder)
        self.assertEqual(found["config"], folder + "/config.json")
        self.assertTrue(found["adapter"], "known to be absent")
        self.assertEqual(found["model_type"], "llava")
        self.assertEqual(found["warnings"], [])
        self.assertEqual(found["refs"], ["main"])
        ours = json.loads(self.run_llava("list", "--json"))["models"]
        self.assertEqual(found["repos"], {model["name"]: model["bytes"] for model in ours})
        text = subprocess.run([sys.argv[1], "tokenize", "--model-path", "org/model"], input='{"text": "a red triangle"}\n', text=True,
                              env=self.environment, capture_output=True, check=True).stdout
        self.assertEqual(json.loads(text)["ids"], found["ids"])

    def test_we_read_what_they_wrote(self):
        folder = self.python("import sys; from huggingface_hub import snapshot_download; print(snapshot_download(sys.argv[1]))",
                             "org/model").strip()
        self.assertEqual(self.pull("org/model", "--offline").strip(), folder)
        self.hub.forget()
        self.assertEqual(self.pull("org/model").strip(), folder)
        self.assertEqual({request.kind for request in self.hub.asked()}, {"listing"})
        self.assertEqual(len(self.run_model(HF_HUB_OFFLINE="1")), 4)
        self.run_llava("rm", "org/model", "--yes")
        self.assertEqual(json.loads(self.run_llava("list", "--json"))["models"], [])

    def test_a_configuration_that_they_left_is_completed(self):
        self.python("import sys; from transformers import AutoConfig; AutoConfig.from_pretrained(sys.argv[1])", "org/model")
        self.assertEqual(len(self.run_model()), 4)

    def test_what_we_left_unfinished_disturbs_nobody(self):
        data = noise(4 * CHUNK_BYTES)
        commit = self.hub.add("org/big", {"config.json": b"{}", "model.safetensors": data})
        self.hub.pause = 0.003
        process = self.start("pull", "org/big", "--max-connections", "3")
        deadline = time.monotonic() + 60
        while self.partial_bytes("org/big") == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        self.assertGreater(self.partial_bytes("org/big"), 0)
        self.hub.pause = 0
        path = self.python("import sys; from huggingface_hub import hf_hub_download\n"
                           "print(hf_hub_download(sys.argv[1], 'model.safetensors'))", "org/big").strip()
        self.assertEqual(Path(path).read_bytes(), data)
        self.hub.forget()
        self.pull("org/big")
        self.assertEqual(self.hub.asked("storage"), [])
        self.assert_snapshot("org/big", commit, {"config.json": b"{}", "model.safetensors": data})

    def test_both_at_once(self):
        self.hub.add("org/big", {"config.json": b"{}", "model.safetensors": noise(2 * CHUNK_BYTES)})
        self.hub.pause = 0.003
        ours = self.start("pull", "org/big")
        theirs = self.python("import sys; from huggingface_hub import snapshot_download; print(snapshot_download(sys.argv[1]))",
                             "org/big").strip()
        out, err = ours.communicate(timeout=120)
        self.assertEqual(ours.returncode, 0, err)
        self.assertEqual(out.strip(), theirs)
        # One of the two held the lock, and the other waited: each byte came once.
        asked = sum(request.range is None or request.range[0] == 0 for request in self.hub.asked("storage"))
        self.assertEqual(asked, 1)
        self.assertEqual(self.partial_bytes("org/big"), 0)


if __name__ == "__main__":
    print(f"huggingface_hub {huggingface_hub.__version__}, transformers {transformers.__version__}, {os.path.basename(sys.executable)}")
    main()
