"""Scenes and conversations as batches of tensors."""

import random
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F

from . import chat, paths, scenes, texts
from .hogwild import DEVICE
from .things import BACKGROUND_NAMES, LABELS

MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)
PATCH_NUMS = (1, 2, 3, 4, 6, 8)
POSITIONS = sum(p * p for p in PATCH_NUMS)
PATCHES = 64        # rows of the ViT for a picture


def pixels(pictures):
    """Pictures (N, H, W, 3) u8 as CLIP's preprocessing leaves them, (N, 3, H, W)."""
    x = torch.from_numpy(np.array(pictures)).to(DEVICE).permute(0, 3, 1, 2).float() / 255
    shape = (1, 3, 1, 1)
    return (x - x.new_tensor(MEAN).view(shape)) / x.new_tensor(DEVIATION).view(shape)


class Set:
    """Scenes with all that is known of them. `redrawn` are the first of those to be drawn as the VQVAE gives them
    back."""

    def __init__(self, name):
        self.specs = scenes.load_specs(name)
        self.pictures, self.labels = scenes.load(name)
        self.drawn_labels = scenes.load(f"{name}-drawn")[1]
        self.pool = texts.Pool(self.specs)
        self.tokens = self._maybe(f"{name}-tokens.npy")
        self.redrawn = self._maybe(f"{name}-redrawn.npy")

    @staticmethod
    def _maybe(file):
        return np.load(paths.DATA / file, mmap_mode="r") if (paths.DATA / file).exists() else None

    def look(self, r, indices, redrawn=0.3):
        """Pictures as the eye sees them, now and then as the model itself would have drawn them, and their labels."""
        out = np.empty((len(indices),) + self.pictures.shape[1:], np.uint8)
        labels = np.empty((len(indices),) + self.labels.shape[1:], np.int64)
        for k, i in enumerate(indices):
            own = self.redrawn is not None and i < len(self.redrawn) and r.random() < redrawn
            out[k] = self.redrawn[i] if own else self.pictures[i]
            labels[k] = self.drawn_labels[i] if own else self.labels[i]
        return pixels(out), torch.from_numpy(labels)

    def codes(self, indices):
        return torch.from_numpy(self.tokens[np.asarray(indices)].astype(np.int64)).to(DEVICE)

    def label_rows(self, indices):
        """For each picture position which thing is there, (N, POSITIONS): the one that covers most of it, 0 where none
        covers a quarter; scale 0 has the largest thing."""
        labels = torch.from_numpy(self.drawn_labels[np.asarray(indices)].astype(np.int64))
        covered = F.one_hot(labels, LABELS).permute(0, 3, 1, 2)[:, 1:].float()
        rows = []
        for p in PATCH_NUMS:
            share, thing = F.adaptive_avg_pool2d(covered, p).flatten(2).max(1)
            rows.append(torch.where(share >= (0.25 if p > 1 else 0.0), thing + 1, 0))
        return torch.cat(rows, 1).to(DEVICE)

    def ground_rows(self, indices):
        """For each picture position the background's number, (N, POSITIONS)."""
        grounds = torch.tensor([BACKGROUND_NAMES.index(self.specs[i][0]) for i in indices], device=DEVICE)
        return grounds[:, None].expand(-1, POSITIONS)


@dataclass
class Batch:
    ids: torch.Tensor       # (B, L): image and place tokens stand for rows of pictures
    labels: torch.Tensor    # (B, L): the next token, or −100
    looks: list             # scenes seen, in the order of their rows
    draws: list             # scenes drawn
    points: list            # a Point for each question about one thing


@dataclass
class Point:
    """A name in a question, and the picture it asks about: the last before it."""

    row: int
    at: int                 # position of the name's last token
    label: int              # of the thing; 0 for one that is in no picture
    first: int              # position of the picture's first row
    drawn: bool             # whether the picture is one of `draws` or of `looks`
    picture: int            # its number there


class Writer:
    """Turns conversations into token sequences as the server would see them."""

    def __init__(self, words):
        self.words = words
        self.plain = {}
        self.space = words.tokenizer.token_to_id("▁")

    def encode(self, text):
        """Ids without <s>, remembered."""
        if text not in self.plain:
            if len(self.plain) > 200000:
                self.plain.clear()
            self.plain[text] = self.words.tokenizer.encode(text, add_special_tokens=False).ids
        return self.plain[text]

    def token_at(self, text, character):
        """Which of a text's tokens holds a character."""
        offsets = self.words.tokenizer.encode(text, add_special_tokens=False).offsets
        return next(n for n, (first, last) in enumerate(offsets) if first <= character < last)

    def sequence(self, r, turns, system=None):
        """One conversation as (ids, labels, looks, draws, points)."""
        w = self.words
        ids, labels, looks, draws, points = [w.start], [-100], [], [], []

        def add(more, learn=False):
            for i in more:
                if learn:
                    labels[-1] = i
                ids.append(i)
                labels.append(-100)

        if system is None and r.random() < 0.08:
            system = r.choice(texts.SYSTEM)
        for k, (user, pictures, reply) in enumerate(turns):
            text = (f"{system} " if k == 0 and system else "") + chat.prompt([("user", user, len(pictures))])
            text, mark = texts.unmarked(text)
            named = self.token_at(text, mark[0] - 1) if mark else None
            for n, i in enumerate(self.encode(text)):
                if i == w.image:
                    picture = (len(ids), False, len(looks))
                add([i] * (PATCHES if i == w.image else 1))
                if n == named:
                    points.append(Point(0, len(ids) - 1, mark[1], *picture))
            looks += pictures
            for part in reply:
                if isinstance(part, str):
                    add(self.encode(part), True)
                    continue
                if ids[-1] != w.drawn and k + 1 < len(turns) and part != reply[0] and r.random() < 0.5:
                    add([self.space])       # history may come back with a space here
                add([w.draw], True)
                picture = (len(ids), True, len(draws))
                add([w.place] * POSITIONS + [w.drawn])
                draws.append(part)
            labels[-1] = w.end
            if ids[-1] == w.drawn and k + 1 < len(turns) and r.random() < 0.5:
                add([self.space])
        return ids, labels, looks, draws, points

    def batch(self, r, conversations):
        rows = [self.sequence(r, c) for c in conversations]
        longest = max(len(row[0]) for row in rows)
        ids = torch.full((len(rows), longest), self.words.pad)
        labels = torch.full((len(rows), longest), -100)
        looks, draws, points = [], [], []
        for k, row in enumerate(rows):
            ids[k, :len(row[0])] = torch.tensor(row[0])
            labels[k, :len(row[1])] = torch.tensor(row[1])
            for p in row[4]:
                before = draws if p.drawn else looks
                points.append(replace(p, row=k, picture=p.picture + len(before)))
            looks += row[2]
            draws += row[3]
        return Batch(ids.to(DEVICE), labels.to(DEVICE), looks, draws, points)


class Source:
    """Random batches of one set, for one worker."""

    def __init__(self, name, words, seed):
        self.set, self.writer, self.r = Set(name), Writer(words), random.Random(seed)

    def batch(self, kind, count):
        """kind: texts.understanding, texts.generation or texts.mixed."""
        return self.writer.batch(self.r, [kind(self.r, self.set.pool) for _ in range(count)])
