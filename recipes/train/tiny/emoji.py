# SPDX-License-Identifier: Apache-2.0
"""Emoji of a vendor (npm packages emoji-datasource-*): drawings of 64 pixels with names."""

import json
import tarfile

import png

# What can be told apart at this size: no flags, and no people, who come in many nearly equal forms.
CATEGORIES = {"Smileys & Emotion", "Animals & Nature", "Food & Drink", "Travel & Places", "Activities", "Objects"}


def names(package):
    """File name and name of every emoji that is used, in the file's order."""
    with tarfile.open(package) as archive:
        entries = json.load(archive.extractfile("package/emoji.json"))
    return {entry["image"]: entry["name"].lower() for entry in entries
            if entry["category"] in CATEGORIES and entry["has_img_google"] and entry["has_img_twitter"]}


def write_pictures(package, vendor, wanted, folder):
    """The drawings on white."""
    folder.mkdir(parents=True, exist_ok=True)
    prefix = f"package/img/{vendor}/64/"
    with tarfile.open(package) as archive:
        for member in archive:
            file = member.name.removeprefix(prefix)
            if member.name.startswith(prefix) and file in wanted:
                (folder / file).write_bytes(png.encode(*png.on_white(archive.extractfile(member).read())))
