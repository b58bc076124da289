"""The language stand-in and the article's three stages: python -m demo.stages NAME.

  language  what Vicuna and LLaVA's first training stand for: single questions about pictures, and at every
            position of a drawing the LLM says which thing belongs there and what the background is (the helper's losses)
  stage1    the image decoder and its projector learn; everything else is frozen
  stage2    understanding instructions, several turns, refusals; the LLM and the projector from the eye learn
  stage3    generation, understanding and mixed conversations together; all but the eye and the VQVAE learn
  match     whether a thing that is asked about is in the picture; the LLM and the projector from the eye learn
  last      stage3 once more with what match has taught
"""

import math
import sys

import torch
import torch.nn as nn
import torch.nn.functional as F

from . import checkpoint, data, evaluate, hogwild, parts, paths, texts
from .hogwild import DEVICE
from .things import BACKGROUND_NAMES, LABELS

INPUTS = ("vargpt_gen.word_embed", "vargpt_gen.pos_start", "vargpt_gen.pos_1LC", "vargpt_gen.lvl_embed",
          "image_gen_projector.")
LLM = ("language_model", "multi_modal_projector")
DECODER = ("vargpt_gen.blocks", "vargpt_gen.head", "image_gen_projector_out")
POINTER, POINTER_HEAD = 1, 0             # the LLM's layer and head that learn to find what is asked about
SCALE = 1 if DEVICE == "cpu" else 16     # a GPU takes larger batches


class Stage(hogwild.Phase):
    learns = ()             # prefixes of the parameters that learn
    kinds = ()              # (kind of conversation, how many a step)
    rate_at = 1e-3
    clip = 1.0
    ema = 0.999
    decoder = True          # whether the drawing loss is computed
    helper = 0.5            # weight of the helper's losses
    blind = 0.1             # share of drawings whose LLM rows are noise, so that guidance means something
    evaluate_every = 600.0

    def modules(self):
        words = checkpoint.words()
        m, helper = checkpoint.build(words), nn.Linear(checkpoint.HIDDEN, LABELS + len(BACKGROUND_NAMES))
        for stage in checkpoint.STAGES[:checkpoint.STAGES.index(self.name)]:
            if not checkpoint.overlay(m, helper, stage):
                raise SystemExit(f"{self.name} needs {stage}'s result")
        for name, p in m.named_parameters():
            p.requires_grad_(name.startswith(self.learns) and "ln_q" not in name and "class_emb" not in name)
        return {"model": m, "helper": helper}

    def start(self, rank):
        self.source = data.Source("train", checkpoint.words(), self.seed)

    def optimiser(self):
        decay, plain = [], []
        for m in self.m.values():
            for name, p in m.named_parameters():
                if p.requires_grad:
                    matrix = p.ndim == 2 and "embed" not in name
                    (decay if matrix else plain).append(p)
        return torch.optim.AdamW([{"params": decay, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}],
                                 lr=self.rate_at, betas=(0.9, 0.97), fused=True)

    def loss(self, progress, step):
        total, numbers = 0.0, {}
        for kind, count in self.kinds:
            batch = self.source.batch(kind, count * SCALE)
            with hogwild.bf16():
                part = losses(self.m["model"], self.m["helper"], self.source, batch, self.decoder, self.blind,
                              frozen=self.name == "stage1")
            if "text" in part:
                total = total + part["text"]
            if "helper" in part:
                total = total + self.helper * (part["helper"] + part["ground"])
            if "point" in part:
                total = total + part["point"]
            if "draw" in part:
                total = total + part["draw"]
            for k, v in part.items():
                numbers[f"{kind.__name__}.{k}"] = v.item()
        return total, numbers

    def evaluate(self, averaged, final):
        return evaluate.numbers(averaged["model"], checkpoint.words(), final,
                                drawings=self.folder / "drawings.png" if self.decoder else None)


def losses(m, helper, source, batch, decoder, blind, frozen):
    """The losses of one batch: text, and where something is drawn the helper's and the decoder's."""
    words, found, labels = source.writer.words, {}, None
    pointer = m.language_model.model.layers[POINTER].self_attn
    pointer.keeps = bool(batch.points) and not frozen
    with torch.set_grad_enabled(not frozen):
        x = m.embed(batch.ids).float()
        if batch.looks:
            pixels, labels = source.set.look(source.r, batch.looks)
            with torch.no_grad():
                seen = m.vision_tower.vision_model(pixels)[:, 1:]
            x = x.masked_scatter((batch.ids == words.image)[..., None], m.multi_modal_projector(seen).float())
        places = batch.ids == words.place
        if batch.draws:
            codes = source.set.codes(batch.draws)
            rows = m.vargpt_gen.inputs(m.map_rows(codes), 0, data.POSITIONS)
            x = x.masked_scatter(places[..., None], m.image_gen_projector(rows).float())
        h = m.language_model(x)
        said = batch.labels >= 0
        if not frozen:
            found["text"] = focused(m.language_model.lm_head(h[said]).float(), batch.labels[said])
    if pointer.keeps:
        found["point"], found["found"] = pointed(*pointer.kept, batch, labels, source.set)
        pointer.kept = None
    if batch.draws:
        h = h[places].view(len(batch.draws), data.POSITIONS, -1)
        if not frozen:
            things, ground = helper(h).float().transpose(1, 2).split((LABELS, len(BACKGROUND_NAMES)), 1)
            found["helper"] = F.cross_entropy(things, source.set.label_rows(batch.draws))
            found["ground"] = F.cross_entropy(ground, source.set.ground_rows(batch.draws))
        if decoder:
            noise = (torch.rand(len(h), 1, 1, device=h.device) < blind).to(h.dtype)
            h = h * (1 - noise) + torch.randn_like(h) * noise
            logits = m.vargpt_gen(m.image_gen_projector_out(h), m.vargpt_gen.mask).float()
            each = F.cross_entropy(logits.transpose(1, 2), codes, reduction="none")
            found["draw"] = 0.5 * each.mean() + 0.5 * by_scale(m, each).mean()
    return found


def pointed(q, k, batch, labels, scenes):
    """One head learns to find what is asked about: from a name its attention goes to where that thing is in the
    picture, or to the very first token if it is not there. Whether it is there then costs the layers above little; of
    answers alone it was not learned in an hour. Returns the loss and the share of names that find the right place.
    q, k (B, heads, N, D)."""
    row = torch.tensor([p.row for p in batch.points], device=q.device)
    at = torch.tensor([p.at for p in batch.points], device=q.device)
    scores = torch.einsum("pd,pnd->pn", q[row, POINTER_HEAD, at].float(), k[row, POINTER_HEAD].float())
    place = torch.arange(k.shape[2], device=q.device)[None]
    scores = (scores * q.shape[-1] ** -0.5).masked_fill(place > at[:, None], -math.inf).log_softmax(-1)
    right = torch.zeros(scores.shape, dtype=torch.bool)
    drawn = scenes.label_rows(batch.draws).cpu() if batch.draws else None
    for n, p in enumerate(batch.points):
        there = drawn[p.picture] if p.drawn else labels[p.picture].flatten()
        right[n, p.first:p.first + len(there)] = (there == p.label) & (there > 0)
    right[:, 0] = ~right.any(1)
    share = scores.masked_fill(~right.to(q.device), -math.inf).logsumexp(-1)
    return -share.mean(), (share > math.log(0.5)).float().mean()


def focused(logits, labels):
    """Cross-entropy with most weight on tokens that are not known yet: of an answer's dozen words one or two decide."""
    each = F.cross_entropy(logits, labels, reduction="none")
    weight = 1.02 - (-each.detach()).exp()
    return (weight * each).sum() / weight.sum()


def by_scale(m, each):
    """Means over each scale's positions of (B, positions): (scales)."""
    scale_of = m.vargpt_gen.lvl_1L[0]
    return torch.stack([each[:, scale_of == s].mean() for s in range(len(m.vargpt_gen.patch_nums))])


class Language(Stage):
    name, minutes = "language", 15.0
    learns, rate_at, decoder = LLM + INPUTS, 1.5e-3, False
    kinds = ((texts.questions, 24), (texts.generation, 16))


class Stage1(Stage):
    name, minutes = "stage1", 60.0
    learns, rate_at = DECODER, 1.5e-3
    kinds = ((texts.generation, 32),)


class Stage2(Stage):
    name, minutes = "stage2", 20.0
    learns, rate_at, decoder = LLM, 5e-4, False
    kinds = ((texts.understanding, 24), (texts.generation, 8))


class Stage3(Stage):
    name, minutes = "stage3", 120.0
    learns, rate_at, ema = LLM + INPUTS + DECODER, 1e-3, 0.99
    helper = 1.5
    kinds = ((texts.understanding, 16), (texts.generation, 24), (texts.mixed, 6))


class Match(Stage):
    name, minutes = "match", 60.0
    learns, rate_at, decoder, ema = LLM, 1e-3, False, 0.99
    kinds = ((texts.matching, 64), (texts.understanding, 16), (texts.generation, 6))


class Last(Stage3):
    name, minutes = "last", 28.0
    rate_at = 7e-4
    kinds = ((texts.understanding, 16), (texts.matching, 8), (texts.generation, 20), (texts.mixed, 12))


PHASES = {c.name: c for c in (Language, Stage1, Stage2, Stage3, Match, Last)}


def main(name):
    phase = PHASES[name]()
    if not hogwild.train(phase):
        return 1
    modules = hogwild.result(phase)
    trained = {k: p for k, p in modules["model"].named_parameters() if k.startswith(phase.learns)}
    trained.update({f"helper.{k}": p for k, p in modules["helper"].named_parameters()})
    parts.save_tensors(name, trained)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
