#!/usr/bin/env python3
"""The program that nvcc helped to build, on a machine with a card or without: real_build.py VARGPT.

It starts and serves where there is no driver, and says what is missing when a card is asked for."""

import re
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

MODEL = ["-m", "tests/golden/tiny-c/checkpoint"]
MISSING = r"^vargpt: cuda: there is no (NVIDIA driver here \(libcuda\.so\.1\)|device 9\d*, the last one is \d+)$"


def run(binary, *arguments):
    return subprocess.run([binary, *arguments], capture_output=True, text=True)


def tells(binary):
    return run(binary, "--help").returncode == 0


def draws(binary):
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "picture.png"
        return run(binary, "draw", *MODEL, "-o", picture, "a cat").returncode == 0 and picture.stat().st_size > 0


def serves(binary):
    server = subprocess.Popen([binary, "serve", *MODEL, "--port", "0"], stdout=subprocess.PIPE, text=True)
    try:
        address = re.search(r"http://\S+", server.stdout.readline())
        with urllib.request.urlopen(f"{address[0]}/v1/models", timeout=60) as reply:
            answered = reply.status == 200
    finally:
        server.terminate()
    server.stdout.read()
    return answered and server.wait(60) == 0


def names_what_is_missing(binary):
    return all(done.returncode != 0 and re.search(MISSING, done.stderr, re.M)
               for done in (run(binary, "draw", *MODEL, "--device", device, "a cat") for device in ("cuda:9", "cuda:98,99")))


def main(binary):
    passed = failed = 0
    for check in (tells, draws, serves, names_what_is_missing):
        ok = check(binary)
        passed, failed = passed + bool(ok), failed + (not ok)
        print(check.__name__, "ok" if ok else "FAILED")
    print(f"{passed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
