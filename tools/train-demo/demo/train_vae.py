"""Phase 1: the VQVAE learns to draw scenes from codes."""

import sys

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from . import hogwild, parts, scenes
from .hogwild import DEVICE
from .vae import VAE

BATCH = 4
RATE = 5e-4
PLAIN_STEPS = 600         # steps of each worker without quantisation
REFILL_EVERY = 100        # steps between refills of codes that nothing uses
REFILL_UNTIL = 0.7        # share of the time after which codes are left alone


def to_tensor(pictures):
    """(N, H, W, 3) u8 to (N, 3, H, W) in −1…1."""
    return torch.from_numpy(np.array(pictures)).to(DEVICE).permute(0, 3, 1, 2).float() / 127.5 - 1


def gradients(x):
    return x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]


def psnr(a, b):
    """Mean over pictures of the peak signal-to-noise ratio, values in −1…1."""
    return (10 * torch.log10(4 / (a - b).square().flatten(1).mean(1))).mean().item()


class Vae(hogwild.Phase):
    name = "vae"
    minutes = 85.0

    def modules(self):
        return {"vae": VAE().initialise()}

    def start(self, rank):
        self.pictures = scenes.load("train")[0]
        self.rng = np.random.default_rng(self.seed)
        self.used = torch.zeros(self.m["vae"].quantize.embedding.num_embeddings)
        self.rows = None

    def optimiser(self):
        return torch.optim.AdamW(self.m["vae"].parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=1e-4, fused=True)

    def batch(self, n):
        return to_tensor(self.pictures[np.sort(self.rng.integers(0, len(self.pictures), n))])

    def fill_codebook(self):
        """Codes drawn from what the encoder gives, scale by scale."""
        vae = self.m["vae"]
        with torch.no_grad(), hogwild.bf16():
            rest, rows = vae.features(self.batch(64)).float(), []
            for s in range(len(vae.quantize.patch_nums)):
                q = vae.quantize.shrink(rest, s)
                rows.append(q.permute(0, 2, 3, 1).reshape(-1, q.shape[1]))
                rest = rest - 0.5 * F.interpolate(q, size=rest.shape[-2:], mode="bicubic")
        rows = torch.cat(rows)
        code = vae.quantize.embedding.weight
        code.data.copy_(rows[torch.randperm(len(rows))[:len(code)]])

    def loss(self, progress, step):
        vae = self.m["vae"]
        x = self.batch(BATCH)
        with hogwild.bf16():
            f = vae.features(x)
        f = f.float()
        codes = torch.zeros(())
        if step >= PLAIN_STEPS:
            if step == PLAIN_STEPS and self.rank == 0:
                self.fill_codebook()
            total, ids, self.rows, codes = vae.quantize.encode(f)
            f = f + (total - f).detach()
            if self.rank == 0:
                self.used += torch.bincount(torch.cat([i.flatten() for i in ids]), minlength=len(self.used))
        with hogwild.bf16():
            y = vae.picture(f)
        y = y.float()
        mse = F.mse_loss(y, x)
        edges = sum(F.l1_loss(a, b) for a, b in zip(gradients(y), gradients(x)))
        return F.l1_loss(y, x) + 2 * mse + 0.5 * edges + codes, {"mse": mse.item(), "codes": codes.item()}

    def after_step(self, progress, step):
        if self.rank or self.rows is None or step % REFILL_EVERY:
            return
        dead = (self.used < 2).nonzero().flatten()
        if progress < REFILL_UNTIL and len(dead):
            rows = self.rows.detach()
            self.m["vae"].quantize.embedding.weight.data[dead] = rows[torch.randint(0, len(rows), (len(dead),))]
        self.used.zero_()

    def evaluate(self, averaged, final):
        vae, count = averaged["vae"], 512 if final else 128
        x = to_tensor(scenes.load("unseen")[0][:count])
        ratio, out, ids = [], [], []
        for part in x.split(32):
            t = vae.tokens(part)
            y = decode(vae, t).clamp(-1, 1)
            ratio.append(psnr(part, y) * len(part))
            out.append(y)
            ids.append(t)
        y = torch.cat(out)[:48]
        pairs = torch.stack([x[:48], y], 1).flatten(0, 1)
        pictures = ((pairs + 1) * 127.5).permute(0, 2, 3, 1).numpy().astype(np.uint8)
        scenes.sheet(pictures, 12).resize((1536, 1024), Image.NEAREST).save(self.folder / "unseen.png")
        codes = len(torch.cat(ids).unique())
        return {"psnr": round(sum(ratio) / count, 2), "codes_used": codes}


def decode(vae, tokens):
    """Token ids (B, sum of p²) to pictures."""
    f, at = 0.0, 0
    for s, p in enumerate(vae.quantize.patch_nums):
        f = f + vae.quantize.contribution(tokens[:, at:at + p * p], s)
        at += p * p
    return vae.picture(f)


if __name__ == "__main__":
    phase = Vae()
    if not hogwild.train(phase):
        sys.exit(1)
    parts.save("vae", hogwild.result(phase)["vae"])
