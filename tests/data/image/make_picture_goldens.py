#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes pictures/ (small files of every kind that is read) and pictures.txt.

Needs Pillow 13 and numpy. Columns of pictures.txt: file width height, then SHA-256 of the RGB bytes
of Image.open(file).convert("RGB"), of the picture composited onto white as transformers 5 does, and
of ImageOps.exif_transpose(...).convert("RGB"); "error" where Pillow refuses the file.
"""
import hashlib
import io
import pathlib
import struct
import zlib

import numpy as np
from PIL import Image, ImageOps

HERE = pathlib.Path(__file__).parent
OUT = HERE / "pictures"
RNG = np.random.default_rng(51)


def photo(width, height, channels=3):
    """A smooth picture with some noise, so that every codec has something to do."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    planes = []
    for c in range(channels):
        plane = 128 + 80 * np.sin(x / (4 + c) + c) * np.cos(y / (5 - c % 3)) + 0.9 * x - 0.7 * y
        planes.append(plane + RNG.normal(0, 6, (height, width)))
    return np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8)


def rgb(width=37, height=29):
    return Image.fromarray(photo(width, height))


def save(name, image, **options):
    image.save(OUT / name, **options)


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return bytearray(buffer.getvalue())


def write(name, data):
    (OUT / name).write_bytes(bytes(data))


def exif(orientation, byte_order="<", kind=3):
    head = b"II*\0" if byte_order == "<" else b"MM\0*"
    value = struct.pack(byte_order + ("HH" if kind == 3 else "I"), *((orientation, 0) if kind == 3 else (orientation,)))
    return (b"Exif\0\0" + head + struct.pack(byte_order + "IH", 8, 1) +
            struct.pack(byte_order + "HHI", 0x112, kind, 1) + value + struct.pack(byte_order + "I", 0))


def jpegs():
    save("grey.jpg", Image.fromarray(photo(33, 21, 1)[..., 0]), quality=85)
    for name, sub in (("444", 0), ("422", 1), ("420", 2)):
        save(f"{name}.jpg", rgb(), subsampling=sub, quality=80)
    save("odd_420.jpg", rgb(17, 1), subsampling=2)
    save("one_pixel.jpg", rgb(1, 1))
    save("progressive.jpg", rgb(), progressive=True, quality=70)
    save("progressive_grey.jpg", rgb().convert("L"), progressive=True)
    save("restart.jpg", rgb(70, 40), restart_marker_blocks=2, subsampling=2)
    save("rgb_stored.jpg", rgb(), keep_rgb=True, quality=90)
    cmyk = Image.fromarray(photo(31, 23, 4), "CMYK")
    save("cmyk.jpg", cmyk, quality=90)
    data = encoded(cmyk, "JPEG", quality=90)
    at = data.find(b"Adobe")
    data[at + 11] = 2
    write("ycck.jpg", data)
    data = encoded(rgb(48, 24), "JPEG", subsampling=1)  # MCUs of 16x8 read as MCUs of 8x16
    at = data.find(b"\xff\xc0")
    data[at + 5:at + 9] = struct.pack(">HH", 48, 24)
    assert data[at + 11] == 0x21
    data[at + 11] = 0x12
    write("440.jpg", data)
    for orientation in range(1, 9):
        order, kind = ("<", 3) if orientation % 2 else (">", 3)
        save(f"exif{orientation}.jpg", rgb(24, 17), exif=exif(orientation, order, kind))
    save("exif_invalid.jpg", rgb(24, 17), exif=exif(9))
    data = encoded(rgb(), "JPEG", quality=60)
    write("trailing.jpg", data + b"trailing bytes" * 5)
    at = data.find(b"\xff\xdb")
    write("between_segments.jpg", data[:at] + b"\x01\x02\x03" + data[at:])
    write("no_end_marker.jpg", data[:-2])
    write("cut_with_end_marker.jpg", data[: len(data) * 2 // 3] + b"\xff\xd9")


def png(width, height, depth, color_type, raw_rows, interlace=0, chunks=()):
    """A PNG from rows of packed samples; Adam7 when interlaced."""
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color_type]
    passes = [(0, 0, 1, 1)]
    if interlace:
        passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    data = b""
    for number, (x0, y0, dx, dy) in enumerate(passes):
        part = raw_rows[y0::dy, x0::dx]
        if not part.size:
            continue
        for y, row in enumerate(part):
            flat = row.reshape(-1)
            if depth == 16:
                line = flat.astype(">u2").tobytes()
            elif depth == 8:
                line = flat.astype(np.uint8).tobytes()
            else:
                bits = ((flat[:, None] >> np.arange(depth - 1, -1, -1)) & 1).astype(np.uint8)
                line = np.packbits(bits.reshape(-1)).tobytes()
            kind = y % 2  # filter none or sub
            if kind:
                step = max(1, samples * depth // 8)
                line = bytes((b - (line[i - step] if i >= step else 0)) & 255 for i, b in enumerate(line))
            data += bytes([kind]) + line
    body = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, interlace))
    for kind, content in chunks:
        body += chunk(kind, content)
    middle = len(data) // 2
    packed = zlib.compress(data)
    middle = len(packed) // 2
    return body + chunk(b"IDAT", packed[:middle]) + chunk(b"IDAT", packed[middle:]) + chunk(b"IEND", b"")


def pngs():
    for color_type, depths in ((0, (1, 2, 4, 8, 16)), (2, (8, 16)), (3, (1, 2, 4, 8)), (4, (8, 16)), (6, (8, 16))):
        samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color_type]
        for depth in depths:
            for interlace in (0, 1):
                width, height = (19, 13) if not interlace else (13, 11)
                limit = 1 << depth
                rows = RNG.integers(0, limit, (height, width, samples))
                if color_type == 0 and depth == 16:
                    rows //= RNG.choice([1, 255, 4096], rows.shape)
                chunks = []
                if color_type == 3:
                    num_colors = min(limit, 200)
                    rows %= num_colors
                    chunks.append((b"PLTE", RNG.integers(0, 256, num_colors * 3).astype(np.uint8).tobytes()))
                name = f"type{color_type}_depth{depth}{'_interlaced' if interlace else ''}.png"
                write(name, png(width, height, depth, color_type, rows, interlace, chunks))
                if interlace:
                    continue
                key = None
                if color_type == 3:
                    key = RNG.integers(0, 256, min(limit, 150)).astype(np.uint8).tobytes()
                    chunks.append((b"tRNS", key))
                    write(f"type3_depth{depth}_alphas.png", png(width, height, depth, 3, rows, 0, chunks))
                    chunks[-1] = (b"tRNS", b"\xff\x00")
                elif color_type in (0, 2):
                    chunks.append((b"tRNS", rows[3, 4].astype(">u2").tobytes()))
                else:
                    continue
                write(f"type{color_type}_depth{depth}_key.png", png(width, height, depth, color_type, rows, 0, chunks))
    rows = RNG.integers(0, 4, (5, 7, 1))
    short = [(b"PLTE", bytes(range(6)))]
    write("palette_short.png", png(7, 5, 2, 3, rows, 0, short))
    write("one_pixel_interlaced.png", png(1, 1, 8, 2, RNG.integers(0, 256, (1, 1, 3)), 1))
    save("exif6.png", rgb(14, 9), exif=exif(6))
    save("pillow.png", rgb(), optimize=True)
    save("animated.png", rgb(20, 10), save_all=True, append_images=[rgb(20, 10)], duration=100)


def gifs():
    palette_image = rgb(40, 26).quantize(32, dither=Image.Dither.NONE)
    save("palette.gif", palette_image, interlace=0)
    save("interlaced.gif", palette_image, interlace=1)
    save("transparent.gif", palette_image, transparency=5)
    save("two_colors.gif", rgb(40, 26).convert("1"))
    save("grey.gif", Image.fromarray(photo(23, 19, 1)[..., 0]))
    save("animated.gif", palette_image, save_all=True, append_images=[rgb(40, 26).quantize(16)], duration=50)
    save("comment.gif", palette_image, comment=b"a comment " * 60)
    data = encoded(palette_image, "GIF", interlace=0)
    flags = data[10]
    table = 13 + (3 << ((flags & 7) + 1))
    at = data.index(b",", table)
    larger = bytearray(data)  # a screen larger than the frame, which lies at an offset
    larger[6:10] = struct.pack("<HH", 60, 50)
    larger[at + 1:at + 5] = struct.pack("<HH", 11, 7)
    write("offset.gif", larger)
    see_through = encoded(palette_image, "GIF", interlace=0, transparency=3)
    at2 = see_through.index(b",", see_through.index(b"\x21\xf9"))
    see_through[6:10] = struct.pack("<HH", 60, 50)
    see_through[at2 + 1:at2 + 5] = struct.pack("<HH", 11, 7)
    write("offset_transparent.gif", see_through)
    smaller = bytearray(data)  # a frame that leaves the screen
    smaller[6:10] = struct.pack("<HH", 10, 8)
    smaller[at + 1:at + 5] = struct.pack("<HH", 5, 2)
    write("beyond_screen.gif", smaller)
    local = data[:10] + bytes([flags & 0x7F]) + data[11:13] + data[table:at + 9]
    local += bytes([0x80 | (flags & 7)]) + data[13:table] + data[at + 10:]
    write("local_palette.gif", local)
    write("no_palette.gif", data[:10] + bytes([flags & 0x7F]) + data[11:13] + data[table:])
    counting = bytearray(data)
    counting[13:table] = b"".join(bytes([i] * 3) for i in range((table - 13) // 3))
    write("counting_palette.gif", counting)


def bmp(width, height, bits, pixels, compression=0, header=40, palette=b"", masks=(), top_down=False, colors=0, size=None):
    if header == 12:
        info = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        info = struct.pack("<IiiHHIIiiII", 40, width, -height if top_down else height, 1, bits, compression, len(pixels), 0, 0, colors, 0)
        masks = b"".join(struct.pack("<I", m) for m in masks)
        if header == 40:
            info += masks
        else:
            info = struct.pack("<I", header) + info[4:] + masks
            info += bytes(header - len(info))
    offset = 14 + len(info) + len(palette)
    return b"BM" + struct.pack("<IHHI", offset + len(pixels), 0, 0, offset) + info + palette + bytes(pixels)


def bmp_rows(rows):
    return b"".join(bytes(row) + bytes(-len(row) % 4) for row in rows)


def bmps():
    width, height = 21, 9
    palette = RNG.integers(0, 256, (256, 4)).astype(np.uint8)
    indices = RNG.integers(0, 256, (height, width)).astype(np.uint8)
    write("8.bmp", bmp(width, height, 8, bmp_rows(indices), palette=palette.tobytes()))
    write("8_few_colors.bmp", bmp(width, height, 8, bmp_rows(indices % 20), palette=palette[:20].tobytes(), colors=20))
    write("8_top_down.bmp", bmp(width, height, 8, bmp_rows(indices), palette=palette.tobytes(), top_down=True))
    grey = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 4, 1)
    write("8_grey.bmp", bmp(width, height, 8, bmp_rows(indices), palette=grey.tobytes()))
    fours = [[(row[i] & 15) << 4 | (row[i + 1] & 15 if i + 1 < width else 0) for i in range(0, width, 2)] for row in indices]
    write("4.bmp", bmp(width, height, 4, bmp_rows(fours), palette=palette[:16].tobytes()))
    ones = [np.packbits(row & 1).tobytes() for row in indices]
    write("1.bmp", bmp(width, height, 1, bmp_rows(ones), palette=palette[:2].tobytes()))
    write("1_black_white.bmp", bmp(width, height, 1, bmp_rows(ones), palette=b"\0\0\0\0\xff\xff\xff\0"))
    write("os2_8.bmp", bmp(width, height, 8, bmp_rows(indices), header=12, palette=palette[:, :3].tobytes()))
    write("os2_24.bmp", bmp(7, 5, 24, bmp_rows(RNG.integers(0, 256, (5, 21)).astype(np.uint8)), header=12))
    words = RNG.integers(0, 65536, (height, width)).astype("<u2")
    word_rows = bmp_rows([row.tobytes() for row in words])
    write("16.bmp", bmp(width, height, 16, word_rows))
    write("16_565.bmp", bmp(width, height, 16, word_rows, 3, masks=(0xF800, 0x7E0, 0x1F)))
    write("16_555.bmp", bmp(width, height, 16, word_rows, 3, masks=(0x7C00, 0x3E0, 0x1F)))
    write("16_odd_masks.bmp", bmp(width, height, 16, word_rows, 3, masks=(0xF000, 0xF00, 0xF0)))
    triples = RNG.integers(0, 256, (height, width * 3)).astype(np.uint8)
    write("24.bmp", bmp(width, height, 24, bmp_rows(triples)))
    data = bmp(width, height, 24, bmp_rows(triples))
    write("24_without_last_padding.bmp", data[:-1])
    quads = RNG.integers(0, 256, (height, width * 4)).astype(np.uint8)
    write("32.bmp", bmp(width, height, 32, bmp_rows(quads)))
    b0, b1, b2, b3 = 0xFF, 0xFF00, 0xFF0000, 0xFF000000
    for number, masks in enumerate([(b2, b1, b0, 0), (b3, b2, b1, 0), (b3, b1, b0, 0), (b3, b2, b1, b0), (b0, b1, b2, b3),
                                    (b2, b1, b0, b3), (b3, b1, b0, b2), (0, 0, 0, 0), (b1, b2, b3, b0)]):
        write(f"32_fields{number}.bmp", bmp(width, height, 32, bmp_rows(quads), 3, header=108, masks=masks))
    write("32_fields_v3.bmp", bmp(width, height, 32, bmp_rows(quads), 3, masks=(b2, b1, b0)))

    runs = bytearray()
    for y in range(height):  # encoded runs, absolute runs of odd length, short lines
        runs += bytes([5, 10 + y, 0, 5, 1, 2, 3, 4, 5, 0, 7, 200])
        if y % 2:
            runs += bytes([30, 99])  # longer than the row
        runs += bytes([0, 0])
    write("rle8.bmp", bmp(width, height, 8, runs + b"\0\1", 1, palette=palette.tobytes()))
    jumping = bytes([21, 7, 0, 0, 3, 9, 0, 2, 4, 2]) + bytes([14, 8, 0, 0]) + bytes([21, 1, 0, 0] * 5) + b"\0\1"
    write("rle8_delta.bmp", bmp(width, height, 8, jumping, 1, palette=palette.tobytes()))
    write("rle8_short.bmp", bmp(width, height, 8, bytes([21, 7, 0, 0, 0, 1]), 1, palette=palette.tobytes()))
    runs = bytearray()
    for y in range(height):
        runs += bytes([7, 0x12 + y, 0, 5, 0x34, 0x56, 0x70, 0, 9, 0xAB, 0, 0])
    write("rle4.bmp", bmp(width, height, 4, runs + b"\0\1", 2, palette=palette[:16].tobytes()))


def tiff(width, height, strips, bits, samples, photometric, order="<", tile=None, planar=1, compression=1, rows_per_strip=None,
         sample_format=None, extra=None, colormap=None, orientation=None, more=()):
    """A TIFF with the given strips or tiles, which come compressed already."""
    head = b"II*\0" if order == "<" else b"MM\0*"
    data = bytearray(head + struct.pack(order + "I", 0))
    offsets, counts = [], []
    for strip in strips:
        offsets.append(len(data))
        counts.append(len(strip))
        data += strip + bytes(len(strip) % 2)
    entries = {256: (3, [width]), 257: (3, [height]), 258: (3, [bits] * samples), 259: (3, [compression]), 262: (3, [photometric]),
               277: (3, [samples]), 284: (3, [planar])}
    if tile:
        entries.update({322: (3, [tile[0]]), 323: (3, [tile[1]]), 324: (4, offsets), 325: (4, counts)})
    else:
        entries.update({273: (4, offsets), 278: (3, [rows_per_strip or height]), 279: (4, counts)})
    if sample_format:
        entries[339] = (3, [sample_format] * samples)
    if extra is not None:
        entries[338] = (3, extra)
    if colormap is not None:
        entries[320] = (3, list(colormap))
    if orientation:
        entries[274] = (3, [orientation])
    entries.update(dict(more))
    ifd = struct.pack(order + "H", len(entries))
    pool_at = len(data) + 2 + 12 * len(entries) + 4
    pool = b""
    for tag in sorted(entries):
        kind, values = entries[tag]
        packed = struct.pack(order + str(len(values)) + {3: "H", 4: "I"}[kind], *map(int, values))
        if len(packed) > 4:
            field = struct.pack(order + "I", pool_at + len(pool))
            pool += packed
        else:
            field = packed.ljust(4, b"\0")
        ifd += struct.pack(order + "HHI", tag, kind, len(values)) + field
    data[4:8] = struct.pack(order + "I", len(data))
    return bytes(data + ifd + struct.pack(order + "I", 0) + pool)


def packed_rows(samples, depth, order="<"):
    rows = []
    for row in samples.reshape(samples.shape[0], -1):
        if depth in (8, 16, 32):
            rows.append(row.astype(f"{order}u{depth // 8}").tobytes())
        else:
            bits = ((row[:, None] >> np.arange(depth - 1, -1, -1)) & 1).astype(np.uint8)
            rows.append(np.packbits(bits.reshape(-1)).tobytes())
    return rows


def tiffs():
    image = rgb(41, 30)
    for name, compression in (("raw", None), ("lzw", "tiff_lzw"), ("deflate", "tiff_adobe_deflate"), ("old_deflate", "tiff_deflate"), ("packbits", "packbits")):
        save(f"rgb_{name}.tif", image, compression=compression)
    save("lzw_predictor.tif", image, compression="tiff_lzw", tiffinfo={317: 2})
    save("jpeg.tif", image, compression="jpeg", quality=85)
    save("jpeg_grey.tif", image.convert("L"), compression="jpeg")
    black_white = image.convert("1")
    for name in ("group3", "group4", "tiff_ccitt", "packbits"):
        save(f"bilevel_{name}.tif", black_white, compression=name)
    save("bilevel.tif", black_white)
    for mode in ("L", "LA", "P", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "I", "F"):
        converted = image.convert(mode) if mode not in ("LAB", "RGBX") else Image.fromarray(photo(20, 10, len(Image.new(mode, (1, 1)).getbands())), mode)
        if mode in ("RGBA", "LA"):
            converted.putalpha(Image.fromarray(photo(41, 30, 1)[..., 0]))
        save(f"mode_{mode}.tif", converted)
        if mode not in ("LAB",):
            save(f"mode_{mode}_lzw.tif", converted, compression="tiff_lzw")
    save("mode_I16.tif", Image.fromarray(RNG.integers(0, 700, (8, 9)).astype(np.uint16)))
    for order in "<>":
        end = "le" if order == "<" else "be"
        for depth in (1, 2, 4, 8, 16, 32):
            grey = RNG.integers(0, min(1 << depth, 600), (7, 11, 1))
            for photometric in (0, 1):
                write(f"grey{depth}_{photometric}_{end}.tif", tiff(11, 7, packed_rows(grey, depth, order), depth, 1, photometric, order, rows_per_strip=1))
        signed = RNG.integers(-100, 400, (7, 11, 1))
        write(f"signed16_{end}.tif", tiff(11, 7, [r for r in [row.astype(order + "i2").tobytes() for row in signed]], 16, 1, 1, order, rows_per_strip=1, sample_format=2))
        write(f"signed32_{end}.tif", tiff(11, 7, [row.astype(order + "i4").tobytes() for row in signed], 32, 1, 1, order, rows_per_strip=1, sample_format=2))
        write(f"float_{end}.tif", tiff(11, 7, [(row * 1.37).astype(order + "f4").tobytes() for row in signed], 32, 1, 1, order, rows_per_strip=1, sample_format=3))
        wide = RNG.integers(0, 65536, (7, 11, 3))
        write(f"rgb16_{end}.tif", tiff(11, 7, packed_rows(wide, 16, order), 16, 3, 2, order, rows_per_strip=1))
        wide = RNG.integers(0, 65536, (7, 11, 4))
        write(f"cmyk16_{end}.tif", tiff(11, 7, packed_rows(wide, 16, order), 16, 4, 5, order, rows_per_strip=1))
        for extra in (0, 1, 2):
            write(f"rgba16_extra{extra}_{end}.tif", tiff(11, 7, packed_rows(wide, 16, order), 16, 4, 2, order, rows_per_strip=1, extra=[extra]))
    twelve = RNG.integers(0, 600, (6, 10, 1))
    write("grey12.tif", tiff(10, 6, packed_rows(twelve, 12), 12, 1, 1, rows_per_strip=1))
    four = RNG.integers(0, 256, (7, 11, 4))
    for extra in (0, 1, 2):
        write(f"rgba8_extra{extra}.tif", tiff(11, 7, packed_rows(four, 8), 8, 4, 2, rows_per_strip=1, extra=[extra]))
        write(f"grey_extra{extra}.tif", tiff(11, 7, packed_rows(four[..., :2], 8), 8, 2, 1, rows_per_strip=1, extra=[extra]))
    write("palette_extra2.tif", tiff(11, 7, packed_rows(four[..., :2], 8), 8, 2, 3, rows_per_strip=1, extra=[2], colormap=RNG.integers(0, 65536, 768)))
    five = RNG.integers(0, 256, (7, 11, 5))
    write("rgb_two_extra.tif", tiff(11, 7, packed_rows(five, 8), 8, 5, 2, rows_per_strip=1, extra=[0, 0]))
    write("rgba_and_extra.tif", tiff(11, 7, packed_rows(five, 8), 8, 5, 2, rows_per_strip=1, extra=[2, 0]))
    for depth in (1, 2, 4, 8):
        index = RNG.integers(0, 1 << depth, (7, 11, 1))
        colormap = RNG.integers(0, 65536, 3 << depth)
        write(f"palette{depth}.tif", tiff(11, 7, packed_rows(index, depth), depth, 1, 3, rows_per_strip=1, colormap=colormap))
    colors = photo(37, 29)
    planes = [b"".join(packed_rows(colors[..., c:c + 1], 8)) for c in range(3)]
    write("planar.tif", tiff(37, 29, planes, 8, 3, 2, planar=2))
    write("planar_deflate.tif", tiff(37, 29, [zlib.compress(p) for p in planes], 8, 3, 2, planar=2, compression=8))
    halves = [b"".join(packed_rows(colors[y:y + 10, :, c:c + 1], 8)) for c in range(3) for y in (0, 10, 20)]
    write("planar_strips.tif", tiff(37, 29, [zlib.compress(p) for p in halves], 8, 3, 2, planar=2, compression=8, rows_per_strip=10))
    inks = photo(19, 12, 4)
    write("planar_cmyk.tif", tiff(19, 12, [zlib.compress(b"".join(packed_rows(inks[..., c:c + 1], 8))) for c in range(4)], 8, 4, 5, planar=2, compression=8))
    for extra in (1, 2):
        write(f"planar_rgba_extra{extra}.tif", tiff(19, 12, [zlib.compress(b"".join(packed_rows(inks[..., c:c + 1], 8))) for c in range(4)], 8, 4, 2, planar=2, compression=8, extra=[extra]))
    tiles = []
    canvas = np.zeros((32, 48, 3), np.uint8)
    canvas[:29, :37] = colors
    for y in (0, 16):
        for x in (0, 16, 32):
            tiles.append(canvas[y:y + 16, x:x + 16].tobytes())
    write("tiles.tif", tiff(37, 29, tiles, 8, 3, 2, tile=(16, 16)))
    write("tiles_deflate.tif", tiff(37, 29, [zlib.compress(t) for t in tiles], 8, 3, 2, tile=(16, 16), compression=8))
    write("bottom_strip.tif", tiff(37, 29, [b"".join(packed_rows(colors[y:y + 8], 8)) for y in range(0, 29, 8)], 8, 3, 2, rows_per_strip=8))
    for orientation in range(1, 9):
        write(f"orientation{orientation}.tif", tiff(9, 5, [photo(9, 5).tobytes()], 8, 3, 2, orientation=orientation))
    save("two_pages.tif", image, save_all=True, append_images=[rgb(5, 5)], compression="tiff_lzw")
    save("big.tif", image, big_tiff=True)
    flipped = bytes(int(f"{b:08b}"[::-1], 2) for b in b"".join(packed_rows(RNG.integers(0, 2, (7, 11, 1)), 1)))
    write("fill_order2.tif", tiff(11, 7, [flipped], 1, 1, 1, more={266: (3, [2])}))


def webps():
    image = rgb(45, 31)
    clear = image.copy()
    clear.putalpha(Image.fromarray(photo(45, 31, 1)[..., 0] // 64 * 85))
    save("lossy.webp", image, quality=70)
    save("lossless.webp", image, lossless=True)
    save("lossy_alpha.webp", clear, quality=60)
    save("lossless_alpha.webp", clear, lossless=True, exact=True)
    save("exif8.webp", image, exif=exif(8))
    save("animated.webp", image, save_all=True, append_images=[rgb(45, 31), rgb(45, 31)], duration=80)
    save("animated_alpha.webp", clear, save_all=True, append_images=[clear.rotate(90)], duration=80, lossless=True)
    data = encoded(image, "WEBP", save_all=True, append_images=[rgb(45, 31)], duration=80, quality=80)
    at = data.index(b"VP8X") + 12  # a canvas larger than the first frame, which lies at an offset
    data[at:at + 6] = struct.pack("<I", 70)[:3] + struct.pack("<I", 50)[:3]
    at = data.index(b"ANMF") + 8
    data[at:at + 6] = struct.pack("<I", 4)[:3] + struct.pack("<I", 3)[:3]
    write("animated_offset.webp", data)


def digest(image):
    return hashlib.sha256(image.tobytes()).hexdigest()


def white(image):
    if "A" in image.getbands() or image.info.get("transparency") is not None:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, (255, 255, 255, 255)), rgba).convert("RGB")
    return image.convert("RGB")


def main():
    OUT.mkdir(exist_ok=True)
    for old in OUT.iterdir():
        old.unlink()
    for make in (jpegs, pngs, gifs, bmps, tiffs, webps):
        make()
    lines = []
    for path in sorted(OUT.iterdir()):
        try:
            with Image.open(path) as image:
                plain = image.convert("RGB")
            with Image.open(path) as image:
                on_white = white(image)
            with Image.open(path) as image:
                upright = ImageOps.exif_transpose(image).convert("RGB")
            width, height = plain.size
            lines.append(f"{path.name} {width} {height} {digest(plain)} {digest(on_white)} {digest(upright)}\n")
        except Exception as error:  # what Pillow raises for a damaged file has many types
            print(path.name, repr(error))
            lines.append(f"{path.name} 0 0 error error error\n")
    (HERE / "pictures.txt").write_text("".join(lines))


if __name__ == "__main__":
    main()
