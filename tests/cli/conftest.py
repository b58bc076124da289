import program
import pytest


@pytest.fixture
def vargpt(tmp_path):
    if not program.BINARY.exists():
        pytest.fail(f"{program.BINARY} is missing: build it, or name it in VARGPT_BINARY")
    return program.Vargpt(tmp_path)
