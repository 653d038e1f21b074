#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the tree to the rules that no compiler checks; docs/architecture.md says why.

Layers: a folder of src/llava includes only the folders in its row of LAYERS. Besides: LibTorch only in
its two folders and never its all-inclusive headers, a licence line and plain ASCII in every source file,
every source named in a CMakeLists.txt, no marker of unfinished work without an issue number, no path of somebody's machine.

usage: check_layers.py [ROOT]     exit status 1 and one line a finding, or 0
"""

import pathlib
import re
import subprocess
import sys

ALL = None  # every header of the folder
LAYOUT = {"layout.h", "image_size.h"}
UTF8 = {"utf8.h"}
LAYERS = {
    "core": {},
    "image": {"core": ALL},
    "text": {"core": ALL, "image": LAYOUT},
    "kernels": {"core": ALL},
    "tensor": {"core": ALL},
    "backend/native": {"core": ALL, "kernels": ALL, "tensor": ALL},
    "backend/torch": {"core": ALL, "kernels": ALL, "tensor": ALL},
    "model": {"core": ALL, "image": LAYOUT, "tensor": ALL},
    "checkpoint": {"core": ALL, "tensor": ALL, "model": ALL},
    "engine": {"core": ALL, "image": ALL, "text": ALL, "tensor": ALL, "model": ALL, "checkpoint": ALL},
    "data": {"core": ALL, "image": ALL, "text": ALL},
    "train_report": {"core": ALL, "image": ALL, "text": UTF8},
    "train": {"core": ALL, "data": ALL, "tensor": ALL, "backend/torch": ALL, "model": ALL, "checkpoint": ALL},
    "eval": {"core": ALL, "data": ALL, "engine": ALL},
    "hub": {"core": ALL, "checkpoint": ALL},
    "serve": {"core": ALL, "image": ALL, "text": ALL, "engine": ALL},
}
TORCH_FOLDERS = ("backend/torch", "train")

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
TORCH_INCLUDE = re.compile(r"^(torch|ATen|c10|caffe2)/")
WHOLE_TORCH = {"torch/torch.h", "torch/extension.h", "ATen/ATen.h"}
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX)\b(?!\(#\d+\))")
MACHINE_PATH = re.compile(r"(?:^|[^A-Za-z0-9_.$}~-])/(?:home|root|work|mnt|Users)/[A-Za-z0-9]")
SOURCE_SUFFIXES = {".cc", ".h", ".py", ".cmake", ".sh", ".ts", ".mjs", ".css"}
DATA = ("tests/data/", "fuzz/corpus/", "models/")
THIS = "scripts/check_layers.py"


def tracked_files(root):
    """What a commit of everything would hold; outside of git, every file but the build folders."""
    listing = subprocess.run(["git", "-C", str(root), "ls-files", "-co", "--exclude-standard", "-z"],
                             capture_output=True)
    if listing.returncode == 0:
        names = [name for name in listing.stdout.decode().split("\0") if name]
    else:
        names = [path.relative_to(root).as_posix() for path in root.rglob("*")]
        names = [name for name in names if not re.match(r"(build|\.deps|\.git|dist)/", name)]
    return sorted(name for name in names if (root / name).is_file())


def folder_of(name):
    """The row of LAYERS that a path below src/llava/ belongs to; None for the facade llava.h."""
    parts = name.split("/")
    if len(parts) == 1:
        return None
    return "/".join(parts[:2]) if parts[0] == "backend" else parts[0]


def check_includes(name, lines, report):
    below = name.removeprefix("src/llava/") if name.startswith("src/llava/") else None
    folder = folder_of(below) if below else None
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        bracket, header = match.groups()
        if header in WHOLE_TORCH:
            report(number, f"includes <{header}>: name the op headers instead, the whole costs seconds per file")
        if below and TORCH_INCLUDE.match(header) and folder not in TORCH_FOLDERS:
            report(number, f"includes <{header}>: LibTorch is for {' and '.join(TORCH_FOLDERS)} only")
        if below and bracket == '"' and not header.startswith("llava/"):
            report(number, f'includes "{header}": write it from the root, "llava/..."')
        if name.startswith("src/") and header.startswith("llava/") and folder is not None:
            target = folder_of(header.removeprefix("llava/"))
            if target == folder:
                continue
            allowed = LAYERS[folder].get(target, set()) if target else set()
            if allowed is not ALL and header.rsplit("/", 1)[-1] not in allowed:
                rows = ", ".join(LAYERS[folder]) or "nothing of ours"
                report(number, f'includes "{header}": {folder} may include {rows}'
                       + (f", of {target} only {', '.join(sorted(allowed))}" if allowed else ""))


def check_built(root, name, report):
    """A source that no CMakeLists.txt names is neither compiled nor tested."""
    path = root / name
    for parent in path.parents:
        lists = parent / "CMakeLists.txt"
        if lists.is_file() and re.search(rf"(?<![\w.-]){re.escape(path.name)}(?![\w.-])", lists.read_text()):
            return
        if parent == root:
            break
    report(1, "is named in no CMakeLists.txt")


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent).resolve()
    findings = []
    count = 0
    for name in tracked_files(root):
        if name.startswith(DATA) and not name.endswith((".py", ".md")):
            continue
        data = (root / name).read_bytes()
        if b"\0" in data[:4096]:
            continue
        count += 1
        text = data.decode("utf-8", errors="replace")
        lines = text.split("\n")

        def report(number, message):
            findings.append(f"{name}:{number}: {message}")

        suffix = pathlib.PurePath(name).suffix
        is_source = suffix in SOURCE_SUFFIXES or name.endswith("CMakeLists.txt") or text.startswith("#!")
        if is_source and not any("SPDX-License-Identifier: Apache-2.0" in line for line in lines[:3]):
            report(1, "has no licence line 'SPDX-License-Identifier: Apache-2.0'")
        if is_source or suffix == ".md":
            for number, line in enumerate(lines, 1):
                if not line.isascii():
                    report(number, "is not plain ASCII")
                if name != THIS and UNFINISHED.search(line):
                    report(number, "marks unfinished work without an issue number, as in TODO" + "(#12)")
                if MACHINE_PATH.search(line):
                    report(number, "holds a path of one machine")
        if suffix in (".cc", ".h"):
            check_includes(name, lines, report)
            if suffix == ".h" and "#pragma once" not in text:
                report(1, "has no '#pragma once'")
            if suffix == ".cc" and name.startswith(("src/", "apps/", "tests/llava/")):
                check_built(root, name, report)
        folder = folder_of(name.removeprefix("src/llava/")) if name.startswith("src/llava/") else None
        if folder and folder not in LAYERS and suffix in (".cc", ".h"):
            report(1, f"lies in src/llava/{folder}, which is no row of the layer table")
    for finding in findings:
        print(finding)
    print(f"check_layers: {count} files, {len(findings)} findings", file=sys.stderr)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
