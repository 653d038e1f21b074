# SPDX-License-Identifier: Apache-2.0
"""What the tests of models by name share: a hub, an empty cache, and the program.

usage of every test: python3 TEST PROGRAM ROOT [unittest's arguments]
"""

import os
import random
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from hub_server import Hub, blob_of

PROGRAM, ROOT = str(Path(sys.argv[1]).resolve()), Path(sys.argv[2]).resolve()
MODELS = ROOT / "tests/golden/models"
PICTURE = str(ROOT / "tests/golden/images/square_28x28.png")
CHUNK_BYTES = 8 << 20  # content_download.cc


def folder_files(folder):
    """The files of a folder, as a model of the hub holds them."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def noise(size, seed=1):
    return random.Random(seed).randbytes(size)


class HubCase(unittest.TestCase):
    def setUp(self):
        self.hub = Hub()
        self.addCleanup(self.hub.close)
        self.folder = Path(tempfile.mkdtemp(prefix="llava-hub-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.home = self.folder / "hf"
        self.environment = {name: value for name, value in os.environ.items()
                            if not name.upper().endswith("_PROXY") and not name.startswith(("HF_", "HUGGING"))}
        self.environment |= {"HF_HOME": str(self.home), "HF_ENDPOINT": self.hub.address, "HOME": str(self.folder),
                             "LLAVA_THREADS": "2", "LLAVA_LOG": "info"}

    @property
    def cache(self):
        return self.home / "hub"

    def model_folder(self, name):
        return self.cache / ("models--" + name.replace("/", "--"))

    def start(self, *arguments, prefix=(), **options):
        return subprocess.Popen([*prefix, PROGRAM, *map(str, arguments)], env=self.environment, text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)

    def run_llava(self, *arguments, status=0, **options):
        """Standard output, or with another status than 0 standard error."""
        with self.start(*arguments, **options) as process:
            out, err = process.communicate(timeout=120)
        self.assertEqual(process.returncode, status, f"{arguments}\n{out}\n{err}")
        self.last_log = err
        return err if status else out

    def pull(self, *arguments, **options):
        return self.run_llava("pull", *arguments, **options)

    def assert_snapshot(self, name, commit, files):
        """The snapshot has these files and no other, whole, in the hub's layout; nothing is left over."""
        folder = self.model_folder(name)
        snapshot = folder / "snapshots" / commit
        found = {path.relative_to(snapshot).as_posix() for path in snapshot.rglob("*") if not path.is_dir()}
        self.assertEqual(found, set(files))
        for path, data in files.items():
            link = snapshot / path
            self.assertTrue(link.is_symlink(), path)
            self.assertFalse(os.readlink(link).startswith("/"))
            self.assertEqual(link.resolve(), (folder / "blobs" / blob_of(data)).resolve())
            self.assertEqual(link.read_bytes(), data, path)
        self.assertEqual(list((folder / "blobs").glob("*.incomplete")), [])

    def partial_bytes(self, name):
        return sum(path.stat().st_size for path in (self.model_folder(name) / "blobs").glob("*.incomplete"))


def main():
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
