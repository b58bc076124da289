"""Phase 2: every scene to be drawn as the VQVAE's codes, and some as it gives them back."""

import multiprocessing as mp
import os
import sys
import time

import numpy as np
import torch

from . import hogwild, parts, paths, scenes
from .train_vae import decode, to_tensor
from .vae import VAE

REDRAWN = 8000      # of the training scenes, for the eye to learn what drawings look like
_vae = None


def _encode(job):
    global _vae
    torch.set_num_threads(1)
    if _vae is None:
        _vae = parts.load("vae", VAE()).eval()
    name, first, last, redrawn = job
    with torch.no_grad():
        with hogwild.bf16():
            features = _vae.features(to_tensor(scenes.load(f"{name}-drawn")[0][first:last]))
        tokens = torch.cat(_vae.quantize.encode(features.float())[1], 1)
        pictures = None
        if first < redrawn:
            with hogwild.bf16():
                y = decode(_vae, tokens[:max(0, redrawn - first)])
            pictures = ((y.float().clamp(-1, 1) + 1) * 127.5).permute(0, 2, 3, 1).numpy().astype(np.uint8)
    return tokens.numpy().astype(np.int16), pictures


def build(name, redrawn):
    target = paths.DATA / f"{name}-tokens.npy"
    if target.exists():
        return
    count = len(scenes.load_specs(name))
    jobs = [(name, i, min(count, i + 100), redrawn) for i in range(0, count, 100)]
    start, found = time.time(), []
    with mp.Pool(2) as pool:
        (paths.WORK / "pids").write_text(f"{os.getpid()}\n" + "".join(f"{p.pid}\n" for p in pool._pool))
        for part in pool.imap(_encode, jobs):
            found.append(part)
            if len(found) % 20 == 0 or len(found) == len(jobs):
                print(f"{name}: {100 * len(found)}/{count} encoded, {time.time() - start:.0f} s", flush=True)

    def save(path, array):
        with open(path, "wb") as f:
            np.save(f, array)

    if redrawn:
        hogwild.write_atomic(paths.DATA / f"{name}-redrawn.npy",
                             lambda p: save(p, np.concatenate([x for _, x in found if x is not None])))
    hogwild.write_atomic(target, lambda p: save(p, np.concatenate([t for t, _ in found])))


if __name__ == "__main__":
    build("unseen", 1000)
    build("train", REDRAWN)
    sys.exit(0)
