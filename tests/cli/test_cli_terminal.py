"""chat and draw in a pseudo-terminal: prompts, pictures, Ctrl-C."""
import ctypes
import os
import pty
import re
import select
import signal
import time

import pytest
from program import clean_environment

GREEDY = ["--temperature", "0", "--max-images", "0"]


class Terminal:
    def __init__(self, vargpt, *args, **env):
        self.out = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # as in a terminal; what runs the tests may ignore it
            os.chdir(vargpt.folder)
            os.execve(vargpt.binary, ["vargpt", *map(str, args)], clean_environment(**{"TERM": "xterm-256color", **env}))

    def read(self):
        try:
            data = os.read(self.fd, 65536)
        except OSError:  # the other side has closed
            data = b""
        self.out += data
        return data

    def expect(self, pattern, seconds=600):
        """Reads until what has not been matched yet matches; returns the match."""
        end = time.monotonic() + seconds
        while not (found := re.search(pattern, self.out, re.S)):
            if not select.select([self.fd], [], [], max(0, end - time.monotonic()))[0] or not self.read():
                raise AssertionError((pattern, self.out[-3000:]))
        self.out = self.out[found.end():]
        return found

    def send(self, text):
        os.write(self.fd, text)

    def end(self):
        while self.read():
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_conversation(vargpt):
    t = Terminal(vargpt, "chat", "-m", vargpt.model, *GREEDY, "--max-tokens", "8")
    t.expect(rb"/help lists commands.*\n> ")
    t.send(b"Hello\n")
    t.expect(rb"Hello\r\n[^>]+\r\n> ")
    t.send(b"/help\n")
    t.expect(rb"/draw \[PROMPT\].*> ")
    t.send(b"/save\n")
    t.expect(rb"vargpt: say which file: /save FILE\r\n> ")
    t.send(b"\x04")
    assert t.end() == 0


def test_replies_cannot_move_the_cursor(vargpt):
    # the tiny model's greedy replies hold control characters (U+0016, U+0006)
    t = Terminal(vargpt, "chat", "-m", vargpt.model, *GREEDY, "--max-tokens", "32", "Hello there, who are you?")
    assert t.end() == 0
    assert not re.search(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", t.out)
    assert "AT\u2416arime\u2416str".encode() in t.out


@pytest.mark.parametrize("env, pattern", [
    ({"TERM": "xterm-kitty"}, rb"\x1b_Ga=T,f=100,q=2,m=1;iVBOR[^\x1b]*\x1b\\\x1b_Gq=2,m=[01];"),
    ({"TERM_PROGRAM": "iTerm.app"}, rb"\x1b\]1337;File=inline=1;size=\d+:iVBOR[^\x07]*\x07"),
    ({"TERM": "foot"}, rb"\x1bP0;1q\"1;1;256;256#0;2;0;0;0.*-\x1b\\"),
    ({}, rb"\x1b\[38;5;\d+m\x1b\[48;5;\d+m\xe2\x96\x80.*\[picture: picture-1.png\]"),
    ({"TERM": "xterm-kitty", "TMUX": "x", "COLORTERM": "truecolor"},
     rb"\x1b\[38;2;[\d;]+m\x1b\[48;2;.*\x1b\[0m\r\n\[picture: picture-1.png\]"),
])
def test_pictures(vargpt, env, pattern):
    t = Terminal(vargpt, "chat", "-m", vargpt.model, *GREEDY, **env)
    t.expect(rb"> ")
    t.send(b"/draw a tree\n")
    t.expect(pattern)
    t.expect(rb"> ")
    t.send(b"/quit\n")
    assert t.end() == 0
    saved = b"picture-1" in pattern
    assert (vargpt.folder / "picture-1.png").exists() == saved


def test_ctrl_c_stops_the_reply_only(vargpt):
    t = Terminal(vargpt, "chat", "-m", vargpt.model, "--max-images", "0", "--temperature", "2")
    t.expect(rb"> ")
    t.send(b"Hello\n")
    t.expect(rb"Hello\r\n.")
    t.send(b"\x03")
    t.expect(rb"> ")
    t.send(b"half a line\x03")
    t.expect(rb"> ")
    t.send(b"/quit\n")
    assert t.end() == 0


def test_ctrl_c_that_another_thread_gets(vargpt):
    """It does not end the read under way, just as one between the prompt and the read does not."""
    t = Terminal(vargpt, "chat", "-m", vargpt.model, *GREEDY)
    t.expect(rb"> ")
    other = next(int(thread) for thread in os.listdir(f"/proc/{t.pid}/task") if int(thread) != t.pid)
    assert ctypes.CDLL(None).tgkill(t.pid, other, signal.SIGINT) == 0
    t.expect(rb"> ", 20)
    t.send(b"/quit\n")
    assert t.end() == 0


def test_ctrl_c_loses_no_output(vargpt):
    """It may come while the terminal takes no more; the write under way goes on when it does."""
    t = Terminal(vargpt, "chat", "-m", vargpt.model, *GREEDY)
    t.expect(rb"> ")
    asked = 400
    t.send(b"/help\n" * asked)
    for _ in range(3):  # the first finds part of the text written
        time.sleep(0.3)
        os.kill(t.pid, signal.SIGINT)
    for _ in range(asked):
        t.expect(rb"Ctrl-C stops a reply\.\r\n")
    t.send(b"/quit\n")
    assert t.end() == 0


@pytest.mark.parametrize("command", ["chat", "draw"])
def test_ctrl_c_while_a_prompt_is_typed_ends(vargpt, command):
    t = Terminal(vargpt, command, "-m", vargpt.model, "-")
    time.sleep(0.5)  # it reads, or still loads
    t.send(b"half a prompt")
    t.expect(b"half a prompt")
    t.send(b"\x03")
    assert t.end() == -signal.SIGINT


def test_draw_shows_progress(vargpt):
    t = Terminal(vargpt, "draw", "-m", vargpt.model, "a tree", "-o", "tree.png", "--seed", "1")
    t.expect(rb"\rdrawing \[#*\.*\] +\d+%")
    t.expect(rb"\r\x1b\[Ktree.png seed 1 ordinal 0\r\n")
    assert t.end() == 0


def test_ctrl_c_stops_drawing(vargpt):
    t = Terminal(vargpt, "draw", "-m", vargpt.model, "a tree", "-n", "64", "-o", "tree.png", "--seed", "1")
    t.expect(rb"drawing \[")
    t.send(b"\x03")
    assert t.end() == 130
    assert not (vargpt.folder / "tree-64.png").exists()
