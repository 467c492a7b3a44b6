"""What is imported is declared: by every installation, or by the extra that brings what a function or a package needs."""

import ast
import configparser
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from unsee.tests.conftest import ROOT

DISTRIBUTIONS = {
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "skimage": "scikit-image",
    "py_sod_metrics": "pysodmetrics",
}
"""Distributions that are called otherwise than what is imported."""
OPTIONAL = {"train": {"torch"}, "export": {"torch", "onnx"}, "bench": {"torch", "onnx", "onnxruntime"}}
"""What modules of a package may import at the top besides what every installation has."""
OPTIONAL_MODULES = {"engine/remote/guarded_client.py": {"aiohttp"}}
"""Modules that are themselves imported only where an extra is asked for."""
SIZED = {"cpu", "report"}
"""Extras whose installation the tests of the bare box make in any case."""


def config() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def names(requirements: str) -> set[str]:
    lines = (line.strip() for line in requirements.splitlines())
    return {re.split(r"[<>=!~ ;\[]", line)[0].lower().replace("-", "_") for line in lines if line and line[0] != "#"}


REQUIRED = names(config()["options"]["install_requires"])
EXTRAS = {extra: names(text) for extra, text in config()["options.extras_require"].items()}


def sources() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).parts
        if parts[0] not in ("tests", "build") and not any(part.startswith(".") for part in parts):
            yield path, ast.parse(path.read_text())


def imported(nodes: Iterator[ast.AST] | list[ast.stmt]) -> set[str]:
    """Names of the distributions that statements import from outside of the project."""
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            found.add(node.module.split(".")[0])
    outside = found - set(sys.stdlib_module_names) - {"unsee"}
    return {DISTRIBUTIONS.get(name, name).lower().replace("-", "_") for name in outside}


def test_imports_at_the_top_are_required_or_of_the_packages_extra():
    for path, tree in sources():
        place = path.relative_to(ROOT)
        allowed = OPTIONAL.get(place.parts[0], set()) | OPTIONAL_MODULES.get(place.as_posix(), set())
        wrong = imported(tree.body) - REQUIRED - allowed
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}, which setup.cfg does not require"


def test_imports_inside_functions_are_declared_by_an_extra():
    declared = REQUIRED.union(*(found for extra, found in EXTRAS.items() if extra != "test"))
    for path, tree in sources():
        wrong = imported(ast.walk(tree)) - declared - {"numba_cuda", "cuda"}
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}, which no extra of setup.cfg brings"


def test_required_packages_that_their_extras_name_exist():
    """Every `require(package, extra, ...)` names an extra that brings the package."""
    for path, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "require":
                words = [one.value for one in node.args[:2] if isinstance(one, ast.Constant)]
                if len(words) < 2:
                    continue
                package = words[0].split(".")[0]
                brought = REQUIRED | EXTRAS[words[1]]
                wanted = DISTRIBUTIONS.get(package, package).lower().replace("-", "_")
                assert wanted in {one.removesuffix("_bindings").replace("_contrib", "") for one in brought}, (
                    path,
                    words,
                )


def test_linear_algebra_inside_kernels_has_what_it_needs():
    used = [path.name for path in (ROOT / "kernels").glob("*.py") if "np.linalg." in path.read_text()]
    assert not used or "scipy" in REQUIRED


def extras_of_the_documents() -> list[str]:
    """Return the sets of extras that some line tells a user to install."""
    texts = [path.read_text() for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))]
    return sorted({found for text in texts for found in re.findall(r"'(?:unsee|\.|WHEEL)\[([a-z,]+)\]'", text)})


def test_documents_name_extras_that_exist():
    named = {extra for extras in extras_of_the_documents() for extra in extras.split(",")}
    assert {"train", "export", "cpu"} <= named <= set(EXTRAS)


@pytest.mark.slow_install
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("extras", [one for one in extras_of_the_documents() if one not in SIZED])
def test_every_line_of_installation_works(extras, bare_venv, tmp_path):
    (wheel,) = bare_venv.parents[2].glob("unsee-*.whl")
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv/bin/python"
    subprocess.run(
        [python, "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", f"{wheel}[{extras}]"], check=True
    )
    clean = {"cwd": tmp_path, "env": {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}, "check": True}
    subprocess.run([python, "-m", "unsee", "doctor"], **clean)
    code = "from PIL import Image; Image.effect_noise((60, 50), 90).convert('RGB').save('a.png')"
    subprocess.run([python, "-c", code], **clean)
    method = ["--preset", "best"] if {"train", "export"} & set(extras.split(",")) else ["--method", "rbd"]
    subprocess.run([python, "-m", "unsee", "run", "a.png", "--output-folder", "out", *method], **clean)
