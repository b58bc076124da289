#!/usr/bin/env python3
"""Text and pictures of several emulated cards are one card's, byte for byte: same_bytes.py VARGPT-EMULATED.

tiny-c has odd sizes and 3 heads in its caches, tiny-b sizes that tensor cores and blocks take; its pictures take minutes."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

GOLDEN = Path("tests/golden")
CARDS = ["cuda:0,1", "cuda:2,0,1", "cuda:all"]
HOW = [["--precision", "exact"], ["--precision", "fast", "--cache-type", "int8", "--weights", "int8",
        "--max-sequences", "1", "--context", "1040"]]  # an odd number of pages, of heads with odd sizes
ENVIRONMENT = {**os.environ, "VARGPT_EMULATED_DEVICES": "4"}


def run(binary, *arguments):
    return subprocess.run([binary, *arguments], env=ENVIRONMENT, check=True, stdout=subprocess.PIPE).stdout


def outputs(binary, device, how, folder):
    """What the models say, one of them about a picture, and the file of a picture that one draws."""
    tiny_b, tiny_c = (["-m", GOLDEN / name / "checkpoint", "--device", device, "--seed", "5", *how]
                      for name in ("tiny-b", "tiny-c"))
    says = ["--max-tokens", "24", "--max-images", "0", "--show", "off"]
    text = run(binary, "chat", *tiny_b, *says, "Hello!")
    seen = run(binary, "chat", *tiny_c, *says, "-i", GOLDEN / "tiny-c/images/small.png", "What is this?")
    picture = folder / "picture.png"
    run(binary, "draw", *tiny_c, "-o", picture, "a cat")
    return {"text": text, "text about a picture": seen, "picture": picture.read_bytes()}


def main():
    passed = failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for how in HOW:
            one = outputs(sys.argv[1], "cuda", how, Path(folder))
            for cards in CARDS:
                for what, ours in outputs(sys.argv[1], cards, how, Path(folder)).items():
                    same = ours == one[what] and len(ours) > 1
                    passed, failed = passed + same, failed + (not same)
                    print(what, cards, *how, f"{len(ours)} bytes:", "the same" if same else "NOT one card's")
    print(f"{passed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
