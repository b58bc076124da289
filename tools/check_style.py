#!/usr/bin/env python3
"""Fails on functions that we do not call, on files that have outgrown one job, and on header guards that do not tell
where their header lives."""

import re
import sys

from source_files import ROOT, in_program, tracked, without_comments

MAX_LINES = 1000

# Everywhere: no bound, no error, or memory that cannot fail politely.
BANNED = re.compile(r"(?<![\w.>])(sprintf|vsprintf|strcpy|strncpy|strcat|strncat|gets|atoi|atol|atof|strtok|alloca)\s*\(")
# In the program: base/memory.h instead.
BARE = re.compile(r"(?<![\w.>])(malloc|calloc|realloc|reallocarray|strdup|strndup|asprintf|aligned_alloc|posix_memalign)\s*\(")
BARE_HOMES = {"base/memory.c", "engine/picture/stb.c"}  # the second hands stb its allocator


def guard_of(path):
    return "VARGPT_" + re.sub(r"[^A-Z0-9]", "_", path.as_posix().upper())


def lines_with(pattern, text):
    for number, line in enumerate(text.split("\n"), 1):
        for found in pattern.finditer(line):
            yield number, found.group(1)


def problems(path):
    text = (ROOT / path).read_text()
    count = text.count("\n")
    if count > MAX_LINES:
        yield count, f"{count} lines, {MAX_LINES} are the most"
    if path.suffix not in (".c", ".h", ".cu", ".cuh", ".cpp"):
        return
    code = without_comments(text)
    for number, name in lines_with(BANNED, code):
        yield number, f"{name} is not used here"
    if not in_program(path):
        return
    if path.as_posix() not in BARE_HOMES:
        for number, name in lines_with(BARE, code):
            yield number, f"{name}: base/memory.h has it checked"
    if path.suffix in (".h", ".cuh") and not path.as_posix().startswith("cpu/kernels_"):  # those are included once a level
        guard = guard_of(path)
        if f"#ifndef {guard}\n#define {guard}\n" not in text:
            yield 1, f"the guard should be {guard}"


def main():
    wrong = 0
    files = tracked(".c", ".h", ".cu", ".cuh", ".cpp", ".py", ".js", ".css", ".html")
    for path in files:
        for number, problem in problems(path):
            wrong += 1
            print(f"{path}:{number}: {problem}")
    print(f"style: {len(files)} files, {wrong} complaints")
    return wrong > 0


if __name__ == "__main__":
    sys.exit(main())
