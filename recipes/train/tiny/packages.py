# SPDX-License-Identifier: Apache-2.0
"""The packages that the tiny recipe learns from, fetched once with pip and npm and checked against their SHA-256."""

import hashlib
import os
import pathlib
import subprocess
import sys

PIP = {"easy-vqa": ("easy-vqa==1.0", "easy_vqa-1.0-py3-none-any.whl",
                    "fcb51b309b78c7b00f97b64cdbcbcf5c105f94da1b39c0796cee5a787c4f650f")}
NPM = {"google": ("emoji-datasource-google@16.0.0", "emoji-datasource-google-16.0.0.tgz",
                  "fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438"),
       "twitter": ("emoji-datasource-twitter@16.0.0", "emoji-datasource-twitter-16.0.0.tgz",
                   "f64a530c63bca463bd8317fdc4615ce63a53a0c65018e4ce2d848aaba7a28877")}


def default_folder():
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return pathlib.Path(cache) / "llava" / "packages"


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def fetch(folder, package, file, expected, command):
    """The package's path; downloaded when it is not there."""
    path = folder / file
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f"download-{os.getpid()}"
        part.mkdir(exist_ok=True)
        try:
            if subprocess.run(command, cwd=part, stdout=subprocess.DEVNULL).returncode:
                sys.exit(f"packages: {command[0]} could not fetch {package}: run it again when the network is back, "
                         f"or put a copy of {file} into {folder}")
            os.replace(part / file, path)
        finally:
            for rest in part.iterdir():
                rest.unlink()
            part.rmdir()
    found = sha256(path)
    if found != expected:
        sys.exit(f"packages: {path} has SHA-256 {found}, expected {expected}: it is another file or a damaged one; "
                 "remove it to fetch it again")
    return path


def from_pip(folder, name):
    package, file, expected = PIP[name]
    return fetch(folder, package, file, expected,
                 [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", package])


def from_npm(folder, name):
    package, file, expected = NPM[name]
    return fetch(folder, package, file, expected, ["npm", "pack", "--silent", package])


def are_here(folder):
    """Whether a run needs no network for them."""
    return all((folder / file).exists() for _, file, _ in [*PIP.values(), *NPM.values()])
