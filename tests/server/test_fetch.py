"""Pictures in requests given as http URLs: what is fetched, and what never is. The web server is one of this test's own on
the loopback interface, which the stand-in is told to allow; the program itself cannot be."""
import http.server
import io
import socket
import threading
import time

import pytest
from PIL import Image
from serving import SLOW
from test_chat import error_of


def png():
    out = io.BytesIO()
    Image.new("RGB", (20, 10), (200, 10, 10)).save(out, "PNG")
    return out.getvalue()


class Handler(http.server.BaseHTTPRequestHandler):
    seen = []

    def do_GET(self):
        Handler.seen.append((self.path, dict(self.headers)))
        name, _, rest = self.path[1:].partition("/")
        if name == "to":  # redirects to the rest
            self.send_response(302)
            self.send_header("Location", rest.replace("PORT", str(self.server.server_port)))
            self.end_headers()
            return
        if name == "slow":
            time.sleep(4)
        self.send_response(404 if name == "missing" else 200)
        self.end_headers()
        try:
            if name == "endless":
                while True:
                    self.wfile.write(b"x" * 65536)
            if name == "drip":
                for _ in range(100):
                    self.wfile.write(b"x")
                    time.sleep(0.1)
            self.wfile.write(b"<html>" if name == "page" else png())
        except OSError:
            pass

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def web():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()


@pytest.fixture(scope="module")
def fetching(web):
    from serving import start_fake
    server = start_fake(fetch_hosts=f"127.0.0.1:{web},localhost:{web},*.localhost:{web}", fetch_from_private=1, fetch_seconds=2 if SLOW == 1 else 3)
    yield server
    server.stop()


def look(server, url):
    return server.chat([{"type": "text", "text": "seen"}, {"type": "image_url", "image_url": {"url": url}}])


@pytest.mark.parametrize("path", ["ok", "to/ok", "to//ok", "to/http://localhost:PORT/ok", "to/to/to/ok", "OK?x=1#y"])
def test_fetched(fetching, web, path):
    path = path.replace("to/ok", "to//ok").replace("to/to/to//ok", "to//to//to//ok")
    r = look(fetching, f"http://127.0.0.1:{web}/{path}")
    assert r.status_code == 200, r.text
    assert r.json()["usage"]["prompt_tokens_details"]["image_tokens"] == 16
    _, headers = Handler.seen[-1]
    assert not {h.lower() for h in headers} & {"authorization", "cookie", "referer"}


def test_names_are_matched(fetching, web):
    assert look(fetching, f"HTTP://LOCALHOST:{web}/ok").status_code == 200


@pytest.mark.parametrize("path, words", [
    ("missing", "404"), ("page", "cannot be used"), ("endless", "bytes"), ("slow", "within"), ("drip", "within"),
    ("to//to//to//to//ok", "redirected"), ("to/http://example.com/", "example.com"), ("to/file:///etc/passwd", ""),
    ("to/ftp://127.0.0.1:PORT/ok", "http"), ("to/gopher://127.0.0.1:PORT/ok", "http"), ("to/http://u:p@127.0.0.1:PORT/ok", ""),
    ("to/http://127.0.0.1:1/ok", "127.0.0.1"),
])
def test_not_fetched(fetching, web, path, words):
    error = error_of(look(fetching, f"http://127.0.0.1:{web}/{path}"))
    assert error["code"] == "invalid_image" and error["param"] == "messages[0].content[1].image_url.url" and words in error["message"]
    assert len(error["message"]) < 400 and "curl" not in error["message"]


@pytest.mark.parametrize("url", [
    "http://user@127.0.0.1:PORT/ok", "http://user:secret@127.0.0.1:PORT/ok", "http://127.0.0.1@example.com/", "http://127.0.0.1:PORT@example.com/",
    "file:///etc/passwd", "ftp://127.0.0.1:PORT/ok", "gopher://127.0.0.1:PORT/", "http:///ok", "http://", "http://127.0.0.1:PORT\\@example.com/",
    "http://127.0.0.1:99999/", "http://example.com/", "http://localhost.example.com:PORT/", "http://xlocalhost:PORT/", "http://127.0.0.1/",
    "//127.0.0.1:PORT/ok", "/etc/passwd", "http://127.0.0.1:PORT/a b", "http://127.0.0.1:PORT/\nHost: x", "http://[::1]:PORT/ok", "http://" + "a" * 5000,
])
def test_refused_urls(fetching, web, url):
    before = len(Handler.seen)
    error = error_of(look(fetching, url.replace("PORT", str(web))))
    assert error["code"] == "invalid_image" and "secret" not in error["message"] and len(Handler.seen) == before


# every way to say an address here or in a private network, with all hosts allowed but addresses checked
FORMS = ["127.0.0.1", "127.1", "127.0.1", "127.255.255.254", "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "017700000001", "0", "0.0.0.0",
         "localhost", "localhost.", "LOCALHOST", "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "192.168.255.255",
         "169.254.169.254", "169.254.0.1", "100.64.0.1", "100.127.255.255", "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.19.255.255", "198.51.100.1",
         "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "192.88.99.1", "0xA9FEA9FE", "2852039166",
         "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:10.0.0.1]", "[fc00::1]", "[fdff::1]", "[fe80::1]", "[febf::1]",
         "[fec0::1]", "[ff02::1]", "[2001:db8::1]", "[2002:7f00:1::1]", "[2001::1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::1]", "[100::1]", "[::127.0.0.1]",
         "[3fff::1]", "[5f00::1]", "[4000::1]"]


@pytest.fixture(scope="module")
def checking(web):
    from serving import start_fake
    server = start_fake(fetch_hosts=f"*:{web},*", fetch_seconds=2 if SLOW == 1 else 3)
    yield server
    server.stop()


@pytest.mark.parametrize("host", FORMS)
def test_no_address_but_public_ones(checking, web, host):
    before = len(Handler.seen)
    for port in (web, 80):
        error = error_of(look(checking, f"http://{host}:{port}/ok"))
        assert error["code"] == "invalid_image"
        assert "open to everyone" in error["message"] or host.startswith(("[fe80", "[febf")) or "cannot be fetched" in error["message"]
    assert len(Handler.seen) == before


def test_off_by_default(fake, web):
    before = len(Handler.seen)
    assert "fetch_hosts" in error_of(look(fake, f"http://127.0.0.1:{web}/ok"))["message"] and len(Handler.seen) == before


def test_no_proxy_of_the_environment(web, monkeypatch, start):
    """A proxy would look names up by itself."""
    with socket.socket() as proxy:
        proxy.bind(("127.0.0.1", 0))
        proxy.listen()
        monkeypatch.setenv("no_proxy", "127.0.0.1")  # for this test's own requests
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.getsockname()[1]}")
        server = start(fetch_hosts="*", fetch_seconds=2 if SLOW == 1 else 3)
        error_of(look(server, "http://no-such-name.invalid/x.png"))
        proxy.settimeout(0.2)
        with pytest.raises(TimeoutError):
            proxy.accept()
