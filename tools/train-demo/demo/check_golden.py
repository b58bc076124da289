"""Compares these modules with golden vectors: python -m demo.check_golden FOLDER (one of the golden/tiny-*)."""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

from . import chat
from . import model as models
from .train_vae import to_tensor


def normals(seed, positions, width, ordinal=0):
    """The guidance noise of a picture (Philox4x32-10, purpose 1): (positions, width) float32."""
    def rounds(counter, key):
        c, k = list(counter), list(key)
        for _ in range(10):
            p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
            c = [(p1 >> 32) ^ c[1] ^ k[0], p1 & 0xFFFFFFFF, (p0 >> 32) ^ c[3] ^ k[1], p0 & 0xFFFFFFFF]
            k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
        return c

    out = np.empty((positions, width), np.float32)
    for j in range(positions):
        for i in range(width // 4):
            u = [(x + 0.5) / 2**32 for x in rounds((i, j, 1, ordinal), (seed & 0xFFFFFFFF, seed >> 32))]
            for pair in (0, 2):
                r, a = np.sqrt(-2 * np.log(u[pair])), 2 * np.pi * u[pair + 1]
                out[j, 4 * i + pair], out[j, 4 * i + pair + 1] = r * np.cos(a), r * np.sin(a)
    return torch.from_numpy(out)


def main(folder):
    expected = load_file(folder / "expected.safetensors")
    cases = json.loads((folder / "cases.json").read_text())
    m = models.load(folder / "checkpoint")
    words = chat.Words(folder / "checkpoint" / "tokenizer.json")
    patches = m.vision_tower.vision_model.embeddings.position_embedding.num_embeddings - 1
    worst = 0.0

    def compare(name, got, tolerance):
        nonlocal worst
        if name not in expected:
            return
        want = expected[name].float()
        error = (got.float().reshape(want.shape) - want).abs().max().item()
        worst = max(worst, error / tolerance)
        print(f"{'ok ' if error <= tolerance else 'BAD'} {name}: {error:.2e} of {tolerance:.0e}")

    with torch.no_grad():
        compare("adaln.cond", m.vargpt_gen.cond, 1e-5)
        compare("adaln.block1", m.vargpt_gen.blocks[1].ada_lin(m.vargpt_gen.cond), 1e-5)
        compare("adaln.head", m.vargpt_gen.head_nm.ada_lin(m.vargpt_gen.cond), 1e-5)
        for case in cases["vision"]:
            file = Path(case["image"]).name
            pixels = expected[f"preprocess.{file}"][None]
            compare(f"vision.{file}.features", m.vision_tower.vision_model(pixels)[:, 1:], 1e-4)
            compare(f"vision.{file}.projected", m.look(pixels), 1e-4)

        def prompt(ids, images):
            rows = m.embed(ids[None])
            if images:
                found = torch.cat([m.look(expected[f"preprocess.{Path(i).name}"][None])[0] for i in images])
                rows[0, ids == m.config["image_token_index"]] = found
            return rows

        for case in cases["llm"]:
            name = case["name"]
            hidden = m.language_model(prompt(expected[f"llm.{name}.ids"].long(), case.get("images")))[0]
            rows = expected[f"llm.{name}.rows"].long()
            compare(f"llm.{name}.hidden_rows", hidden[rows], 2e-4)
            compare(f"llm.{name}.logits_rows", m.language_model.lm_head(hidden[rows]), 2e-4)
        for case in cases["generate"]:
            if case["mode"] != "argmax":
                continue
            name, scales = case["name"], len(m.vargpt_gen.patch_nums)
            turns = [(t["role"], " ".join(c["text"] for c in t["content"] if c["type"] == "text"),
                      sum(c["type"] == "image" for c in t["content"])) for t in case["messages"]]
            ids = torch.tensor(words.ids(chat.prompt(turns), patches) + [words.draw])
            trace = []
            total = m.vargpt_gen.pos_1LC.shape[1]
            noise = normals(case.get("seed", 0), total, m.text.hidden_size, case.get("image", 0))
            tokens, f = m.draw(prompt(ids, case.get("images")), cfg=case["cfg"], top_k=0, noise=noise, trace=trace)
            same = int((tokens[0] == expected[f"generate.{name}.tokens"]).sum())
            print(f"{'ok ' if same == total else 'BAD'} generate.{name}.tokens: {same} of {total} equal")
            worst = max(worst, 0.0 if same == total else 9.0)
            for s in range(scales):
                compare(f"generate.{name}.hidden.{s}", trace[s]["hidden"][0, :8], 2e-4)
                compare(f"generate.{name}.cond_logits.{s}", trace[s]["cond"][0, :4], 1e-3)
                compare(f"generate.{name}.uncond_logits.{s}", trace[s]["uncond"][0, :4], 1e-3)
            compare(f"generate.{name}.f_hat.{scales - 1}", f[0], 1e-4)
            compare(f"generate.{name}.image_f", m.see(f)[0, :, ::4, ::4], 1e-3)
        for case in cases["encode"]:
            name = case["tensors"]
            picture = np.array(Image.open(folder / case["image"]).convert("RGB"))[None]
            features = m.vae_local.features(to_tensor(picture))
            compare(f"{name}.f", features[0], 1e-3)
            ids = torch.cat(m.vae_local.quantize.encode(features)[1], 1)[0]
            same = int((ids == expected[f"{name}.tokens"]).sum())
            print(f"{'ok ' if same == len(ids) else 'BAD'} {name}.tokens: {same} of {len(ids)} equal")
            worst = max(worst, 0.0 if same == len(ids) else 9.0)
    print("agrees" if worst <= 1 else "DIFFERS")
    return worst <= 1


if __name__ == "__main__":
    sys.exit(0 if main(Path(sys.argv[1])) else 1)
