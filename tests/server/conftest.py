import pytest
from serving import start_fake


@pytest.fixture(scope="module")
def fake():
    server = start_fake()
    yield server
    server.stop()


@pytest.fixture
def start():
    """start(running=2, ...): a fake server of one test's own."""
    servers = []

    def open_server(**options):
        servers.append(start_fake(**options))
        return servers[-1]

    yield open_server
    for server in servers:
        server.stop()
