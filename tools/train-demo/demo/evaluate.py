"""Measures a model on combinations that were never trained on: python -m demo.evaluate FOLDER [SHEET.png]."""

import random
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from . import chat, data, parts, scenes, texts, train_judge
from .hogwild import DEVICE
from .things import BACKGROUND_NAMES, NAMES, RELATIONS, held_out


@torch.no_grad()
def answers(m, words, pixels, question, longest=40):
    """Greedy answers to one question about each picture (N, 3, S, S)."""
    ids = words.ids(chat.prompt([("user", question, 1)]), data.PATCHES)
    ids = torch.tensor(ids, device=pixels.device)
    x = m.embed(ids).expand(len(pixels), -1, -1).clone()
    x[:, ids == words.image] = m.look(pixels)
    caches = m.new_caches()[0]
    h = m.language_model(x, caches)[:, -1:]
    out = []
    for _ in range(longest):
        token = m.language_model.lm_head(h)[:, 0].argmax(-1)
        out.append(token)
        if (torch.stack(out, 1) == words.end).any(1).all():
            break
        h = m.language_model(m.embed(token)[:, None], caches)
    texts_out = []
    for row in torch.stack(out, 1).tolist():
        texts_out.append(words.text(row[:row.index(words.end)] if words.end in row else row))
    return texts_out


@torch.no_grad()
def draw(m, words, requests, seed=0, **sampling):
    """Draws each request; pictures (N, S, S, 3) u8."""
    rows = [words.ids(chat.prompt([("user", t, 0)]), 0) + [words.draw] for t in requests]
    longest = max(map(len, rows))
    ids = torch.tensor([[words.pad] * (longest - len(r)) + r for r in rows], device=DEVICE)
    generator = torch.Generator(DEVICE).manual_seed(seed)
    f = m.draw(m.embed(ids), ids != words.pad, generator=generator, **sampling)[1]
    return ((m.see(f) + 1) * 127.5).permute(0, 2, 3, 1).cpu().numpy().astype(np.uint8)


def requests(count, seed=5):
    """Specs kept from training: single things and pairs in turn, the first the butterfly on a flower."""
    r, out = random.Random(seed), [("blue", "butterfly", "on", "flower")]
    while len(out) < count:
        a, b = r.sample(NAMES, 2)
        spec = (r.choice(BACKGROUND_NAMES),) + ((a, None, None) if len(out) % 2 else (a, r.choice(RELATIONS), b))
        if held_out(spec):
            out.append(spec)
    return out


def drawing_score(m, words, count=64, file=None, **sampling):
    """How often the model's own eye names what it drew: single things, pairs (both), and backgrounds; and the
    judge, which is apart from the model."""
    specs = requests(count)
    asked = [f"Draw {texts.told(s)} on a {s[0]} background." for s in specs]
    pictures = np.concatenate([draw(m, words, asked[i:i + 64], seed=i, **sampling) for i in range(0, count, 64)])
    said = answers(m, words, data.pixels(pictures), texts.LOOK[0])
    score = {"one": [], "two": [], "both_in_place": [], "background": [], "judge_one": [], "judge_two": []}
    for spec, answer in zip(specs, said):
        given = answer.replace(",", " ").replace(".", " ").split()
        named = spec[1] in given and (spec[3] is None or spec[3] in given)
        score["two" if spec[3] else "one"].append(named)
        if spec[3]:
            score["both_in_place"].append(answer.split(",")[0] == texts.caption(spec).split(",")[0])
        score["background"].append(f"a {spec[0]} background" in answer)
    if parts.path("judge"):
        judge = parts.load("judge", train_judge.Judge()).to(DEVICE).eval()
        for spec, ok in zip(specs, train_judge.right(judge, data.pixels(pictures), specs)):
            score["judge_two" if spec[3] else "judge_one"].append(ok)
    if file:
        scenes.sheet(pictures[:64], 8, 2).save(file)
    return {k: round(float(np.mean(v)), 3) for k, v in score.items() if v}


def whether(specs):
    """For each scene a question whether a thing is in it, every other time one that is, and the right answer."""
    asked = []
    for k, spec in enumerate(specs):
        things, there = texts.things_of(spec), k % 2 == 0
        others = [n for n in NAMES[k % len(NAMES):] + NAMES if n not in things]
        thing = things[k // 2 % len(things)] if there else others[0]
        asked.append((f"Is there {texts.named(thing)}?", texts.whether(there, texts.as_seen(spec))))
    return asked


def looking_score(m, words, count):
    """Captions, colours, yes or no on unseen scenes."""
    unseen, r = data.Set("unseen"), random.Random(0)
    pixels = unseen.look(r, range(count), 0.0)[0]
    specs = unseen.specs[:count]
    said = answers(m, words, pixels, texts.LOOK[0])
    exact = [a == texts.caption(s) for a, s in zip(said, specs)]
    no_colour = [a.split(",")[0] == texts.caption(s).split(",")[0] for a, s in zip(said, specs)]
    colours = answers(m, words, pixels, texts.WHICH_COLOUR[0], 12)
    right = [a == f"The background is {s[0]}." for a, s in zip(colours, specs)]
    there = [answers(m, words, pixels[k:k + 1], q)[0] == a for k, (q, a) in enumerate(whether(specs))]
    out = {"caption": np.mean(exact), "things_and_relation": np.mean(no_colour), "colour": np.mean(right),
           "yes_no": np.mean(there)}
    return {k: round(float(v), 3) for k, v in out.items()}


@torch.no_grad()
def drawing_loss(m, words, count=128):
    """Cross-entropy of each scale's codes on unseen scenes."""
    source = data.Source("unseen", words, 0)
    batch = source.writer.batch(source.r, [[(f"Draw {texts.told(s)} on a {s[0]} background.", [], [i])]
                                           for i, s in enumerate(source.set.specs[:count])])
    codes = source.set.codes(batch.draws)
    rows = m.image_gen_projector(m.vargpt_gen.inputs(m.map_rows(codes), 0, data.POSITIONS))
    places = batch.ids == words.place
    h = m.language_model(m.embed(batch.ids).masked_scatter(places[..., None], rows))
    h = h[places].view(len(codes), data.POSITIONS, -1)
    logits = m.vargpt_gen(m.image_gen_projector_out(h), m.vargpt_gen.mask)
    each = F.cross_entropy(logits.transpose(1, 2), codes, reduction="none")
    scale_of = m.vargpt_gen.lvl_1L[0]
    return [round(each[:, scale_of == s].mean().item(), 2) for s in range(len(m.vargpt_gen.patch_nums))]


def numbers(m, words, final, drawings=None):
    """What training prints from time to time."""
    out = looking_score(m, words, 256 if final else 96)
    if drawings:
        out["loss_by_scale"] = drawing_loss(m, words)
        out["drawings"] = drawing_score(m, words, 128 if final else 64, drawings)
    return out


if __name__ == "__main__":
    from . import model

    folder = Path(sys.argv[1])
    m, words = model.load(folder).to(DEVICE), chat.Words(folder / "tokenizer.json")
    print("looking:", looking_score(m, words, 512))
    print("loss by scale:", drawing_loss(m, words))
    for temperature in (1.0, 0.8, 0.6):
        file = Path(sys.argv[2]) if len(sys.argv) > 2 and temperature == 0.8 else None
        print(f"drawing at temperature {temperature}:",
              drawing_score(m, words, 256, file, temperature=temperature))
