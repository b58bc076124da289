"""The real program, run as a person or a script would: VARGPT_BINARY names it (build/vargpt without)."""
import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("VARGPT_BINARY", ROOT / "build" / "vargpt")).resolve()
GOLDEN = ROOT / "tests" / "golden" / "tiny-a"


def clean_environment(**more):
    keep = {k: v for k, v in os.environ.items() if not k.startswith("VARGPT_")}
    for name in ("TMUX", "COLORTERM", "TERM_PROGRAM", "LC_TERMINAL", "KITTY_WINDOW_ID"):
        keep.pop(name, None)
    return {**keep, **more}


class Vargpt:
    """Runs the program in a folder of its own."""

    def __init__(self, folder):
        self.folder = folder
        self.binary = str(BINARY)
        self.golden = GOLDEN
        self.model = str(GOLDEN / "checkpoint")

    def __call__(self, *args, text=None, code=0, env=None):
        done = subprocess.run([self.binary, *map(str, args)], cwd=self.folder, env=clean_environment(**(env or {})),
                              input=b"" if text is None else text, capture_output=True, timeout=1200)
        assert done.returncode == code, (done.returncode, done.stdout[-2000:], done.stderr[-4000:])
        return done

    def start(self, *args):
        return subprocess.Popen([self.binary, *map(str, args)], cwd=self.folder, env=clean_environment(),
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
