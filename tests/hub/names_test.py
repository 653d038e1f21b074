#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Models by name in the commands that open one, and `llava list` and `llava rm`.

usage: names_test.py PROGRAM ROOT
"""

import fcntl
import json
import os
import pty
import shutil
import subprocess
import unittest

from hub_case import MODELS, PICTURE, PROGRAM, HubCase, folder_files, main, noise

ASK = ["--image-file", PICTURE, "--query", "What is this?", "--temperature", "0", "--dtype", "float32", "--max-new-tokens", "8",
       "--json"]


class Names(HubCase):
    """A checkpoint in the original layout whose tower is a model of its own, and adapters with a base."""

    def setUp(self):
        super().setUp()
        model = folder_files(MODELS / "llava-v1.5-pad")
        config = json.loads(model["config.json"])
        self.tower_folder = MODELS / config["mm_vision_tower"]
        config["mm_vision_tower"] = "towers/clip"
        model["config.json"] = json.dumps(config).encode()
        self.hub.add("org/llava-v1.5-tiny", model)
        self.hub.add("towers/clip", folder_files(self.tower_folder))
        self.hub.add("org/hf-llava", folder_files(MODELS / "hf-llava"))

    def answer(self, *arguments):
        return json.loads(self.run_llava("run", *arguments, *ASK))

    def ids(self, *arguments):
        return self.answer(*arguments)["generated_ids"]

    def local_ids(self, model, *arguments):
        return self.ids("--model-path", MODELS / model, *arguments)

    # --- fetched when it is needed -------------------------------------------------------------

    def test_a_model_and_its_tower_are_fetched_once(self):
        expected = self.local_ids("llava-v1.5-pad")
        self.assertEqual(self.hub.asked(), [])
        answer = self.answer("--model-path", "org/llava-v1.5-tiny")
        self.assertEqual(answer["generated_ids"], expected)
        # The template is chosen by the name on the hub, not by the folder of the snapshot.
        self.assertEqual(answer["model"], "llava-v1.5-tiny")
        self.assertEqual({request.name for request in self.hub.asked("listing")}, {"org/llava-v1.5-tiny", "towers/clip"})
        self.hub.forget()
        self.assertEqual(self.ids("--model-path", "org/llava-v1.5-tiny"), expected)
        self.assertEqual(self.hub.asked(), [])

    def test_pull_brings_the_tower_too(self):
        self.pull("org/llava-v1.5-tiny")
        self.environment["HF_HUB_OFFLINE"] = "1"
        self.assertEqual(self.ids("--model-path", "org/llava-v1.5-tiny"), self.local_ids("llava-v1.5-pad"))

    def test_the_tower_of_a_local_folder(self):
        folder = self.folder / "local"
        shutil.copytree(MODELS / "llava-v1.5-pad", folder)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").chmod(0o644)
        (folder / "config.json").write_text(json.dumps(config | {"mm_vision_tower": "towers/clip"}))
        self.ids("--model-path", folder)
        self.assertEqual({request.name for request in self.hub.asked("listing")}, {"towers/clip"})

    def test_adapters_and_their_base(self):
        adapter = folder_files(MODELS / "llava-v1.5-lora-rslora")
        for path, key, name in (("config.json", "mm_vision_tower", "towers/clip"),
                                ("adapter_config.json", "base_model_name_or_path", "lm/vicuna")):
            adapter[path] = json.dumps(json.loads(adapter[path]) | {key: name}).encode()
        self.hub.add("org/llava-v1.5-tiny-lora", adapter)
        self.hub.add("lm/vicuna", folder_files(MODELS / "base-vicuna"))
        expected = self.local_ids("llava-v1.5-lora-rslora", "--model-base", MODELS / "base-vicuna")
        self.assertEqual(self.ids("--model-path", "org/llava-v1.5-tiny-lora"), expected)
        # With a base of one's own the named one is not fetched.
        shutil.rmtree(self.home)
        self.hub.forget()
        self.hub.add("other/base", folder_files(MODELS / "base-vicuna"))
        self.assertEqual(self.ids("--model-path", "org/llava-v1.5-tiny-lora", "--model-base", "other/base"), expected)
        self.assertNotIn("lm/vicuna", {request.name for request in self.hub.asked()})
        # Offline and without its base, the error says how to get it.
        shutil.rmtree(self.model_folder("other/base"))
        self.environment["HF_HUB_OFFLINE"] = "1"
        error = self.run_llava("run", "--model-path", "org/llava-v1.5-tiny-lora", *ASK, status=2)
        self.assertIn("llava pull lm/vicuna", error)

    def test_a_draft_model(self):
        self.hub.add("lm/vicuna", folder_files(MODELS / "base-vicuna"))
        self.assertEqual(self.ids("--model-path", "org/llava-v1.5-tiny", "--draft-model", "lm/vicuna"),
                         self.local_ids("llava-v1.5-pad"))
        self.assertIn("lm/vicuna", {request.name for request in self.hub.asked("listing")})

    def test_a_gguf_model(self):
        data = (MODELS / "base-gguf.gguf").read_bytes()
        self.hub.add("lm/gguf", {"base.gguf": data, "README.md": b"#"})
        ask = ["--query", "Hi", "--max-new-tokens", "4", "--temperature", "0", "--json"]
        self.pull("lm/gguf", "--include", "*.gguf")
        answer = json.loads(self.run_llava("run", "--model-path", "lm/gguf", *ask))
        local = json.loads(self.run_llava("run", "--model-path", MODELS / "base-gguf.gguf", *ask))
        self.assertEqual(answer["generated_ids"], local["generated_ids"])
        self.hub.add("lm/gguf", {"base.gguf": data, "other.gguf": data})
        self.pull("lm/gguf", "--include", "*.gguf")
        error = self.run_llava("run", "--model-path", "lm/gguf", *ask, status=2)
        self.assertIn("other.gguf", error)

    def test_the_other_commands_take_names_too(self):
        name = ["--model-path", "org/hf-llava"]
        self.assertIn('"ids"', self.run_llava_with_input('{"text": "a"}\n', "tokenize", *name))
        self.run_llava("image", PICTURE, *name, "--json")
        self.assertEqual([request.path for request in self.hub.asked() if request.path.startswith("model.")], [])
        facts = json.loads(self.run_llava("inspect", *name, "--json"))
        self.assertEqual(facts["problems"], [])
        self.assertEqual(facts["name"], "hf-llava")
        self.run_llava("quantize", *name, "--output", self.folder / "q4")
        self.run_llava("bench", *name, "--cases", "decode:8", "--repeats", "1", "--json")

    def test_what_reads_no_weights_fetches_none(self):
        name = ["--model-path", "org/llava-v1.5-tiny"]
        self.run_llava_with_input('{"text": "a"}\n', "tokenize", *name)
        self.assertEqual({request.name for request in self.hub.asked("listing")}, {"org/llava-v1.5-tiny"})
        self.run_llava("image", PICTURE, *name)
        self.assertFalse([request for request in self.hub.asked() if request.path.endswith((".safetensors", ".bin"))])
        self.hub.forget()
        self.run_llava("image", PICTURE, *name)
        self.assertEqual(self.hub.asked(), [])

    def run_llava_with_input(self, text, *arguments):
        return subprocess.run([PROGRAM, *arguments], env=self.environment, input=text, text=True, capture_output=True,
                              check=True, timeout=120).stdout

    def test_revisions_stay_apart(self):
        first = self.ids("--model-path", "org/hf-llava")
        self.hub.add("org/hf-llava", folder_files(MODELS / "hf-llava-pad"), "v2")
        self.ids("--model-path", "org/hf-llava@v2")
        self.assertEqual(self.ids("--model-path", "org/hf-llava"), first)
        self.hub.forget()
        self.assertEqual(self.answer("--model-path", "org/hf-llava@v2")["model"], "hf-llava")
        self.assertEqual(self.hub.asked(), [])

    def test_a_snapshot_without_weights_is_completed(self):
        self.pull("org/hf-llava", "--include", "config.json")
        self.assertEqual(self.ids("--model-path", "org/hf-llava"), self.local_ids("hf-llava"))

    # --- names and paths -----------------------------------------------------------------------

    def test_a_path_that_exists_wins(self):
        shutil.copytree(MODELS / "hf-llava-pad", self.folder / "org/hf-llava")
        expected = self.local_ids("hf-llava-pad")
        with self.start("run", "--model-path", "org/hf-llava", *ASK, cwd=self.folder) as process:
            out, err = process.communicate(timeout=120)
        self.assertEqual(process.returncode, 0, err)
        self.assertEqual(json.loads(out)["generated_ids"], expected)
        self.assertEqual(self.hub.asked(), [])

    def test_what_is_neither(self):
        for text in ("./org/none", "/org/none", "a/b/c", "org/none/", "~/none", "none.d/x y"):
            with self.subTest(text=text):
                error = self.run_llava("run", "--model-path", text, *ASK, status=3)
                self.assertIn(f"'{text}'", error)
                self.assertIn("ORG/NAME", error)
        # One word is more likely a folder that is not here: nothing is asked.
        error = self.run_llava("run", "--model-path", "llava-v1.5-7b", *ASK, status=3)
        self.assertIn("llava pull llava-v1.5-7b", error)
        self.assertEqual(self.hub.asked(), [])
        error = self.run_llava("run", "--model-path", "org/none", *ASK, status=3)
        self.assertIn("'org/none' is no file or folder here", error)
        self.assertIn("there is no model 'org/none'", error)

    # --- offline -------------------------------------------------------------------------------

    def test_offline_nothing_is_asked(self):
        self.pull("org/llava-v1.5-tiny")
        self.hub.forget()
        folder = self.pull("org/llava-v1.5-tiny", "--offline").strip()
        self.assertTrue(os.path.isfile(folder + "/config.json"))
        self.assertIn("llava pull org/none@v1", self.pull("org/none@v1", "--offline", status=3))
        self.environment["HF_HUB_OFFLINE"] = "1"
        self.ids("--model-path", "org/llava-v1.5-tiny")
        error = self.run_llava("run", "--model-path", "org/hf-llava", *ASK, status=3)
        self.assertIn("llava pull org/hf-llava", error)
        shutil.rmtree(self.model_folder("towers/clip"))
        error = self.run_llava("run", "--model-path", "org/llava-v1.5-tiny", *ASK, status=3)
        self.assertIn("llava pull towers/clip", error)
        self.assertEqual(self.hub.asked(), [])

    def test_offline_in_a_machine_without_network(self):
        self.pull("org/llava-v1.5-tiny")
        expected = self.ids("--model-path", "org/llava-v1.5-tiny")
        prefix = ["unshare", "--net"] if os.getuid() == 0 else ["unshare", "--net", "--user", "--map-root-user"]
        try:
            can_unshare = subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0
        except FileNotFoundError:
            can_unshare = False
        if not can_unshare:
            self.skipTest("no network namespace can be made here")
        # Its own cache makes even a name without HF_HUB_OFFLINE independent of the network.
        for offline in ("1", ""):
            self.environment["HF_HUB_OFFLINE"] = offline
            out = self.run_llava("run", "--model-path", "org/llava-v1.5-tiny", *ASK, prefix=prefix)
            self.assertEqual(json.loads(out)["generated_ids"], expected)

    # --- list and rm ---------------------------------------------------------------------------

    def listed(self):
        return {model["name"]: model for model in json.loads(self.run_llava("list", "--json"))["models"]}

    def test_list(self):
        self.assertEqual(self.listed(), {})
        self.assertEqual(len(self.run_llava("list").splitlines()), 1)
        self.pull("org/llava-v1.5-tiny")
        listed = self.listed()
        self.assertEqual(set(listed), {"org/llava-v1.5-tiny", "towers/clip"})
        snapshot = listed["towers/clip"]["snapshots"][0]
        self.assertEqual(snapshot["refs"], ["main"])
        self.assertEqual(snapshot["revision"], self.hub.commits["towers/clip", "main"])
        held = sum(path.stat().st_size for path in (self.model_folder("towers/clip") / "blobs").iterdir())
        self.assertEqual(snapshot["bytes"], held)
        self.assertRegex(snapshot["last_used"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        table = self.run_llava("list")
        self.assertIn("towers/clip", table)
        self.assertIn(snapshot["revision"][:12] + " main", table)

    def test_rm(self):
        files = {"config.json": b"{}", "model.safetensors": noise(5000), "old.safetensors": noise(6000, 2)}
        self.hub.add("org/two", files, "v1")
        self.hub.add("org/two", {name: data for name, data in files.items() if name != "old.safetensors"})
        self.pull("org/two@v1", "--include", "*")
        self.pull("org/two")
        self.assertIn("--yes", self.run_llava("rm", "org/two", status=2))
        self.assertEqual(len(self.listed()["org/two"]["snapshots"]), 2)
        self.assertIn("'org/two' has no revision 'v9'", self.run_llava("rm", "org/two@v9", "--yes", status=3))
        self.assertIn("did you mean 'org/two'?", self.run_llava("rm", "org/tow", "--yes", status=3))
        self.run_llava("rm", "org/two@v1", "--yes")
        left = self.listed()["org/two"]
        self.assertEqual([snapshot["refs"] for snapshot in left["snapshots"]], [["main"]])
        self.assertEqual(left["bytes"], 5002)
        self.run_llava("rm", "org/two", "--yes")
        self.assertNotIn("org/two", self.listed())
        self.assertFalse(self.model_folder("org/two").exists())
        self.assertIn("../x", self.run_llava("rm", "../x", "--yes", status=2))

    def test_rm_asks_at_a_terminal(self):
        for said, is_left in (("n\n", True), ("\n", True), ("y\n", False)):
            self.pull("org/hf-llava")
            reader, writer = pty.openpty()
            process = subprocess.Popen([PROGRAM, "rm", "org/hf-llava"], env=self.environment, stdin=writer,
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            os.write(reader, said.encode())
            _, err = process.communicate(timeout=60)
            os.close(reader)
            os.close(writer)
            self.assertEqual(process.returncode, 0, err)
            self.assertIn("[y/N]", err)
            self.assertEqual(self.model_folder("org/hf-llava").exists(), is_left, said)

    def test_rm_leaves_what_is_being_fetched(self):
        self.pull("org/hf-llava")
        locks = sorted((self.cache / ".locks/models--org--hf-llava").iterdir())
        with locks[0].open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.assertIn("another process", self.run_llava("rm", "org/hf-llava", "--yes", status=4))
        self.run_llava("rm", "org/hf-llava", "--yes")


if __name__ == "__main__":
    main()
