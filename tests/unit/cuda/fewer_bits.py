#!/usr/bin/env python3
"""What --precision fast costs the trained demo model on the emulated card: fewer_bits.py VARGPT-EMULATED.

Every distribution of `vargpt compare`'s six prompts, against the processor's in float32: one of text alone, one about a
picture, and four drawings. The bounds leave at least five times what was measured (docs/cuda.md)."""

import json
import subprocess
import sys

# Mean and largest divergence of a line, in nats; of all lines of a kind, how often the likeliest is the same, in percent, and rows.
BOUNDS = {"text": (1e-4, 5e-3, 97, 100), "looking": (1e-4, 5e-3, 97, 70), "drawing": (5e-5, 5e-4, 99, 4 * 130)}


def judge(figures):
    """Of each bound: what it is about, and whether it holds."""
    for f in figures:
        mean, largest, *_ = BOUNDS[f["name"].split(",")[0]]
        yield (f"{f['name']}: KL {f['mean_divergence']:.2e} (at most {mean:.0e}), largest {f['largest_divergence']:.2e} ({largest:.0e})",
               0 < f["mean_divergence"] <= mean and f["largest_divergence"] <= largest)  # 0: nothing was rounded
    for kind, (*_, least, needed) in BOUNDS.items():
        lines = [f for f in figures if f["name"].split(",")[0] == kind]
        rows = sum(f["rows"] for f in lines)
        same = sum(f["top1_percent"] * f["rows"] for f in lines) / max(rows, 1)
        yield f"{kind}: {same:.2f} % of {rows} rows the same (at least {least} % of {needed})", rows >= needed and same >= least


def main(binary):
    command = [binary, "compare", "--json", "--device", "cuda", "--precision", "fast"]
    results = list(judge(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)))
    for what, ok in results:
        print(what, "" if ok else "FAILED")
    passed = sum(ok for _, ok in results)
    print(f"{passed} passed, {len(results) - passed} failed")
    return passed < len(results)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
