# SPDX-License-Identifier: Apache-2.0
"""PNG pictures without transparency, from ones that have it, with the standard library alone."""

import struct
import zlib

MAGIC = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def chunks(data):
    if not data.startswith(MAGIC):
        raise ValueError("no PNG file")
    position = len(MAGIC)
    while position < len(data):
        size, kind = struct.unpack(">I4s", data[position:position + 8])
        yield kind, data[position + 8:position + 8 + size]
        position += size + 12


def paeth(left, up, corner):
    to_left, to_up, to_corner = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
    if to_left <= to_up and to_left <= to_corner:
        return left
    return up if to_up <= to_corner else corner


def unfilter(raw, stride, step):
    """Rows of bytes as they were before filtering (PNG specification, section 9)."""
    rows, before = [], bytes(stride)
    for start in range(0, len(raw), stride + 1):
        kind, row = raw[start], bytearray(raw[start + 1:start + 1 + stride])
        if kind == 2:
            row = bytearray((a + b) & 255 for a, b in zip(row, before))
        elif kind == 1:
            for i in range(step, stride):
                row[i] = (row[i] + row[i - step]) & 255
        elif kind == 3:
            for i in range(stride):
                row[i] = (row[i] + ((row[i - step] if i >= step else 0) + before[i]) // 2) & 255
        elif kind == 4:
            for i in range(step):
                row[i] = (row[i] + before[i]) & 255
            for i in range(step, stride):
                row[i] = (row[i] + paeth(row[i - step], before[i], before[i - step])) & 255
        rows.append(row)
        before = row
    return rows


def over_white(value, alpha):
    if alpha == 255:
        return value
    if alpha == 0:
        return b"\xff" * len(value)
    return bytes((v * alpha + 255 * (255 - alpha) + 127) // 255 for v in value)


def on_white(data):
    """The PNG file's picture over a white page: width, height, RGB bytes."""
    palette, alphas, body = b"", b"", b""
    for kind, content in chunks(data):
        if kind == b"IHDR":
            width, height, depth, color, _, _, interlace = struct.unpack(">IIBBBBB", content)
        elif kind == b"PLTE":
            palette = content
        elif kind == b"tRNS":
            alphas = content
        elif kind == b"IDAT":
            body += content
    if depth != 8 or interlace or (alphas and color != 3):
        raise ValueError(f"PNG of depth {depth}, interlace {interlace}, colour type {color}: expected 8 bits without interlace")
    step = CHANNELS[color]
    pixels = bytearray()
    for row in unfilter(zlib.decompress(body), width * step, step):
        for x in range(0, len(row), step):
            value = row[x:x + step]
            alpha = 255
            if color == 3:
                index = value[0]
                alpha = alphas[index] if index < len(alphas) else 255
                value = palette[3 * index:3 * index + 3]
            elif color in (4, 6):
                alpha, value = value[-1], value[:-1]
            if len(value) == 1:
                value = bytes(value) * 3
            pixels += over_white(value, alpha)
    return width, height, bytes(pixels)


def encode(width, height, rgb):
    """A PNG file of RGB bytes."""
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = b"".join(b"\0" + rgb[3 * width * y:3 * width * (y + 1)] for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return MAGIC + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
