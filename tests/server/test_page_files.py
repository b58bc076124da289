"""The page's files over HTTP: types, tags, policies."""
import re

import pytest
from serving import ROOT

POLICY = ("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
          "base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
FILES = sorted(p for p in (ROOT / "web").iterdir() if p.suffix in TYPES)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_file(fake, path):
    plain = {"accept-encoding": "identity"}
    r = fake.http.get("/web/" + path.name, headers=plain)
    assert r.status_code == 200 and r.content == path.read_bytes()
    assert r.headers["content-type"] == TYPES[path.suffix]
    assert r.headers["cache-control"] == "no-cache"
    assert r.headers["content-security-policy"] == POLICY
    assert r.headers["x-content-type-options"] == "nosniff" and r.headers["referrer-policy"] == "no-referrer"
    tag = r.headers["etag"]
    assert re.fullmatch(r'"[0-9a-f]{24}"', tag)
    for known in (tag, "*", f'"other", W/{tag}'):
        r = fake.http.get("/web/" + path.name, headers={"If-None-Match": known})
        assert r.status_code == 304 and r.content == b"" and r.headers["etag"] == tag
    assert fake.http.get("/web/" + path.name, headers={"If-None-Match": '"other"'}).status_code == 200
    r = fake.http.get("/web/" + path.name, headers={"accept-encoding": "gzip", "If-None-Match": '"other"'})
    assert r.content == path.read_bytes()
    if r.headers.get("content-encoding"):  # the same in other bytes: a weak tag, which is known again
        assert r.headers["etag"] == f"W/{tag}" and int(r.headers["content-length"]) < path.stat().st_size
        assert fake.http.get("/web/" + path.name, headers={"If-None-Match": r.headers["etag"]}).status_code == 304
    else:
        assert path.stat().st_size < 1100 and r.headers["etag"] == tag
    r = fake.http.head("/web/" + path.name, headers=plain)
    assert r.status_code == 200 and r.content == b"" and int(r.headers["content-length"]) == path.stat().st_size


def test_page_is_at_the_root(fake):
    r = fake.http.get("/")
    assert r.content == (ROOT / "web" / "index.html").read_bytes() and r.headers["content-type"] == TYPES[".html"]
    assert fake.http.head("/").status_code == 200
    assert fake.http.post("/", json={}).status_code == 405


@pytest.mark.parametrize("path", ["/web", "/web/", "/web/none.js", "/web/../server/page.c", "/web/%2e%2e/x", "/web/embed.cmake"])
def test_no_other_files(fake, path):
    assert fake.http.get(path).status_code == 404


def test_page_answers_while_the_model_loads(start):
    server = start(loading=1)
    assert server.http.get("/").status_code == 200
    assert server.http.get("/web/app.js").status_code == 200
    assert server.http.get("/v1/models").status_code == 503


def test_page_is_small_and_keeps_to_itself():
    text = "".join(p.read_text() for p in FILES)
    assert len(text.encode()) < 65000
    assert set(re.findall(r"https?://[^\s\"']*", text)) <= {"http://www.w3.org/2000/svg"}
    assert "innerHTML" not in text and "eval(" not in text and " style=" not in text and not re.search(r"<script>|<style", text)
