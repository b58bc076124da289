"""Phase 3: the eye (the stage CLIP stands for): it names the thing under each patch, and the background."""

import random
import sys
from types import SimpleNamespace

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

from . import data, hogwild, parts
from .model import VisionModel
from .things import BACKGROUND_NAMES, LABELS

BATCH = 16
RATE = 1.5e-3
CONFIG = {"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 5, "num_attention_heads": 4,
          "image_size": 64, "patch_size": 8}


def build():
    """The tower. Its last layer is never used (vision_feature_layer −2); it is all zeros."""
    vit = VisionModel(SimpleNamespace(**CONFIG))
    nn.init.normal_(vit.embeddings.position_embedding.weight, std=0.02)
    for p in list(vit.encoder.layers[-1].parameters()) + list(vit.post_layernorm.parameters()):
        nn.init.zeros_(p)
        p.requires_grad_(False)
    return vit


class Vit(hogwild.Phase):
    name = "vit"
    minutes = 10.0
    clip = 1.0
    evaluate_every = 180.0

    def modules(self):
        return {"vit": build(), "names": nn.Linear(CONFIG["hidden_size"], LABELS),
                "ground": nn.Linear(CONFIG["hidden_size"], len(BACKGROUND_NAMES))}

    def start(self, rank):
        self.set, self.r = data.Set("train"), random.Random(self.seed)
        self.colours = np.array([BACKGROUND_NAMES.index(s[0]) for s in self.set.specs])

    def optimiser(self):
        parameters = [p for m in self.m.values() for p in m.parameters() if p.requires_grad]
        return torch.optim.AdamW(parameters, lr=RATE, betas=(0.9, 0.98), weight_decay=0.02, fused=True)

    def loss(self, progress, step):
        chosen = sorted(self.r.randrange(len(self.set.specs)) for _ in range(BATCH))
        x, labels = self.set.look(self.r, chosen)
        colours = torch.from_numpy(self.colours[chosen]).to(x.device)
        with hogwild.bf16():
            rows = self.m["vit"](x)
            names, ground = self.m["names"](rows[:, 1:]), self.m["ground"](rows[:, 0])
        named = F.cross_entropy(names.float().flatten(0, 1), labels.to(x.device).flatten())
        coloured = F.cross_entropy(ground.float(), colours) + F.cross_entropy(
            self.m["ground"](rows[:, 1:].float().mean(1)), colours)
        return named + 0.5 * coloured, {"names": named.item(), "ground": coloured.item()}

    def evaluate(self, averaged, final):
        unseen, r = data.Set("unseen"), random.Random(0)
        found = {}
        for kind, share in (("scenes", 0.0), ("redrawn", 1.0)):
            if share and unseen.redrawn is None:
                continue
            x, labels = unseen.look(r, range(500), share)
            rows = averaged["vit"](x)
            guess = averaged["names"](rows[:, 1:]).argmax(-1).cpu().flatten()
            labels = labels.flatten()
            there = labels > 0
            ground = averaged["ground"](rows[:, 0]).argmax(-1).cpu()
            want = torch.tensor([BACKGROUND_NAMES.index(s[0]) for s in unseen.specs[:500]])
            found[kind] = {"patches_of_things": round((guess == labels)[there].float().mean().item(), 4),
                           "patches": round((guess == labels).float().mean().item(), 4),
                           "backgrounds": round((ground == want).float().mean().item(), 4)}
        return found


if __name__ == "__main__":
    phase = Vit()
    if not hogwild.train(phase):
        sys.exit(1)
    parts.save("vit", hogwild.result(phase)["vit"])
