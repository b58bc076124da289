#!/usr/bin/env python3
"""Fails when a source includes what its layer may not know (docs/architecture.md, "Who may include whom")."""

import re
import sys

from source_files import ROOT, in_program, tracked

CLI = ["cli/", "server/server.h", "engine/engine.h", "engine/request.h", "engine/prompt.h", "engine/backend.h",
       "engine/text/", "engine/picture/", "engine/model/model_config.h", "engine/model/model_text.h",
       "engine/model/checkpoint.h", "config/", "base/"]

# A file belongs to the longest prefix that fits. What it may include of ours: prefixes of paths.
OURS = {
    "base/": ["base/"],
    "config/": ["config/", "base/"],
    "engine/text/": ["engine/text/", "base/"],
    "engine/picture/": ["engine/picture/", "base/"],
    "engine/": ["engine/", "base/"],
    "cpu/": ["cpu/", "engine/backend.h", "engine/tensor.h", "engine/block.h", "engine/row_batch.h", "base/"],
    "cuda/": ["cuda/", "engine/backend.h", "engine/tensor.h", "engine/block.h", "engine/row_batch.h", "base/"],
    "server/": ["server/", "engine/engine.h", "engine/request.h", "engine/prompt.h", "engine/text/", "engine/picture/",
                "engine/model/model_config.h", "config/", "base/"],
    "cli/": CLI,
    "cli/main.c": [*CLI, "cpu/cpu_backend.h", "cuda/cuda_backend.h"],  # opens a backend
    "cli/bench": [*CLI, "cpu/cpu_backend.h"],  # measures the processor's limits
}

# Headers of other people: the files that may know them.
THEIRS = {
    "jansson.h": ["config/", "engine/text/", "engine/model/", "server/", "cli/"],
    "pcre2.h": ["engine/text/"],
    "utf8proc.h": ["engine/text/"],
    "stb_image.h": ["engine/picture/stb.c"],
    "stb_image_write.h": ["engine/picture/stb.c"],
    "webp/": ["engine/picture/webp.c"],
    "microhttpd.h": ["server/"],
    "gnutls/": ["server/tls.c"],
    "curl/": ["server/", "cli/health.c"],
    "b64/": ["server/"],
    "zlib.h": ["server/gzip.c"],
    "semaphore.h": ["server/"],
    "pthread.h": ["base/", "cpu/thread_pool.c", "engine/engine", "server/", "cli/"],
    "immintrin.h": ["cpu/"],
    "cuda_": ["cuda/"],
    "cublasLt.h": ["cuda/"],
    "cudnn_graph.h": ["cuda/"],
    "ucontext.h": ["cuda/emulator/"],
    "sanitizer/": ["cuda/emulator/"],
    "dlfcn.h": ["cuda/"],
    "cpuid.h": ["cpu/"],
}

# The C library's and POSIX's; one that is missing here is added on purpose, not by accident.
SYSTEM = set("""assert ctype errno fcntl float getopt inttypes limits locale malloc math netdb poll sched semaphore signal stdalign
    stdarg stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string strings time unistd arpa/inet dirent
    netinet/in netinet/tcp sys/eventfd sys/ioctl sys/mman sys/random sys/resource sys/socket sys/stat sys/syscall sys/sysinfo
    sys/time sys/types sys/un sys/wait termios""".split())

# The C++ library's, for the emulator alone.
CXX = set("atomic deque map memory mutex new string vector".split())

INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]')


def begins(path, prefixes):
    return any(path.startswith(p) for p in prefixes)


def complaint(path, quote, header):
    """What is wrong with that include; None when nothing is."""
    if quote == '"':
        layer = max((p for p in OURS if path.startswith(p)), key=len)
        if begins(header, OURS[layer]):
            return None if (ROOT / header).is_file() else "is not in the tree (paths are written from its root)"
        return f"is not for {layer}"
    if header.endswith(".h") and header[:-2] in SYSTEM:
        return None
    if header in CXX:
        return None if path.startswith("cuda/emulator/") else "is C++, which is for cuda/emulator/"
    homes = next((homes for name, homes in THEIRS.items() if header.startswith(name)), None)
    if homes is None:
        return "is a header that no rule of tools/check_layers.py knows"
    return None if begins(path, homes) else f"belongs in {', '.join(homes)} only"


def main():
    wrong = count = 0
    for path in filter(in_program, tracked(".c", ".h", ".cu", ".cuh", ".cpp")):
        for number, line in enumerate((ROOT / path).read_text().splitlines(), 1):
            found = INCLUDE.match(line)
            if not found:
                continue
            count += 1
            problem = complaint(path.as_posix(), *found.groups())
            if problem:
                wrong += 1
                print(f"{path}:{number}: {found.group(2)} {problem}")
    print(f"layers: {count} includes, {wrong} wrong")
    return wrong > 0


if __name__ == "__main__":
    sys.exit(main())
