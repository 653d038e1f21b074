#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`llava pull` against a hub that behaves, and one that does not.

usage: pull_test.py PROGRAM ROOT
"""

import os
import pty
import random
import resource
import signal
import subprocess
import threading
import time
import unittest

from hub_case import CHUNK_BYTES, PROGRAM, HubCase, main, noise
from hub_server import Answer, blob_of, times

CONFIG = b'{"model_type": "llama", "architectures": ["LlamaForCausalLM"]}'
BIG = 5 * CHUNK_BYTES + 12345


class Pull(HubCase):
    """A model of a small file and a large one of several chunks."""

    def setUp(self):
        super().setUp()
        self.files = {"config.json": CONFIG, "model.safetensors": noise(BIG)}
        self.commit = self.hub.add("org/model", self.files)

    def large_requests(self):
        return [request for request in self.hub.asked("storage") if request.name == blob_of(self.files["model.safetensors"])]

    def asked_ranges(self):
        """First and last byte of what was asked of the large file, in order."""
        ranges = [request.range for request in self.large_requests()]
        self.assertNotIn(None, ranges)
        return sorted(ranges)

    def test_a_model_is_brought_and_its_folder_said_last(self):
        out = self.pull("org/model")
        snapshot = self.model_folder("org/model") / "snapshots" / self.commit
        self.assertEqual(out, f"{snapshot}\n")
        self.assert_snapshot("org/model", self.commit, self.files)
        self.assertEqual((self.model_folder("org/model") / "refs/main").read_text(), self.commit)
        self.assertTrue((self.model_folder("org/model") / ".no_exist" / self.commit / "adapter_config.json").is_file())
        self.assertGreaterEqual(len(self.asked_ranges()), 6)

    def test_a_second_pull_asks_for_no_file(self):
        self.pull("org/model")
        self.hub.forget()
        self.pull("org/model")
        self.assertEqual([request.kind for request in self.hub.asked()], ["listing"])

    def test_a_new_commit_brings_only_what_changed(self):
        self.pull("org/model")
        self.hub.forget()
        files = self.files | {"config.json": b'{"model_type": "llama", "new": true}'}
        commit = self.hub.add("org/model", files)
        self.pull("org/model")
        self.assert_snapshot("org/model", commit, files)
        self.assertEqual((self.model_folder("org/model") / "refs/main").read_text(), commit)
        self.assertEqual(self.large_requests(), [])
        self.assert_snapshot("org/model", self.commit, self.files)

    def test_revisions(self):
        files = {"config.json": b"{}", "model.safetensors": noise(2000, 2)}
        commit = self.hub.add("org/model", files, "refs/pr/1")
        self.pull("org/model@refs/pr/1")
        self.assert_snapshot("org/model", commit, files)
        self.assertEqual((self.model_folder("org/model") / "refs/refs/pr/1").read_text(), commit)
        self.pull(f"org/model@{self.commit}")
        self.assert_snapshot("org/model", self.commit, self.files)
        self.assertFalse((self.model_folder("org/model") / "refs" / self.commit).exists())

    def test_only_the_files_of_the_checkpoint_are_fetched(self):
        shards = {f"model-0000{i}-of-00002.safetensors": noise(3000, i) for i in (1, 2)}
        index = ('{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}').encode()
        wanted = {"config.json": CONFIG, "tokenizer.model": noise(1500, 7), "model.safetensors.index.json": index, **shards}
        others = {"README.md": b"#", "pytorch_model.bin": noise(3000, 3), "consolidated.safetensors": noise(3000, 4),
                  "onnx/model.onnx": noise(3000, 5), "tf_model.h5": noise(3000, 6)}
        commit = self.hub.add("org/shards", wanted | others)
        self.pull("org/shards")
        self.assert_snapshot("org/shards", commit, wanted)
        self.assertEqual(len(self.hub.asked("storage")), 3)

    def test_patterns(self):
        files = {"a.Q4.gguf": noise(2000, 1), "a.Q8.gguf": noise(2000, 2), "README.md": b"#", "sub/b.Q4.gguf": noise(10, 3)}
        commit = self.hub.add("org/gguf", files)
        error = self.pull("org/gguf", status=3)
        self.assertIn("a.Q8.gguf", error)
        self.assertIn("--include", error)
        self.pull("org/gguf", "--include", "*Q4.gguf", "--exclude", "sub/")
        self.assert_snapshot("org/gguf", commit, {"a.Q4.gguf": files["a.Q4.gguf"]})
        self.assertIn("README.md", self.pull("org/gguf", "--include", "*.bin", status=3))

    def test_one_content_under_two_names_is_fetched_once(self):
        data = noise(3000)
        files = {"config.json": CONFIG, "model.safetensors": data, "copy.safetensors": data}
        commit = self.hub.add("org/twice", files)
        self.pull("org/twice", "--include", "*")
        self.assert_snapshot("org/twice", commit, files)
        self.assertEqual(len(self.hub.asked("storage")), 1)

    def test_an_empty_file_and_odd_names(self):
        files = {"config.json": CONFIG, "model.safetensors": noise(1000), "empty.txt": b"", "a b/c#d?e%20.json": b"[]"}
        commit = self.hub.add("org/odd", files)
        self.pull("org/odd", "--include", "*")
        self.assert_snapshot("org/odd", commit, files)

    # --- interruptions ---------------------------------------------------------------------------

    def test_killed_at_any_moment_it_goes_on_where_it_was(self):
        seed = random.randrange(1 << 30)
        chance = random.Random(seed)
        with self.subTest(seed=seed):
            self.hub.pause = 0.004
            kept = 0
            for _ in range(4):
                self.hub.forget()
                process = self.start("pull", "org/model", "--max-connections", "3")
                # Not before something new is on the disk, so that each round has something to lose.
                deadline = time.monotonic() + 60
                while self.partial_bytes("org/model") <= kept and time.monotonic() < deadline and process.poll() is None:
                    time.sleep(0.01)
                time.sleep(chance.random() * 0.2)
                process.send_signal(signal.SIGKILL)
                process.communicate()
                if kept > 0:
                    self.assertTrue(all(first >= kept for first, _ in self.asked_ranges()), (seed, kept, self.asked_ranges()))
                if process.returncode == 0:
                    break
                kept = self.partial_bytes("org/model")
            self.hub.pause = 0
            self.hub.forget()
            self.pull("org/model")
            if kept > 0 and self.asked_ranges():
                self.assertGreaterEqual(self.asked_ranges()[0][0], kept)
            self.assert_snapshot("org/model", self.commit, self.files)

    def test_what_huggingface_hub_left_is_gone_on_from(self):
        blob = blob_of(self.files["model.safetensors"])
        partial = self.model_folder("org/model") / "blobs" / f"{blob}.incomplete"
        partial.parent.mkdir(parents=True)
        partial.write_bytes(self.files["model.safetensors"][:3 * CHUNK_BYTES + 7])
        self.pull("org/model")
        self.assertEqual(self.asked_ranges()[0][0], 3 * CHUNK_BYTES + 7)
        self.assert_snapshot("org/model", self.commit, self.files)

    def test_two_at_once_fetch_everything_once(self):
        self.hub.pause = 0.002
        others = {f"f{i}.bin": noise(300_000, i) for i in range(12)}
        files = self.files | others
        commit = self.hub.add("org/both", files)
        both = [self.start("pull", "org/both", "--include", "*", "--max-connections", "4") for _ in range(2)]
        for process in both:
            _, err = process.communicate(timeout=120)
            self.assertEqual(process.returncode, 0, err)
        self.assert_snapshot("org/both", commit, files)
        asked = [(request.name, request.range) for request in self.hub.asked("storage")]
        self.assertEqual(len(asked), len(set(asked)), "some part was fetched twice")

    # --- a hub in trouble ------------------------------------------------------------------------

    def test_a_wrong_hash_once(self):
        damaged = threading.Event()

        def damage(request, data):
            if request.kind == "storage" and request.range and request.range[0] == 0 and not damaged.is_set():
                damaged.set()
                return b"!" + data[1:]
            return data

        self.hub.damage = damage
        self.pull("org/model")
        self.assertTrue(damaged.is_set())
        self.assertIn("wrong_hash", self.last_log)
        self.assert_snapshot("org/model", self.commit, self.files)

    def test_a_wrong_hash_always(self):
        self.hub.damage = lambda request, data: data[:-1] + b"!" if request.kind == "storage" else data
        error = self.pull("org/model", status=3)
        data = self.files["model.safetensors"]
        for part in ("'model.safetensors'", blob_of(data), blob_of(data[:-1] + b"!")):
            self.assertIn(part, error)
        self.assertEqual(self.partial_bytes("org/model"), 0)
        self.assertFalse((self.model_folder("org/model") / "blobs" / blob_of(data)).exists())
        self.assertFalse((self.model_folder("org/model") / "snapshots").exists())

    def test_a_wrong_hash_of_a_small_file(self):
        self.hub.damage = lambda request, data: b"[" + data[1:] if request.path == "config.json" else data
        error = self.pull("org/model", status=3)
        self.assertIn("'config.json'", error)
        self.assertIn(blob_of(CONFIG), error)

    def test_patience_with_a_busy_hub(self):
        self.hub.fault = times(3, Answer(429, {"Retry-After": "1"}))
        begin = time.monotonic()
        self.pull("org/model", "--max-connections", "1")
        self.assertGreaterEqual(time.monotonic() - begin, 3)
        self.assert_snapshot("org/model", self.commit, self.files)

    def test_a_busy_hub_that_asks_for_too_much_patience(self):
        self.hub.fault = lambda request: Answer(429, {"Retry-After": "4000"})
        error = self.pull("org/model", status=4)
        self.assertIn("4000 s", error)
        self.assertIn("429", error)

    def test_a_hub_that_is_broken_for_a_while(self):
        self.hub.fault = times(4, Answer(503))
        self.pull("org/model")
        self.assert_snapshot("org/model", self.commit, self.files)

    def test_a_hub_that_stays_broken(self):
        self.hub.fault = lambda request: Answer(502) if request.kind == "storage" else None
        error = self.pull("org/model", status=4)
        self.assertIn("'model.safetensors'", error)
        self.assertIn("502", error)
        self.assertIn("HF_ENDPOINT", error)

    def test_connections_that_break_in_the_middle(self):
        broken = set()

        def length(request):
            # Connections race: which chunk is asked for when is chance, so each breaks at its first request.
            if request.kind != "storage" or request.range[0] % CHUNK_BYTES != 0 or request.range[0] in broken:
                return None
            broken.add(request.range[0])
            return 1_000_000

        self.hub.length = length
        self.pull("org/model")
        self.assert_snapshot("org/model", self.commit, self.files)
        # What had come was not asked for again.
        self.assertGreater(len(broken), 1)
        for first in broken:
            if first + 1_000_000 < BIG:
                self.assertIn((first + 1_000_000, min(first + CHUNK_BYTES, BIG) - 1), self.asked_ranges())

    def test_a_server_that_knows_no_ranges(self):
        self.hub.knows_ranges = False
        self.pull("org/model")
        self.assert_snapshot("org/model", self.commit, self.files)

    def test_going_on_with_a_server_that_knows_no_ranges(self):
        blob = blob_of(self.files["model.safetensors"])
        partial = self.model_folder("org/model") / "blobs" / f"{blob}.incomplete"
        partial.parent.mkdir(parents=True)
        partial.write_bytes(self.files["model.safetensors"][:1_234_567])
        self.hub.knows_ranges = False
        broken = threading.Event()

        def length(request):
            if request.kind != "storage" or request.range is not None or broken.is_set():
                return None
            broken.set()
            return 9_000_000

        self.hub.length = length
        self.pull("org/model")
        self.assert_snapshot("org/model", self.commit, self.files)

    def test_an_address_that_expires(self):
        self.hub.fault = times(1, lambda request: Answer(403) if request.kind == "storage" and request.range[0] >= CHUNK_BYTES
                               and len(self.large_requests()) > 3 else None)
        self.pull("org/model", "--max-connections", "1")
        self.assert_snapshot("org/model", self.commit, self.files)

    def test_a_part_that_was_not_asked_for(self):
        def fault(request):
            if request.kind == "storage" and request.range:
                return Answer(206, {"Content-Range": f"bytes 0-3/{BIG}"}, b"abcd")
            return None

        self.hub.fault = fault
        error = self.pull("org/model", "--max-connections", "1", status=4)
        self.assertIn("'model.safetensors'", error)
        self.assertIn("not what was asked for", error)

    # --- who asks, and where ---------------------------------------------------------------------

    def test_the_token_goes_to_the_hub_only(self):
        self.environment["HF_TOKEN"] = "secret-of-test"
        self.pull("org/model")
        for request in self.hub.asked():
            expected = None if request.kind == "storage" else "Bearer secret-of-test"
            self.assertEqual(request.headers.get("Authorization"), expected, request)
        self.assertTrue(self.large_requests())

    def test_the_token_of_a_file(self):
        self.home.mkdir()
        (self.home / "token").write_text("of-home\n")
        self.pull("org/model")
        self.assertEqual(self.hub.asked("listing")[0].headers["Authorization"], "Bearer of-home")
        self.hub.forget()
        (self.folder / "token").write_text("of-flag\n")
        self.pull("org/model", "--token-file", self.folder / "token")
        self.assertEqual(self.hub.asked("listing")[0].headers["Authorization"], "Bearer of-flag")
        self.assertIn("nowhere", self.pull("org/model", "--token-file", "nowhere", status=3))

    def test_a_mirror(self):
        mirror = self.hub.address
        self.environment["HF_ENDPOINT"] = "http://127.0.0.1:1"
        self.pull("org/model", "--endpoint", mirror + "/")
        self.assert_snapshot("org/model", self.commit, self.files)
        self.assertIn("--endpoint", self.pull("org/model", "--endpoint", "mirror", status=2))

    def test_a_mirror_that_lists_names_only(self):
        self.hub.lists_hashes = False
        self.pull("org/model")
        self.assert_snapshot("org/model", self.commit, self.files)
        self.assertTrue(any(request.method == "HEAD" for request in self.hub.asked("resolve")))

    def test_nobody_there(self):
        self.environment["HF_ENDPOINT"] = "http://127.0.0.1:1"
        error = self.pull("org/model", status=4)
        self.assertIn("http://127.0.0.1:1", error)
        self.assertIn("check the network", error)

    def test_what_the_hub_refuses(self):
        gated = {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted"}
        for fault, token, status, parts in (
                (None, "", 3, ("'org/none'", "check the name", "HF_TOKEN")),
                (None, "t", 3, ("'org/none'", "account")),
                (Answer(401, gated), "", 4, ("gated", f"{self.hub.address}/org/none", "--token-file")),
                (Answer(403, gated), "t", 4, ("gated", "this one's")),
                (Answer(403), "t", 4, ("403", "refuses")),
                (Answer(404), "", 3, ("no model",)),
                (Answer(200, {}, b"<html>"), "", 3, ("JSON",)),
                (Answer(418), "", 4, ("418", "--endpoint"))):
            with self.subTest(fault=fault, token=token):
                self.environment["HF_TOKEN"] = token
                self.hub.fault = (lambda answer: lambda request: answer)(fault)
                error = self.pull("org/none", status=status)
                for part in parts:
                    self.assertIn(part, error)
        self.hub.fault = lambda request: None
        self.assertIn("no such revision", self.pull("org/model@v9", status=3))

    def test_a_gated_file(self):
        self.hub.fault = lambda request: (Answer(403, {"X-Error-Code": "GatedRepo"})
                                          if request.kind == "resolve" and request.path == "model.safetensors" else None)
        self.assertIn("gated", self.pull("org/model", status=4))

    def test_names_that_would_leave_the_cache(self):
        for name in ("../../../evil", "/tmp/evil", "a/../../evil", "a\\b", "a\x1b[2Jb", "a\nb"):
            with self.subTest(name=name):
                self.hub.extra_names = [name]
                error = self.pull("org/model", "--include", "*", status=3)
                self.assertIn("rfilename", error)
                self.assertNotIn("\x1b", error)
                self.assertFalse(self.cache.exists() and any(self.cache.rglob("*evil*")))
                self.assertEqual(self.hub.asked("resolve"), [])

    def test_redirects_without_end(self):
        self.hub.fault = lambda request: (Answer(302, {"Location": f"/org/model/resolve/{self.commit}/config.json?again"})
                                          if request.kind == "resolve" else None)
        self.assertIn("redirects", self.pull("org/model", status=4))

    def test_redirects_to_other_schemes(self):
        self.hub.fault = lambda request: Answer(302, {"Location": "file:///etc/hostname"}) if request.kind == "resolve" else None
        self.pull("org/model", status=4)

    # --- the disk --------------------------------------------------------------------------------

    def test_a_disk_that_fills(self):
        limit = 2 * CHUNK_BYTES + 1000

        def limit_files():
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        # Python ignores the signal that comes with the limit; the program inherits that.
        error = self.pull("org/model", status=4, preexec_fn=limit_files, restore_signals=False)
        for part in (str(self.model_folder("org/model") / "blobs"), "MiB more", "missing", "llava rm", "is kept"):
            self.assertIn(part, error)
        self.assertEqual(self.partial_bytes("org/model"), limit)
        self.hub.forget()
        self.pull("org/model")
        self.assertEqual(self.asked_ranges()[0][0], limit)
        self.assert_snapshot("org/model", self.commit, self.files)

    def test_a_disk_that_is_too_small_is_seen_before(self):
        disk = self.folder / "disk"
        disk.mkdir()
        self.environment["HF_HOME"] = str(disk)
        mount = ["unshare", "--mount", "--map-root-user", "--user"] if os.getuid() else ["unshare", "--mount"]
        prefix = [*mount, "sh", "-c", 'mount -t tmpfs -o size=16m none "$0" 2>/dev/null || exit 77; exec "$@"', str(disk)]
        try:
            with self.start("pull", "org/model", prefix=prefix) as process:
                _, error = process.communicate(timeout=60)
        except FileNotFoundError:
            self.skipTest("no unshare here")
        if process.returncode in (1, 77) and "llava" not in error:
            self.skipTest("no file system can be mounted here")
        self.assertEqual(process.returncode, 4, error)
        self.assertIn("missing", error)
        self.assertEqual(self.large_requests(), [])

    def test_a_cache_that_cannot_be_written(self):
        self.home.mkdir()
        (self.home / "hub").write_text("a file in the way")
        self.assertIn(str(self.home / "hub"), self.pull("org/model", status=4))

    def test_a_terminal_shows_rate_and_time_left(self):
        self.hub.pause = 0.002
        reader, writer = pty.openpty()
        with subprocess.Popen([PROGRAM, "pull", "org/model"], env=self.environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=writer) as process:
            os.close(writer)
            shown = b""
            while True:
                try:
                    part = os.read(reader, 65536)
                except OSError:  # the other side of the terminal is closed
                    break
                if not part:
                    break
                shown += part
            self.assertTrue(process.stdout.read().endswith(self.commit.encode() + b"\n"))
        os.close(reader)
        self.assertRegex(shown.decode(), r"org/model \[#+\.+\] +\d+% of 40\.0 MiB, [\d.]+ MiB/s, \d+ s left")

    def test_wrong_command_lines(self):
        for arguments, part in (((), "0 names"), (("a/b", "c/d"), "2 names"), (("../x",), "'../x'"), (("a/b@..",), "'a/b@..'"),
                                (("a/b", "--max-connections", "0"), "--max-connections")):
            self.assertIn(part, self.pull(*arguments, status=2))


if __name__ == "__main__":
    main()
