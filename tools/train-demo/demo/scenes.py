"""Renders scenes of one or two things on a coloured background, with a map of which thing is where.

A scene's spec is (background, thing, relation, other): relation is None for one thing alone, "frame" for one
thing inside a frame, or one of things.RELATIONS, read "thing is RELATION other".
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


def scene(rng, spec):
    """Renders a spec: picture (SIZE, SIZE, 3) u8 and label map (CELLS, CELLS) u8."""
    background, a, relation, b = spec
    colour = np.clip(np.array(BACKGROUNDS[background]) + rng.integers(-6, 7, 3), 0, 255)
    canvas = Canvas(int(c) for c in colour)

    def j():
        return rng.uniform(-0.03, 0.03)

    def size(low, high):
        return rng.uniform(low, high)

    if relation is None:
        canvas.put(a, size(0.62, 0.80), 0.5 + 2 * j(), 0.5 + 2 * j())
    elif relation == FRAME:
        canvas.frame()
        canvas.put(a, size(0.50, 0.56), 0.5 + j() / 2, 0.5 + j() / 2)
    elif relation == "on":
        canvas.put(b, size(0.56, 0.64), 0.5 + j(), 0.68 + j())
        canvas.put(a, size(0.40, 0.46), 0.5 + j(), 0.25 + j())
    elif relation == "above":
        canvas.put(a, size(0.42, 0.46), 0.5 + 2 * j(), 0.25)
        canvas.put(b, size(0.42, 0.46), 0.5 + 2 * j(), 0.75)
    else:
        xa, xb = (0.25, 0.75) if relation == "left" else (0.75, 0.25)
        canvas.put(a, size(0.42, 0.46), xa, 0.5 + 2 * j())
        canvas.put(b, size(0.42, 0.46), xb, 0.5 + 2 * j())
    return canvas.finish()


def _render(job):
    seed, count, unseen = job
    rng = np.random.default_rng(seed)
    specs = [random_spec(rng, unseen) for _ in range(count)]
    pictures, labels = zip(*(scene(rng, s) for s in specs))
    return np.stack(pictures), np.stack(labels), specs


def build(name, count, unseen, seed):
    """Renders a set into data/NAME-{pictures,labels}.npy and -specs.json, unless it is there."""
    target = paths.DATA / f"{name}-specs.json"
    if target.exists():
        return
    jobs = [((seed, i), min(500, count - i), unseen) for i in range(0, count, 500)]
    start, parts = time.time(), []
    with mp.Pool(2) as pool:
        for part in pool.imap(_render, jobs):
            parts.append(part)
            print(f"\r{name}: {sum(len(p[2]) for p in parts)}/{count} scenes, {time.time() - start:.0f} s", end="")
    print()
    np.save(paths.DATA / f"{name}-pictures.npy", np.concatenate([p[0] for p in parts]))
    np.save(paths.DATA / f"{name}-labels.npy", np.concatenate([p[1] for p in parts]))
    partial = target.with_suffix(".partial")
    partial.write_text(json.dumps([s for p in parts for s in p[2]]))
    os.replace(partial, target)


def load(name):
    """A set as (pictures, mapped from the file; labels; specs)."""
    return (np.load(paths.DATA / f"{name}-pictures.npy", mmap_mode="r"),
            np.load(paths.DATA / f"{name}-labels.npy"),
            [tuple(s) for s in json.loads((paths.DATA / f"{name}-specs.json").read_text())])


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
    sheet(load("train")[0][:96], 12).save(paths.DATA / "train.png")
    sys.exit(0)
