#!/usr/bin/env python3
"""What nvcc makes of every kernel, without a card: registers, spills, shared memory, and the occupancy that follows.

  tools/check_ptxas.py [--archs "80 90a"] [--write]

Fails when a kernel spills registers, needs local memory that is not listed below, or does not compile. With a disassembler
(nvdisasm, from PyPI's nvidia-cuda-nvdisasm, in PATH or named by NVDISASM) it also counts tensor-core and 128-bit load
instructions, and fails where they should be and are not. --write puts the table into docs/cuda.md."""

import argparse
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ARCHS = "80 89 90a 100 120"
BEGIN, END = "<!-- tools/check_ptxas.py --write: begin -->", "<!-- end -->"

# Of one multiprocessor (CUDA C++ Programming Guide, "Compute Capabilities"): warps, blocks, bytes of shared memory.
LIMITS = {"80": (64, 32, 164), "89": (48, 24, 100), "90a": (64, 32, 228), "100": (64, 32, 228), "120": (48, 24, 100)}
REGISTERS, REGISTER_UNIT, SHARED_RESERVED = 65536, 256, 1024

# Kernels with bytes of local memory for a good reason: sine, cosine and logarithm of large arguments.
LOCAL_ALLOWED = {"write_kernel<rotated>", "noise_kernel"}
WIDE = {"rms_norm_kernel", "layer_norm_kernel", "write_kernel"}  # must have 128-bit loads
MUST_HAVE = {"fast_many": "HMMA", "fast_few": "HMMA", "fast_spans": "HMMA", "fast_single": "HMMA"}


def run(*command):
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def short_name(mangled):
    """fast_many<bf16, picture> out of what the compiler calls it."""
    plain = run("c++filt", mangled).strip()
    plain = re.sub(r"\(.*", "", re.sub(r"^void ", "", plain))
    return re.sub(r"\b(type_|stored_|blocks_|cache_)|_rows\b", "", plain).replace("unsigned short", "16 bits").replace("float", "32 bits")


def compile_kernels(source, arch, nvdisasm, folder):
    """[(kernel, figures)] of one file for one architecture."""
    stem = Path(folder) / f"{source.stem}-{arch}"
    flags = ["-std=c++17", "-O3", "-fmad=false", "-Werror", "all-warnings", f"-I{ROOT}", f"-arch=sm_{arch}"]
    text = run("nvcc", *flags, "-Xptxas", "-v", "-cubin", source, "-o", f"{stem}.cubin")
    run("nvcc", *flags, "-ptx", source, "-o", f"{stem}.ptx")
    threads = {name: int(x) * int(y or 1) for name, x, y in
               re.findall(r"\.entry (\w+)\([^)]*\)\s*\.maxntid (\d+)(?:, (\d+))?", Path(f"{stem}.ptx").read_text())}
    code = sass(f"{stem}.cubin", nvdisasm) if nvdisasm else {}
    kernels = []
    for part in text.split("Compiling entry function '")[1:]:
        name = part.split("'")[0]
        number = lambda pattern: int((re.search(pattern, part) or [0, 0])[1])
        kernels.append((short_name(name), {
            "threads": threads[name], "registers": number(r"Used (\d+) registers"), "shared": number(r"(\d+) bytes smem"),
            "local": number(r"(\d+) bytes stack frame"), "spills": number(r"(\d+) bytes spill stores"), **code.get(name, {})}))
    return kernels


def sass(cubin, nvdisasm):
    """Of each kernel: tensor-core instructions, and 128-bit loads from global memory."""
    code = {}
    for part in run(nvdisasm, "-c", cubin).split(".section\t.text.")[1:]:
        code[part.split(",")[0]] = {"HMMA": len(re.findall(r"\bHMMA\.", part)),
                                    "LDG128": len(re.findall(r"\bLDG\.\S*128", part))}
    return code


def occupancy(k, arch):
    """Warps that a multiprocessor holds of this kernel, and its most."""
    warps, blocks, shared = LIMITS[arch]
    own = k["threads"] // 32
    a_warp = -(-k["registers"] * 32 // REGISTER_UNIT) * REGISTER_UNIT
    fit = min(blocks, warps // own, REGISTERS // a_warp // own, shared * 1024 // (k["shared"] + SHARED_RESERVED))
    return fit * own, warps


def complaints(name, arch, k):
    base = name.split("<")[0]
    if k["spills"]:
        yield f"{name} sm_{arch}: spills {k['spills']} bytes"
    elif k["local"] and name not in LOCAL_ALLOWED:
        yield f"{name} sm_{arch}: {k['local']} bytes of local memory"
    if k.get("HMMA") == 0 and base in MUST_HAVE:
        yield f"{name} sm_{arch}: no tensor-core instructions"
    if k.get("LDG128") == 0 and (base in MUST_HAVE or base in WIDE or re.match(r"\w+_kernel<4>", name)):
        yield f"{name} sm_{arch}: no 128-bit loads"


def table(rows, archs):
    yield "| kernel | threads | shared bytes | " + " | ".join(f"sm_{a}" for a in archs) + " |"
    yield "|---|---|---|" + "---|" * len(archs)
    for name, of in sorted(rows.items()):
        any_arch = next(iter(of.values()))
        cells = []
        for arch in archs:
            k = of[arch]
            have, most = occupancy(k, arch)
            cells.append(f"{k['registers']}, {100 * have // most} %" +
                         (f", {k['HMMA']} mma" if k.get("HMMA") else "") +
                         (f", {k['LDG128']} ld128" if k.get("LDG128") else ""))
        yield f"| `{name}` | {any_arch['threads']} | {any_arch['shared']} | " + " | ".join(cells) + " |"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--archs", default=ARCHS)
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    if not shutil.which("nvcc"):
        print("check_ptxas: skipped, there is no nvcc here")
        return 77
    archs = asked.archs.split()
    nvdisasm = os.environ.get("NVDISASM") or shutil.which("nvdisasm")
    rows, wrong = {}, []
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = [(arch, pool.submit(compile_kernels, source, arch, nvdisasm, folder))
                for source in sorted((ROOT / "cuda/kernels").glob("*.cu")) for arch in archs]
        for arch, job in jobs:
            for name, k in job.result():
                rows.setdefault(name, {})[arch] = k
                wrong += complaints(name, arch, k)
    text = "\n".join(table(rows, archs))
    if asked.write:
        page = ROOT / "docs/cuda.md"
        before, rest = page.read_text().split(BEGIN)
        page.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.split(END, 1)[1]}")
    else:
        print(text)
    print("\n".join(wrong))
    print(f"check_ptxas: {len(rows)} kernels for {len(archs)} architectures, {len(wrong)} complaints" +
          ("" if nvdisasm else " (no nvdisasm: instructions not looked at)"))
    return wrong != []


if __name__ == "__main__":
    sys.exit(main())
