"""The Dockerfiles: what every image must have, and their steps followed without a container runtime."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from unsee.tests.commands.running import rows_of, unsee
from unsee.tests.conftest import ROOT

FILES = ("Dockerfile", "Dockerfile.gpu")


def instructions(name: str) -> list[tuple[str, str]]:
    """Return the instructions of a file as (word, rest), continued lines joined."""
    lines = (line for line in (ROOT / name).read_text().splitlines() if not line.startswith("#"))
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [tuple(line.split(" ", 1)) for line in joined.splitlines() if line.strip()]  # pyright: ignore


@pytest.mark.parametrize("name", FILES)
def test_the_linter_of_dockerfiles_finds_nothing(name: str) -> None:
    linter = Path(sys.executable).with_name("hadolint")
    if not linter.exists():
        pytest.skip("hadolint is not installed (the test extra)")
    done = subprocess.run([linter, ROOT / name], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("name", FILES)
def test_images_are_pinned_small_and_without_rights(name: str) -> None:
    steps = instructions(name)
    bases = [rest for word, rest in steps if word == "FROM"]
    assert len(bases) == 2 and bases[0].endswith(" AS build")  # what builds the wheel stays behind
    assert all(re.match(r"python:\d+\.\d+\.\d+-slim-\w+", base) for base in bases)
    assert [rest for word, rest in steps if word == "USER"] == [
        "10001"
    ]  # by number: Kubernetes' runAsNonRoot asks for one
    last = steps[[word for word, _ in steps].index("USER") :]
    assert {word for word, _ in last} == {"USER", "ENV", "RUN", "WORKDIR", "ENTRYPOINT", "CMD"}
    installs = [rest for word, rest in steps if word == "RUN" and "pip install" in rest]
    assert all("--constraint" in rest and "--no-cache-dir" in rest and "rm -r /wheels" in rest for rest in installs)
    assert steps[-2:] == [("ENTRYPOINT", '["unsee"]'), ("CMD", '["--help"]')]


@pytest.mark.parametrize("name", FILES)
def test_extras_of_the_images_exist(name: str) -> None:
    (extras,) = re.findall(r"\.whl\)\[([\w,]+)\]", (ROOT / name).read_text())
    known = re.findall(
        r"^(\w+) =$", (ROOT / "setup.cfg").read_text().split("[options.extras_require]")[1], re.MULTILINE
    )
    assert set(extras.split(",")) <= set(known)


def test_what_the_images_do_not_need_is_not_sent() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".*", "tests", "docs", "bench/results"} <= set(ignored)
    assert not {"README.md", "setup.cfg", "constraints.txt", "LICENSE"} & set(ignored)


@pytest.mark.slow_install
@pytest.mark.timeout(1800)
def test_the_steps_of_the_image_for_processors_make_what_runs(tmp_path: Path, photographs: Path) -> None:
    """The RUN steps in their order, in a copy of the checkout and with an environment of their own."""
    steps = instructions("Dockerfile")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for file in (name for name in listed if not name.startswith(("tests/", "docs/", "bench/results/", "."))):
        target = tmp_path / "source" / file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / file).read_bytes())
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    wheels, home = tmp_path / "wheels", tmp_path / "home"
    wheels.mkdir()
    home.mkdir()
    (wheels / "constraints.txt").write_bytes((ROOT / "constraints.txt").read_bytes())
    environment = {
        "PATH": f"{tmp_path / 'venv/bin'}:{os.environ['PATH']}", "HOME": str(home), "PYTHONPATH": "",
        **{name: value for name, value in os.environ.items() if name.startswith("PIP_")},
    }  # fmt: skip
    for word, rest in steps:
        if word == "ENV":
            pairs = (pair.split("=", 1) for pair in shlex.split(rest.replace("/home/unsee", str(home))))
            environment |= dict(pairs)
        if word != "RUN":
            continue
        done = rest.replace("/wheels", str(wheels)).replace("/home/unsee", str(home))
        done = re.sub(r"&& useradd [^&]*", "", done)
        subprocess.run(["bash", "-c", done], cwd=tmp_path / "source", env=environment, check=True)
    executable = tmp_path / "venv/bin/unsee"
    unsee("run", photographs, "-o", tmp_path / "maps", env={**environment}, executable=executable)
    assert {row["status"] for row in rows_of(tmp_path / "maps")} == {"success"}
    assert Image.open(tmp_path / "maps/01.png").mode == "L"
