"""Draws every phase's curves into .train-demo/curves.png from its log.jsonl."""

import json
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from . import checkpoint, paths

PHASES = ("vae", "vit") + checkpoint.STAGES


def main(target):
    logs = {p: [json.loads(line) for line in (paths.WORK / p / "log.jsonl").read_text().splitlines()]
            for p in PHASES if (paths.WORK / p / "log.jsonl").exists()}
    figure, axes = plt.subplots(len(logs), 1, figsize=(9, 3 * len(logs)), squeeze=False)
    for axis, (phase, rows) in zip(axes[:, 0], logs.items()):
        steps = [r for r in rows if "evaluation" not in r]
        for name in sorted({k for r in steps for k in r} - {"step", "seconds", "rate"}):
            drawn = [(r["seconds"] / 60, r[name]) for r in steps if name in r]
            axis.plot(*zip(*drawn), label=name)
        for r in rows:
            if "psnr" in r.get("evaluation", {}):
                axis.annotate(f"{r['evaluation']['psnr']} dB", (r["seconds"] / 60, axis.get_ylim()[0]))
        axis.set(title=phase, xlabel="minutes", yscale="log")
        axis.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(target, dpi=80)
    print(target)


if __name__ == "__main__":
    sys.exit(main(paths.WORK / "curves.png"))
