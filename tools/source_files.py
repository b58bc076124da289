"""The sources that the checks of this folder read, and how."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = ("base", "config", "engine", "cpu", "cuda", "server", "cli")  # folders of the program itself

_COMMENT_OR_TEXT = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def tracked(*endings):
    """Files of the tree by ending, as paths from its root; also new ones that git does not ignore."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    )
    if listed.returncode == 0:
        names = listed.stdout.split("\0")
    else:  # an unpacked archive
        names = [str(p.relative_to(ROOT)) for top in (*PROGRAM, "tests", "tools") for p in (ROOT / top).rglob("*")]
    return sorted(Path(n) for n in set(names) if n.endswith(endings) and (ROOT / n).is_file())


def in_program(path):
    return path.parts[0] in PROGRAM


def without_comments(text):
    """Comments and string literals blanked, line numbers kept."""
    return _COMMENT_OR_TEXT.sub(lambda m: "\n" * m.group().count("\n") or " ", text)
