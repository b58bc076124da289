"""Renders scenes of one or two things on a coloured background, with a map of which thing is where.

A scene's spec is (background, thing, relation, other): relation is None for one thing alone, "frame" for one
thing inside a frame, or one of things.RELATIONS, read "thing is RELATION other".

Each scene is rendered twice: to be looked at, with sizes and places that vary freely, and to be drawn, with few of
them. A small model that must guess every pixel's whim spends its strength on that and draws mush.
"""

import io
import json
import multiprocessing as mp
import os
import sys
import time

import numpy as np
from PIL import Image, ImageDraw

from . import paths
from .things import BACKGROUND_NAMES, BACKGROUNDS, FRAME, FRAME_LABEL, NAMES, RELATIONS, THINGS, held_out

SIZE = 64      # pixels a side
CELLS = 8      # label map: cells a side
TRAIN = 40000
UNSEEN = 1000

_art = {}


def art(name):
    """The thing's drawing as RGBA, 256 pixels a side."""
    if name not in _art:
        import resvg_py

        svg = (paths.TWEMOJI / f"{THINGS[name][1]}.svg").read_text()
        data = bytes(resvg_py.svg_to_bytes(svg_string=svg, width=256, height=256))
        _art[name] = Image.open(io.BytesIO(data)).convert("RGBA")
    return _art[name]


def random_spec(rng, unseen=False):
    """A spec that is (unseen) or is not among the combinations kept from training."""
    while True:
        background = BACKGROUND_NAMES[rng.integers(len(BACKGROUND_NAMES))]
        a, b = (NAMES[i] for i in rng.choice(len(NAMES), 2, replace=False))
        kind = rng.random()
        if kind < 0.35:
            spec = (background, a, None, None)
        elif kind < 0.45:
            spec = (background, a, FRAME, None)
        else:
            spec = (background, a, RELATIONS[rng.integers(4)], b)
        if held_out(spec) == unseen:
            return spec


class Canvas:
    """A picture at twice the final size, with its label image."""

    def __init__(self, colour):
        self.side = SIZE * 2
        self.picture = Image.new("RGBA", (self.side, self.side), tuple(colour) + (255,))
        self.labels = Image.new("L", (self.side, self.side), 0)

    def put(self, name, size, x, y):
        """Draws a thing, size and centre as shares of the side, kept inside the picture."""
        s = max(8, int(size * self.side))
        drawing = art(name).resize((s, s), Image.BOX if s > 128 else Image.BILINEAR)
        left = int(np.clip(x * self.side - s / 2, 0, self.side - s))
        top = int(np.clip(y * self.side - s / 2, 0, self.side - s))
        self.picture.alpha_composite(drawing, (left, top))
        solid = drawing.split()[3].point(lambda v: 255 if v > 128 else 0)
        self.labels.paste(NAMES.index(name) + 1, (left, top, left + s, top + s), solid)

    def frame(self):
        draw, labels = ImageDraw.Draw(self.picture), ImageDraw.Draw(self.labels)
        edge = 0.09 * self.side
        box = (edge, edge, self.side - 1 - edge, self.side - 1 - edge)
        draw.rectangle(box, fill=(252, 250, 244, 255), outline=(150, 100, 55, 255), width=9)
        labels.rectangle(box, outline=FRAME_LABEL, width=9)

    def finish(self):
        picture = np.array(self.picture.convert("RGB").resize((SIZE, SIZE), Image.BOX))
        n = self.side // CELLS
        cells = np.array(self.labels).reshape(CELLS, n, CELLS, n).transpose(0, 2, 1, 3).reshape(CELLS * CELLS, -1)
        counts = np.stack([np.bincount(c, minlength=FRAME_LABEL + 1)[1:] for c in cells])
        labels = np.where(counts.max(1) > n * n // 4, counts.argmax(1) + 1, 0)
        return picture, labels.reshape(CELLS, CELLS).astype(np.uint8)


class Loose:
    """How scenes to be looked at vary: freely, in shares of the side."""

    shade = 6       # of the background, levels either way

    def __init__(self, rng):
        self.rng = rng

    def size(self, low, high):
        return self.rng.uniform(low, high)

    def shift(self, most):
        return self.rng.uniform(-most, most)

    def alone(self):
        """Size and centre of a thing with nothing beside it."""
        return self.size(0.62, 0.80), 0.5 + self.shift(0.06), 0.5 + self.shift(0.06)


class Tidy(Loose):
    """How scenes to be drawn vary: one thing alone has two sizes and three places across."""

    shade = 0

    def size(self, low, high):
        return (low + high) / 2

    def shift(self, most):
        return 0.0

    def alone(self):
        return self.rng.choice((0.66, 0.76)), 0.5 + self.rng.choice((-0.0625, 0.0, 0.0625)), 0.5


def scene(rng, spec, vary):
    """Renders a spec: picture (SIZE, SIZE, 3) u8 and label map (CELLS, CELLS) u8; vary is Loose or Tidy."""
    background, a, relation, b = spec
    v = vary(rng)
    colour = np.clip(np.array(BACKGROUNDS[background]) + rng.integers(-v.shade, v.shade + 1, 3), 0, 255)
    canvas = Canvas(int(c) for c in colour)
    if relation is None:
        canvas.put(a, *v.alone())
    elif relation == FRAME:
        canvas.frame()
        canvas.put(a, v.size(0.50, 0.56), 0.5 + v.shift(0.015), 0.5 + v.shift(0.015))
    elif relation == "on":
        canvas.put(b, v.size(0.56, 0.64), 0.5 + v.shift(0.03), 0.68 + v.shift(0.03))
        canvas.put(a, v.size(0.40, 0.46), 0.5 + v.shift(0.03), 0.25 + v.shift(0.03))
    elif relation == "above":
        canvas.put(a, v.size(0.42, 0.46), 0.5 + v.shift(0.06), 0.25)
        canvas.put(b, v.size(0.42, 0.46), 0.5 + v.shift(0.06), 0.75)
    else:
        xa, xb = (0.25, 0.75) if relation == "left" else (0.75, 0.25)
        canvas.put(a, v.size(0.42, 0.46), xa, 0.5 + v.shift(0.06))
        canvas.put(b, v.size(0.42, 0.46), xb, 0.5 + v.shift(0.06))
    return canvas.finish()


def _render(job):
    seed, specs, vary = job
    rng = np.random.default_rng(seed)
    pictures, labels = zip(*(scene(rng, s, vary) for s in specs))
    return np.stack(pictures), np.stack(labels)


def render(name, specs, vary, seed):
    """Renders specs into data/NAME-{pictures,labels}.npy, unless they are there."""
    target = paths.DATA / f"{name}-labels.npy"
    if target.exists():
        return
    jobs = [((seed, i), specs[i:i + 500], vary) for i in range(0, len(specs), 500)]
    start, parts = time.time(), []
    with mp.Pool(2) as pool:
        for part in pool.imap(_render, jobs):
            parts.append(part)
            print(f"\r{name}: {sum(len(p[0]) for p in parts)}/{len(specs)} scenes, {time.time() - start:.0f} s", end="")
    print()
    np.save(paths.DATA / f"{name}-pictures.npy", np.concatenate([p[0] for p in parts]))
    partial = target.with_suffix(".partial.npy")
    np.save(partial, np.concatenate([p[1] for p in parts]))
    os.replace(partial, target)


def build(name, count, unseen, seed):
    """A set: its specs in data/NAME-specs.json, rendered to be looked at (NAME) and to be drawn (NAME-drawn)."""
    target = paths.DATA / f"{name}-specs.json"
    if not target.exists():
        rng = np.random.default_rng(seed)
        target.write_text(json.dumps([random_spec(rng, unseen) for _ in range(count)]))
    specs = load_specs(name)
    render(name, specs, Loose, seed)
    render(f"{name}-drawn", specs, Tidy, seed + 10)


def load_specs(name):
    return [tuple(s) for s in json.loads((paths.DATA / f"{name}-specs.json").read_text())]


def load(name):
    """Rendered scenes as (pictures, mapped from the file; labels)."""
    return np.load(paths.DATA / f"{name}-pictures.npy", mmap_mode="r"), np.load(paths.DATA / f"{name}-labels.npy")


def sheet(pictures, columns, scale=1):
    """Pictures (N, H, W, 3) u8 side by side as one image."""
    n, h, w, _ = pictures.shape
    rows = (n + columns - 1) // columns
    grid = np.full((rows * columns, h, w, 3), 255, np.uint8)
    grid[:n] = pictures
    grid = grid.reshape(rows, columns, h, w, 3).transpose(0, 2, 1, 3, 4).reshape(rows * h, columns * w, 3)
    return Image.fromarray(grid).resize((columns * w * scale, rows * h * scale), Image.NEAREST)


if __name__ == "__main__":
    paths.DATA.mkdir(parents=True, exist_ok=True)
    build("train", TRAIN, False, 1)
    build("unseen", UNSEEN, True, 2)
    for name in ("train", "train-drawn"):
        sheet(load(name)[0][:96], 12).save(paths.DATA / f"{name}.png")
    sys.exit(0)
