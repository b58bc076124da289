"""A judge of drawings, apart from the model: a small convolutional network that says which things are in a picture."""

import random
import sys

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

from . import data, hogwild, parts
from .things import BACKGROUND_NAMES, NAMES

BATCH = 32
RATE = 2e-3


class Judge(nn.Module):
    """Normalised pixels (B, 3, 64, 64) to logits of each thing (B, things) and of the background."""

    def __init__(self):
        super().__init__()
        widths, layers = (3, 32, 64, 96, 128), []
        for a, b in zip(widths, widths[1:]):
            layers += [nn.Conv2d(a, b, 3, padding=1, bias=False), nn.GroupNorm(8, b), nn.SiLU(),
                       nn.Conv2d(b, b, 3, stride=2, padding=1, bias=False), nn.GroupNorm(8, b), nn.SiLU()]
        self.body = nn.Sequential(*layers)
        self.things = nn.Conv2d(widths[-1], len(NAMES), 3, padding=1)
        self.background = nn.Linear(widths[-1], len(BACKGROUND_NAMES))

    def forward(self, x):
        h = self.body(x)
        return self.things(h).flatten(2).logsumexp(2) - 5.0, self.background(h.mean((2, 3)))


def wanted(specs):
    """Which things are there, (N, things), and the background's number."""
    things = torch.zeros(len(specs), len(NAMES))
    for row, (_, a, _, b) in zip(things, specs):
        row[NAMES.index(a)] = 1
        if b:
            row[NAMES.index(b)] = 1
    return things, torch.tensor([BACKGROUND_NAMES.index(s[0]) for s in specs])


def right(judge, x, specs):
    """For each picture whether the likeliest one or two things are those of its spec."""
    with torch.no_grad():
        logits = judge(x)[0].cpu()
    out = []
    for row, (_, a, _, b) in zip(logits, specs):
        things = {NAMES.index(n) for n in (a, b) if n}
        out.append(set(row.topk(len(things)).indices.tolist()) == things)
    return out


class Judging(hogwild.Phase):
    name = "judge"
    minutes = 6.0
    evaluate_every = 180.0

    def modules(self):
        return {"judge": Judge()}

    def start(self, rank):
        self.set, self.r = data.Set("train"), random.Random(self.seed)

    def optimiser(self):
        return torch.optim.AdamW(self.m["judge"].parameters(), lr=RATE, weight_decay=0.02, fused=True)

    def loss(self, progress, step):
        chosen = sorted(self.r.randrange(len(self.set.specs)) for _ in range(BATCH))
        x = self.set.look(self.r, chosen, 0.3)[0]
        x = x + 0.15 * torch.rand(1).item() * torch.randn_like(x)
        things, grounds = wanted([self.set.specs[i] for i in chosen])
        with hogwild.bf16():
            named, ground = self.m["judge"](x)
        a = F.binary_cross_entropy_with_logits(named.float(), things.to(x.device)) * 20
        b = F.cross_entropy(ground.float(), grounds.to(x.device))
        return a + 0.3 * b, {"things": a.item(), "background": b.item()}

    def evaluate(self, averaged, final):
        unseen, r = data.Set("unseen"), random.Random(0)
        specs = unseen.specs[:400]
        return {kind: round(float(np.mean(right(averaged["judge"], unseen.look(r, range(400), share)[0], specs))), 4)
                for kind, share in (("scenes", 0.0), ("redrawn", 1.0))}


if __name__ == "__main__":
    phase = Judging()
    if not hogwild.train(phase):
        sys.exit(1)
    parts.save("judge", hogwild.result(phase)["judge"])
