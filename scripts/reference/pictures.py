# SPDX-License-Identifier: Apache-2.0
"""Pictures as the published software opens and pads them."""
from PIL import Image


def open_picture(path):
    """As the original and the processors' users open it: converted to RGB, EXIF orientation ignored."""
    return Image.open(path).convert("RGB")


def pad_to_square(picture, colour):
    width, height = picture.size
    side = max(width, height)
    canvas = Image.new(picture.mode, (side, side), colour)
    canvas.paste(picture, ((side - width) // 2, (side - height) // 2))
    return canvas
