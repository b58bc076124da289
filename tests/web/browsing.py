"""Headless Chromium on pages of our servers, watched: anything on the console, an exception, a breach of the page's Content-Security-Policy or a
request to another host is a complaint."""
import re
import shutil
import time

CHROMIUM = "chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]
PATIENCE = 30  # seconds; these machines are shared


class Visit:
    """A page of one server."""

    def __init__(self, context, server):
        self.context = context
        self.server = server
        self.page = context.new_page()
        self.page.set_default_timeout(PATIENCE * 1000)
        self.complaints = []
        self.expected = []  # patterns of complaints that the test provokes
        self.sent = []  # the JSON of each chat or drawing asked for
        self.page.on("console", lambda m: self.complaints.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda e: self.complaints.append(f"exception: {e}"))
        self.page.on("request", self.on_request)

    def on_request(self, request):
        if not request.url.startswith((self.server.url + "/", "data:", "blob:")):
            self.complaints.append(f"another host: {request.url}")
        if request.method == "POST":
            self.sent.append(request.post_data_json)

    def open(self, path="/", ready=True):
        self.page.goto(self.server.url + path)
        if ready:
            self.page.wait_for_selector("#chat:visible #welcome:visible, #draw:visible")

    def __getitem__(self, selector):
        return self.page.locator(selector)

    def wait(self, script, argument=None):
        """Until a function of the page gives something true. (Playwright's own way needs eval, which the policy forbids.)"""
        end = time.time() + PATIENCE
        while not (value := self.page.evaluate(script, argument)):
            assert time.time() < end, f"not within {PATIENCE} s: {script}"
            time.sleep(0.02)
        return value

    def ask(self, text, settled=True):
        self["#message"].fill(text)
        self["#message"].press("Enter")
        if settled:
            self.wait_settled()

    def wait_settled(self):
        self["#stop"].wait_for(state="hidden")

    def settle(self, **settings):
        """Fills in the dialog of settings."""
        self["#open-settings"].click()
        for name, value in settings.items():
            self[f"#{name}"].fill(str(value))
        self["#settings-form .main"].click()

    def reply(self):
        return self[".turn"].last.locator(".reply")

    def unexpected(self):
        return [c for c in self.complaints if not any(re.search(p, c) for p in self.expected)]


class Browsing:
    def __init__(self, playwright):
        self.browser = playwright.chromium.launch(executable_path=shutil.which(CHROMIUM), args=FLAGS)
        self.visits = []

    def visit(self, server, path="/", ready=True, before=None, **options):
        """before(visit): what is to be set up before the page is opened. options: Playwright's, of a profile."""
        visit = Visit(self.browser.new_context(viewport=options.pop("viewport", {"width": 1180, "height": 800}), **options), server)
        self.visits.append(visit)
        if before:
            before(visit)
        visit.open(path, ready)
        return visit

    def leave_all(self):
        complaints = [c for visit in self.visits for c in visit.unexpected()]
        for visit in self.visits:
            visit.context.close()
        self.visits.clear()
        assert complaints == []

    def close(self):
        self.browser.close()

