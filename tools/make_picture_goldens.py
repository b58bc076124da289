#!/usr/bin/env python3
"""Makes tests/golden/pictures: small pictures in every form we read, and what Pillow makes of them.

    python3 -m venv venv && venv/bin/pip install Pillow==12.3.0 numpy
    venv/bin/python tools/make_picture_goldens.py

Pillow 13 resizes tall pictures vertically first; the model was trained with the order of all releases before it,
horizontally first, so the version matters here.
"""
import hashlib
import io
import struct
import zlib
from math import ceil
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin

OUT = Path(__file__).resolve().parent.parent / "tests/golden/pictures"
rng = np.random.default_rng(20)
manifest = []


def picture(width, height, channels):
    """Smooth waves with some noise, so that filters, palettes and DCTs all have work."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [128 + 90 * np.sin(x / (3 + k) + y / (5 - k) + k) + rng.integers(-20, 20, (height, width)) for k in range(channels)]
    return np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8)


def image(mode, width=29, height=19):
    return Image.fromarray(picture(width, height, 4), "RGBA").convert(mode)


def reference(data):
    return np.array(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))


def add(name, data, mean=None):
    """A file and a line about it: exact files by the hash of their pixels, the others (mean: how far off in levels, on
    average) by a PPM beside them."""
    (OUT / name).write_bytes(data)
    rgb = reference(data)
    height, width = rgb.shape[:2]
    if mean is None:
        manifest.append(f"{name} {width} {height} sha256 {hashlib.sha256(rgb.tobytes()).hexdigest()}")
    else:
        ppm = name + ".ppm"
        (OUT / ppm).write_bytes(b"P6\n%d %d\n255\n" % (width, height) + rgb.tobytes())
        manifest.append(f"{name} {width} {height} mean {mean}")


def saved(img, kind, **options):
    out = io.BytesIO()
    img.save(out, kind, **options)
    return out.getvalue()


# PNG, written here: every colour type and depth, every filter, both interlaces, several IDATs

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, depth, color, interlaced, before=b"", pieces=1):
    raw = b""
    for x, y, dx, dy in ADAM7 if interlaced else [(0, 0, 1, 1)]:
        columns, rows = (width - x + dx - 1) // dx, (height - y + dy - 1) // dy
        for row in range(rows if columns > 0 else 0):
            n = (columns * CHANNELS[color] * depth + 7) // 8
            raw += bytes([row % 5]) + rng.integers(0, 256, n, dtype=np.uint8).tobytes()
    data = zlib.compress(raw)
    cut = [len(data) * i // pieces for i in range(pieces + 1)]
    idat = b"".join(chunk(b"IDAT", data[a:b]) for a, b in zip(cut, cut[1:]))
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlaced)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + idat + chunk(b"IEND", b"")


def make_png():
    for color in CHANNELS:
        for depth in (1, 2, 4, 8, 16):
            if (color in (2, 4, 6) and depth < 8) or (color == 3 and depth == 16):
                continue
            for interlaced in (0, 1):
                before = b""
                if color == 3:
                    before = chunk(b"PLTE", rng.integers(0, 256, 3 << depth, dtype=np.uint8).tobytes())
                    before += chunk(b"tRNS", bytes([0, 200]))
                name = f"png-{color}-{depth}{'-adam7' if interlaced else ''}.png"
                add(name, png(13, 11, depth, color, interlaced, before, pieces=1 + depth % 3))
    short = chunk(b"PLTE", bytes(range(30)))
    add("png-short-palette.png", png(9, 7, 8, 3, 0, short))
    add("png-1x1.png", png(1, 1, 8, 2, 1))
    gray16 = b"".join(b"\0" + struct.pack(">5H", 0, 1, 255, 256, 65535) for _ in range(2))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 5, 2, 16, 0, 0, 0, 0))
    add("png-gray16-clips.png", b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(gray16)) + chunk(b"IEND", b""))
    frames = [image("RGB"), image("RGB")]
    add("png-animated.png", saved(frames[0], "PNG", save_all=True, append_images=frames[1:]))


# GIF, written here: transparency, offset frames, interlace, local palettes, full tables


def lzw(pixels, bits):
    clear, out, held, n, size = 1 << bits, bytearray(), 0, 0, bits + 1

    def emit(code):
        nonlocal held, n
        held |= code << n
        n += size
        while n >= 8:
            out.append(held & 255)
            held >>= 8
            n -= 8

    table, free, string = {bytes([i]): i for i in range(clear)}, clear + 2, b""
    emit(clear)
    for value in pixels:
        longer = string + bytes([value])
        if longer in table:
            string = longer
            continue
        emit(table[string])
        if free < 4096:
            table[longer] = free
            free += 1
            if free - 1 == 1 << size and size < 12:
                size += 1
        string = bytes([value])
    emit(table[string])
    emit(clear + 1)
    out.append(held & 255)
    blocks = b"".join(bytes([len(out[i : i + 255])]) + out[i : i + 255] for i in range(0, len(out), 255))
    return bytes([bits]) + blocks + b"\0"


def gif(screen, at, size, bits, interlaced=False, transparent=None, local=False):
    palette = rng.integers(0, 256, (2, 3 << bits), dtype=np.uint8)
    out = b"GIF89a" + struct.pack("<HHBBB", *screen, 128 | (bits - 1), 1, 0) + palette[0].tobytes()
    if transparent is not None:
        out += b"!\xf9\4" + bytes([1, 0, 0, transparent, 0])
    out += b"!\xfe\3abc\0," + struct.pack("<HHHHB", *at, *size, 64 * interlaced | (128 | (bits - 1)) * local)
    if local:
        out += palette[1].tobytes()
    pixels = rng.integers(0, 1 << bits, size[0] * size[1], dtype=np.uint8)
    pixels[len(pixels) // 3 : len(pixels) // 2] = 1
    return out + lzw(pixels.tobytes(), max(2, bits)) + b";"


def make_gif():
    add("gif-plain.gif", gif((21, 17), (0, 0), (21, 17), 4))
    add("gif-interlaced.gif", gif((21, 17), (0, 0), (21, 17), 3, interlaced=True))
    add("gif-offset.gif", gif((30, 25), (5, 3), (21, 17), 4))
    add("gif-offset-transparent.gif", gif((30, 25), (5, 3), (21, 17), 4, transparent=3, local=True))
    add("gif-beyond-screen.gif", gif((9, 8), (5, 3), (21, 17), 2, transparent=1))
    add("gif-1-bit.gif", gif((10, 9), (0, 0), (10, 9), 1, interlaced=True))
    add("gif-full-table.gif", gif((140, 90), (0, 0), (140, 90), 8))
    add("gif-1x1.gif", gif((1, 1), (0, 0), (1, 1), 1))
    frames = [image("RGB"), image("RGB")]
    add("gif-animated.gif", saved(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    add("gif-gray.gif", saved(image("L"), "GIF"))


# BMP, written here


def bmp(width, height, depth, data, compression=0, palette=b"", header_size=40, masks=b"", top_down=False):
    if header_size == 12:
        header = struct.pack("<IHHHH", 12, width, height, 1, depth)
    else:
        rows = -height if top_down else height
        header = struct.pack("<IiiHHIIiiII", header_size, width, rows, 1, depth, compression, len(data), 2835, 2835, 0, 0)
    if header_size > 40:
        header += (masks + b"\0" * 84)[: header_size - 40]
        masks = b""
    start = 14 + len(header) + len(masks) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + header + masks + palette + data


def make_bmp():
    width, height = 13, 7
    for depth in (1, 4, 8, 16, 24, 32):
        data = rng.integers(0, 256, (width * depth + 31) // 32 * 4 * height, dtype=np.uint8).tobytes()
        palette = rng.integers(0, 256, 4 << depth if depth <= 8 else 0, dtype=np.uint8).tobytes()
        add(f"bmp-{depth}.bmp", bmp(width, height, depth, data, palette=palette))
        add(f"bmp-{depth}-down.bmp", bmp(width, height, depth, data, palette=palette, header_size=124, top_down=True))
        if depth in (8, 24):
            add(f"bmp-{depth}-core.bmp", bmp(width, height, depth, data, palette=palette[: 3 << 8], header_size=12))
        if depth == 16:
            masks = struct.pack("<III", 0xF800, 0x7E0, 0x1F)
            add("bmp-565.bmp", bmp(width, height, 16, data, 3, masks=masks))
        if depth == 32:
            masks = struct.pack("<IIII", 0xFF, 0xFF00, 0xFF0000, 0xFF000000)
            add("bmp-rgba.bmp", bmp(width, height, 32, data, 3, masks=masks, header_size=108))
    palette = rng.integers(0, 256, 1024, dtype=np.uint8).tobytes()
    row = bytes([5, 9, 0, 3, 1, 2, 3, 0, 5, 200, 0, 0])  # five of 9; 1 2 3 as they are; five of 200; end of row
    add("bmp-rle8.bmp", bmp(width, height, 8, row * height + b"\0\1", 1, palette))
    row = bytes([9, 0x12, 0, 4, 0x34, 0x56, 0, 0])
    add("bmp-rle4.bmp", bmp(width, height, 4, row * height + b"\0\1", 2, palette[:64]))


def make_webp():
    add("webp-lossy.webp", saved(image("RGB"), "WEBP", quality=70))
    add("webp-alpha.webp", saved(image("RGBA"), "WEBP", quality=70))
    add("webp-lossless.webp", saved(image("RGB"), "WEBP", lossless=True))
    add("webp-lossless-alpha.webp", saved(image("RGBA"), "WEBP", lossless=True, exact=True))
    frames = [image("RGBA"), image("RGBA")]
    add("webp-animated.webp", saved(frames[0], "WEBP", save_all=True, append_images=frames[1:]))
    part = np.zeros((19, 29, 4), np.uint8)
    part[6:12, 8:20] = picture(12, 6, 4)
    frames[0] = Image.fromarray(part, "RGBA")
    add("webp-animated-part.webp", saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True))


def make_jpeg():
    for name, mode, options in (
        ("420", "RGB", {}),
        ("422", "RGB", {"subsampling": 1}),
        ("444", "RGB", {"subsampling": 0, "quality": 95}),
        ("progressive", "RGB", {"progressive": True}),
        ("restart", "RGB", {"restart_marker_blocks": 2}),
        ("gray", "L", {}),
        ("gray-progressive", "L", {"progressive": True}),
        ("cmyk", "CMYK", {}),
    ):
        add(f"jpeg-{name}.jpg", saved(image(mode, 45, 35), "JPEG", **options), mean=1.0)


def make_orientations():
    xmp = '<rdf:Description tiff:Orientation="6"/>'
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        img = image("RGB", 13, 8)
        add(f"orientation-{orientation}.png", saved(img, "PNG", exif=exif))
        add(f"orientation-{orientation}.jpg", saved(img, "JPEG", exif=exif, quality=95), mean=1.0)
        if orientation in (5, 8):
            add(f"orientation-{orientation}.webp", saved(img, "WEBP", exif=exif, lossless=True))
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", xmp)
    add("orientation-xmp.png", saved(image("RGB", 13, 8), "PNG", pnginfo=info))
    add("orientation-xmp.jpg", saved(image("RGB", 13, 8), "JPEG", xmp=xmp.encode()), mean=1.0)
    add("orientation-xmp.webp", saved(image("RGB", 13, 8), "WEBP", xmp=xmp.encode(), lossless=True))


# Resizing and the vision tower's input, on pictures that a few lines of C make too


def made_up(width, height):
    """Byte i is the top of a linear congruential generator's state after i + 1 steps; every other row saturated."""
    n, state, out = width * height * 3, width * 65536 + height, np.empty(width * height * 3, np.uint8)
    for i in range(n):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        out[i] = state >> 24
    rgb = out.reshape(height, width, 3)
    rgb[::2] = np.where(rgb[::2] < 128, 0, 255)
    return rgb


def make_resizes():
    lines = []
    for i in range(120):
        limit = (9, 40, 120)[i % 3]
        width, height = (int(v) for v in rng.integers(1, limit, 2))
        to_width, to_height = (int(v) for v in rng.integers(1, (9, 40, 120)[i // 3 % 3], 2))
        to_width = width if i % 10 == 0 else to_width
        to_height = height if i % 15 == 0 else to_height
        resized = Image.fromarray(made_up(width, height)).resize((to_width, to_height), i % 4)
        digest = hashlib.sha256(np.array(resized).tobytes()).hexdigest()
        lines.append(f"{i % 4} {width} {height} {to_width} {to_height} {digest}")
    (OUT / "resizes.txt").write_text("\n".join(lines) + "\n")


MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def vision_input(rgb, edge, crop_width, crop_height):
    """transformers 4.46's CLIPImageProcessor, in numpy."""
    height, width = rgb.shape[:2]
    longer = int(edge * max(width, height) / min(width, height))
    width, height = (edge, longer) if width <= height else (longer, edge)
    resized = np.array(Image.fromarray(rgb).resize((width, height), Image.Resampling.BICUBIC))
    top, left = (height - crop_height) // 2, (width - crop_width) // 2
    above, before = max(0, ceil((crop_height - height) / 2)), max(0, ceil((crop_width - width) / 2))
    crop = np.zeros((crop_height, crop_width, 3), np.uint8)
    part = resized[max(0, top) : max(0, top) + crop_height, max(0, left) : max(0, left) + crop_width]
    crop[above : above + part.shape[0], before : before + part.shape[1]] = part
    scaled = (crop.astype(np.float64) * (1 / 255)).astype(np.float32)
    return ((scaled - np.array(MEAN, np.float32)) / np.array(STD, np.float32)).transpose(2, 0, 1)


def make_vision_inputs():
    lines = []
    for i in range(60):
        width, height = (int(v) for v in rng.integers(1, 120, 2))
        edge, crop_width, crop_height = (int(v) for v in rng.integers(1, 60, 3))
        pixels = np.ascontiguousarray(vision_input(made_up(width, height), edge, crop_width, crop_height))
        digest = hashlib.sha256(pixels.tobytes()).hexdigest()
        lines.append(f"{width} {height} {edge} {crop_width} {crop_height} {digest}")
    (OUT / "vision-inputs.txt").write_text("\n".join(lines) + "\n")


OUT.mkdir(parents=True, exist_ok=True)
for old in OUT.iterdir():
    old.unlink()
make_png()
make_gif()
make_bmp()
make_webp()
make_jpeg()
make_orientations()
make_resizes()
make_vision_inputs()
(OUT / "manifest.txt").write_text("\n".join(manifest) + "\n")
print(len(manifest), "pictures")
