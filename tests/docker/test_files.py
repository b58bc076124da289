"""What docker/ says agrees with the tree: no container tools are needed. docker/try-without-registry builds and runs it."""
import fnmatch
import os
import pathlib
import re
import subprocess

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
SCRIPTS = ["build-program", "try-without-registry"]


def instructions():
    """(stage, instruction, its argument), continuation lines joined."""
    stage = None
    text = re.sub(r"\\\n", " ", (DOCKER / "Dockerfile").read_text())
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        word, argument = line.split(None, 1)
        if word == "FROM":
            stage = argument.split(" AS ")[-1]
        yield stage, word, " ".join(argument.split())


def of_stage(name):
    return [(word, argument) for stage, word, argument in instructions() if stage == name]


def settings():
    return {"VARGPT_" + name.upper() for name in re.findall(r"FIELD\((\w+)\), ", (ROOT / "config/settings.c").read_text())}


def ignored(path):
    """As Docker reads .dockerignore: the last pattern that fits the path, or a folder above it, decides."""
    parts = pathlib.PurePosixPath(path).parts
    paths = ["/".join(parts[:n]) for n in range(1, len(parts) + 1)]
    verdict = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.lstrip("!").removeprefix("**/")
        if line and not line.startswith("#") and any(fnmatch.fnmatchcase(p, pattern) for p in paths):
            verdict = not line.startswith("!")
    return verdict


def compose(name="compose.yaml"):
    return yaml.safe_load((DOCKER / name).read_text())


def test_stages():
    names = [argument.split(" AS ")[-1] for _, word, argument in instructions() if word == "FROM"]
    assert names == ["sources", "build", "cpu", "build-cuda", "cuda", "cpu"]  # the last: `docker build` without --target


def test_stages_copy_what_is_there():
    known = set()
    for stage, word, argument in instructions():
        if word == "FROM":
            known.add(stage)
        if word != "COPY":
            continue
        *sources, _ = [a for a in argument.split() if not a.startswith("--")]
        origin = re.search(r"--from=(\S+)", argument)
        assert not origin or origin[1] in known, argument
        for source in sources:
            path = source.removeprefix("/src/") if origin and origin[1] == "sources" else source
            if origin and origin[1] != "sources" or path in (".", "/src"):
                continue
            assert (ROOT / path).exists(), argument
            assert not ignored(path), argument


def test_sources_are_complete():
    """What CMakeLists.txt names, outside of its tests, is sent to the build."""
    cmake = (ROOT / "CMakeLists.txt").read_text().split("if(VARGPT_TESTS)")[0]
    named = {name for name in re.findall(r"[\w.-]+(?:/[\w.-]+)+", cmake) if (ROOT / name).exists() and not name.startswith("docs/")}
    assert "tools/embed.cmake" in named
    assert [name for name in named if ignored(name)] == []


def test_both_images_are_alike():
    cpu, cuda = ([(word, re.sub(r"build(-cuda)?\b", "build", argument)) for word, argument in of_stage(name)
                  if word not in ("FROM", "ENV")] for name in ("cpu", "cuda"))
    assert cpu[:len(cuda)] == cuda
    variables = [dict(v.split("=", 1) for w, a in of_stage(name) if w == "ENV" for v in a.split()) for name in ("cpu", "cuda")]
    assert {k for k in variables[1] if not k.startswith("NVIDIA_")} == set(variables[0])


@pytest.mark.parametrize("stage", ["cpu", "cuda"])
def test_image_is_safe_and_answers(stage):
    image = dict(of_stage(stage))
    user = image["USER"].split(":")[0]
    assert user.isdigit() and int(user) > 0  # a number: Kubernetes has to see that it is not root
    assert image["HEALTHCHECK"].endswith('CMD ["vargpt", "health"]')
    assert image["EXPOSE"] == "8000"
    assert "VARGPT_HOST=0.0.0.0" in image["ENV"] and "VARGPT_PORT=8000" in image["ENV"]


@pytest.mark.parametrize("stage", ["build", "build-cuda"])
def test_packages_come_from_install_deps(stage):
    runs = [argument for word, argument in of_stage(stage) if word == "RUN"]
    assert runs[0].split(" && ")[0] == "tools/install-deps --build"
    by_hand = {found.strip() for found in re.findall(r"apt-get install ([^&]*)", " & ".join(runs))}
    assert by_hand <= ({"-y -q --no-install-recommends g++"} if stage == "build-cuda" else set())  # nvcc's own need


def test_install_deps_knows_all_that_building_needs():
    """A library that CMakeLists.txt asks for has its package among those of --build, not only among those for tests."""
    text = (ROOT / "tools/install-deps").read_text()
    for_building = re.search(r'^packages="(.*?)"', text, re.S | re.M)[1].split()
    cmake = (ROOT / "CMakeLists.txt").read_text()
    packages = {"jansson": "libjansson-dev", "libpcre2-8": "libpcre2-dev", "libutf8proc": "libutf8proc-dev", "stb": "libstb-dev",
                "libwebp": "libwebp-dev", "libwebpdemux": "libwebp-dev", "libmicrohttpd": "libmicrohttpd-dev",
                "gnutls": "libgnutls28-dev",
                "libcurl": "libcurl4-openssl-dev", "zlib": "zlib1g-dev", "cmocka": None}
    modules = [m.split(">")[0] for found in re.findall(r"pkg_check_modules\(\w+ REQUIRED IMPORTED_TARGET ([^)]*)\)", cmake)
               for m in found.split()]
    assert modules
    for module in modules:
        assert module in packages, f"{module} is new here: which package has it?"
        assert packages[module] is None or packages[module] in for_building
    assert "libb64-dev" in for_building
    assert not {"libcmocka-dev", "python3", "chromium", "git"} & set(for_building)


def test_variables_are_settings():
    known = settings() | {"VARGPT_CONFIG", "VARGPT_NAME", "VARGPT_IMAGE"}  # the last is compose's own
    known |= {"VARGPT_TESTS", "VARGPT_WERROR", "VARGPT_CUDA", "VARGPT_CUDA_ARCHS"}  # options of CMakeLists.txt
    for path in [*DOCKER.iterdir(), ROOT / "docs/docker.md"]:
        unknown = set(re.findall(r"\bVARGPT_[A-Z_0-9]+\b", path.read_text())) - known
        assert not unknown, path


def test_compose():
    services = compose()["services"]
    vargpt = services["vargpt"]
    assert (DOCKER / vargpt["build"]["context"] / vargpt["build"]["dockerfile"]).resolve() == DOCKER / "Dockerfile"
    assert vargpt["build"]["target"] == "cpu"
    assert "profiles" not in vargpt and services["prometheus"]["profiles"] == ["metrics"]
    for service in services.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert all(re.match(r"\$\{\w+:-127\.0\.0\.1:\d+\}:\d+$", port) for port in service["ports"])  # loopback, if nobody says more
    default = re.search(r"FIELD\(drain_seconds\).*?\.initial = \"(\d+)\"", (ROOT / "config/settings.c").read_text(), re.S)
    assert int(vargpt["stop_grace_period"].rstrip("s")) > int(default[1])
    assert compose("compose.cuda.yaml")["services"]["vargpt"]["build"]["target"] == "cuda"


def test_prometheus_scrapes_the_service():
    (job,) = yaml.safe_load((DOCKER / "prometheus.yml").read_text())["scrape_configs"]
    (target,) = job["static_configs"][0]["targets"]
    name, port = target.split(":")
    assert name in compose()["services"] and port == "8000"
    assert job.get("metrics_path", "/metrics") == "/metrics"


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_are_scripts(name):
    path = DOCKER / name
    shell = path.read_text().splitlines()[0].removeprefix("#!")
    assert os.access(path, os.X_OK)
    assert subprocess.run([shell, "-n", path]).returncode == 0
