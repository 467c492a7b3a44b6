"""Bundles and checkpoints from careless or hostile hands, and words that users mistype: one line, and nothing lost."""

import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from unsee.tests.commands.running import FAST, UNSEE, bytes_below, command, rows_of, unsee


@pytest.fixture
def bundle(tiny_bundle, tmp_path) -> Path:
    """A bundle that a test may damage."""
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


@pytest.fixture
def checkpoint(tiny_model, tmp_path) -> Path:
    """A checkpoint that a test may damage."""
    return Path(shutil.copytree(tiny_model, tmp_path / "checkpoint"))


def one_line(message: str) -> str:
    assert message.startswith("unsee: ") and message.count("\n") == 1, message
    return message


def put(bundle: Path, name: str, data: bytes) -> None:
    """Write a file of a bundle and what bundle.json says of it."""
    (bundle / name).write_bytes(data)
    path = bundle / "bundle.json"
    value = json.loads(path.read_text())
    value["files"][name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    path.write_text(json.dumps(value))


def resized(bundle: Path, old: int, new: int) -> None:
    """Let bundle.json claim another side of the input, everywhere."""
    path = bundle / "bundle.json"
    value = json.loads(path.read_text())
    value["input"]["size"] = new
    for tensors in value["tensors"].values():
        for tensor in tensors:
            tensor["shape"] = [new if side == old else side for side in tensor["shape"]]
    path.write_text(json.dumps(value))


@pytest.mark.parametrize(
    ("target", "code", "reason"),
    [
        (".", 2, "the directory that the command runs in"),
        ("", 2, "the directory that the command runs in"),
        ("/", 2, "the directory that the command runs in"),
        ("a-file", 2, "exists and is no directory"),
        ("a-file/bundle", 1, "cannot be written"),
        ("photos", 2, "exists and is not a bundle"),
        ("checkpoint", 2, "the directory of the model itself"),
        ("checkpoint/bundle", 2, "the directory of the model itself"),
    ],
)
def test_export_to_a_place_that_is_taken_is_refused(target, code, reason, checkpoint, tmp_path):
    (tmp_path / "a-file").write_text("mine")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.jpg").write_text("mine")
    before = bytes_below(tmp_path)
    message = unsee("export", checkpoint, target, cwd=tmp_path, expect=code).err
    assert reason in one_line(message)
    assert bytes_below(tmp_path) == before


def test_two_exports_do_not_share_a_place(checkpoint, tmp_path):
    with (tmp_path / ".bundle.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        message = unsee("export", checkpoint, "bundle", cwd=tmp_path, expect=2).err
    assert "another export is writing" in one_line(message)
    assert not (tmp_path / "bundle").exists() and not list(tmp_path.glob(".*.tmp"))


def test_a_checkpoint_is_not_checked_but_exported(tiny_model, tmp_path):
    message = unsee("check", tiny_model, cwd=tmp_path, expect=2).err
    assert "is a checkpoint, and no bundle: write one with unsee export" in one_line(message)


def test_results_are_not_laid_into_a_model(bundle, tiny_model, photographs, tmp_path):
    for model in (bundle, tiny_model):
        before = bytes_below(model)
        message = unsee("run", photographs, "-o", model, "--method", "rbd", cwd=tmp_path, expect=2).err
        assert "holds a model: choose another output folder" in one_line(message) and bytes_below(model) == before


@pytest.mark.proof
@pytest.mark.timeout(600)
def test_an_export_that_is_killed_leaves_the_old_bundle(bundle, checkpoint, tmp_path):
    before = bytes_below(bundle)
    (tmp_path / "sitecustomize.py").write_text("""
import os, signal
from pathlib import Path
original = Path.rename
def rename(self, target):
    if self.name == ".step.onnx.tmp":
        os.kill(os.getpid(), signal.SIGKILL)
    return original(self, target)
Path.replace = rename
""")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    killed = subprocess.run(command("export", checkpoint, bundle), env=environment, capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    assert bytes_below(bundle) == before
    unsee("check", bundle)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: (path / "bundle.json").write_text("null"), "bundle.json: not a bundle description"),
        (lambda path: (path / "bundle.json").write_text("[" * 200_000), "bundle.json: not JSON (nested too deeply)"),
        (lambda path: put(path, "labels.json", b'[{"wnid": "n1"},"b","c","d","e","f","g"]'), "labels.json: not a list"),
        (lambda path: put(path, "step.onnx", b"junk" * 99), "step.onnx: damaged, not an ONNX file"),
        (lambda path: put(path, "step.onnx", bytes([0x3A, 2, 0x0A, 0])), "step.onnx: ONNX Runtime cannot run it"),
        (lambda path: put(path, "probe.npz", b"PK\3\4 no archive"), "probe.npz: not a probe"),
        (lambda path: resized(path, 48, 4096), "expected"),
    ],
)
def test_damaged_bundle_is_one_line_and_exit_code_2(damage, reason, bundle, tmp_path):
    damage(bundle)
    assert reason in one_line(unsee("check", bundle, expect=2).err)


def test_a_bundle_that_claims_another_size_is_refused_before_memory_is_taken(bundle, photographs, tmp_path):
    resized(bundle, 48, 4096)
    script = (
        "import resource, subprocess, sys\n"
        "code = subprocess.run(sys.argv[1:]).returncode\n"
        "print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)"
    )
    run = command("run", photographs, "--model", bundle, "--output-folder", tmp_path / "out", *FAST)
    result = subprocess.run([sys.executable, "-c", script, *run], capture_output=True, text=True)
    code, megabytes = map(int, result.stdout.split())
    assert code == 2 and megabytes < 1000
    assert "image float32 ['batch', 3, 48, 48] where image float32 ['batch', 3, 4096, 4096] belongs" in result.stderr
    assert "Traceback" not in result.stderr


def test_constants_out_of_range_are_refused(bundle, photographs, tmp_path):
    path = bundle / "bundle.json"
    value = json.loads(path.read_text())
    value["preset"]["post"]["segments"] = 10**9
    path.write_text(json.dumps(value))
    run = ("run", photographs, "--output-folder", tmp_path / "out", *FAST)
    assert "segments must be at most 2000, got 1000000000" in one_line(unsee(*run, "--model", bundle, expect=2).err)
    assert "segments must be at most" in one_line(unsee(*run, "--segments", 10**9, expect=2).err)


def test_weights_outside_of_what_is_hashed_are_refused(bundle, tmp_path):
    import onnx

    model = onnx.load(bundle / "step.onnx")
    onnx.save(model, bundle / "step.onnx", save_as_external_data=True, location="weights.bin", size_threshold=1024)
    put(bundle, "step.onnx", (bundle / "step.onnx").read_bytes())
    assert "keeps weights in 'weights.bin'" in one_line(unsee("check", bundle, expect=2).err)
    put(bundle, "weights.bin", (bundle / "weights.bin").read_bytes())
    unsee("check", bundle)
    (bundle / "weights.bin").write_bytes(bytes(len((bundle / "weights.bin").read_bytes())))
    assert "weights.bin: damaged or changed" in one_line(unsee("check", bundle, expect=2).err)


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("model.json", "[" * 200_000, "nested too deeply"),
        ("model.json", {"network": ["resnet18"]}, "network must be a text"),
        ("model.json", {"input": {"size": 1}}, "input size 1 does not fit squeezenet1_1"),
        ("labels.json", "[1,2,3,4,5,6,7]", "label 0 must be an object"),
    ],
)
def test_damaged_checkpoint_is_one_line_and_exit_code_2(file, content, reason, checkpoint, photographs, tmp_path):
    path = checkpoint / file
    if isinstance(content, dict):
        value = json.loads(path.read_text())
        changed = {name: {**value[name], **item} if isinstance(item, dict) else item for name, item in content.items()}
        content = json.dumps({**value, **changed})
    path.write_text(content)
    run = ("run", photographs, "--model", checkpoint, "--output-folder", tmp_path / "out", *FAST)
    assert reason in one_line(unsee(*run, expect=2).err)


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (("--device", "gpu"), 2, "unknown device 'gpu': use auto, cpu, cuda or cuda:N (did you mean cuda?)"),
        (("--device", "cuda:one"), 2, "unknown device 'cuda:one'"),
        (("--backend", "onnxruntim"), 2, "(did you mean onnxruntime?)"),
        (("--backend", "trt"), 2, "(did you mean tensorrt?)"),
        (("--device", "cuda:77"), 5, "cuda:77 was asked for"),
        (("--model", ""), 2, "a model is a name, or the path"),
        (("--model", "x" * 5000), 2, "a model is a name, or the path"),
        (("--model", "x" * 300), 2, "neither a checkpoint directory"),
    ],
)
def test_mistyped_words_of_a_run(words, code, reason, tiny_bundle, photographs, tmp_path):
    run = ("run", photographs, "--model", tiny_bundle, "--output-folder", tmp_path / "out", *FAST)
    assert reason in one_line(unsee(*run, *words, expect=code).err)
    assert rows_of(tmp_path / "out") == []


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("nowhere", "out"), "nowhere: neither a checkpoint directory"),
        (("{model}", "out", "--preset", "bset"), "unknown preset 'bset'"),
        (("{model}", "out", "--iterations", "0"), "iterations must be at least 1, got 0"),
        (("{model}", "out", "--batch-size", "-1"), "batch-size"),
        (("{model}", "out", "--promote-iterations", "0"), "is no promoter"),
        (("vgg16", "out", "--weights", "{model}/weights.safetensors"), "not the weights of vgg16"),
        (("{model}", "out", "--probes", "nowhere.jpg"), "nowhere.jpg"),
    ],
)
def test_mistyped_words_of_an_export(words, reason, tiny_model, tmp_path):
    message = unsee("export", *(word.format(model=tiny_model) for word in words), cwd=tmp_path, expect=2).err
    assert reason in message
    assert list(tmp_path.iterdir()) == []


def test_doctor_shows_every_word_of_what_to_install(tmp_path):
    (tmp_path / "tensorrt.py").touch()
    found = unsee("doctor").out
    assert "pip install 'unsee[tensorrt]', or in a checkout pip install '.[tensorrt]'" in found


@pytest.mark.proof
@pytest.mark.timeout(600)
def test_an_export_into_the_cache_says_so_and_a_damaged_one_is_made_again(tiny_model, photographs, tmp_path):
    environment = {"XDG_CACHE_HOME": str(tmp_path / "cache")}

    def run(name):
        words = ("run", photographs, "--model", tiny_model, "--backend", "onnxruntime", "--output-folder", name)
        return unsee(*words, *FAST, cwd=tmp_path, env=environment).err

    assert "exporting squeezenet1_1-" in (first := run("first")) and "exported in " in first
    assert "exporting" not in run("second")
    (graph,) = (tmp_path / "cache").rglob("step.onnx")
    graph.write_bytes(graph.read_bytes()[:-9])
    assert "exporting squeezenet1_1-" in run("third")
    maps = [bytes_below(tmp_path / name)["01.png"] for name in ("first", "second", "third")]
    assert maps[0] == maps[1] == maps[2]


def test_detector_says_what_it_accepts():
    code = """
import unsee
class Module:
    def __repr__(self): return "x" * 100_000
for wrong in (Module(), None, 3, "", "a\\0b", "x" * 5000):
    try:
        unsee.Detector(wrong)
    except unsee.UnseeError as error:
        assert "a model is a name, or the path of a checkpoint's or a bundle's directory" in str(error), error
        assert len(str(error)) < 250
    else:
        raise AssertionError
"""
    subprocess.run([UNSEE.parent / "python", "-c", code], check=True)


def test_a_bundle_without_a_preset_is_checked_and_run(bundle, photographs, tmp_path):
    path = bundle / "bundle.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "preset": {}}))
    unsee("run", photographs, "--model", bundle, "--output-folder", tmp_path / "out", *FAST)
    assert {row["status"] for row in rows_of(tmp_path / "out")} == {"success"}
    code = "import sys, unsee; assert unsee.Detector(sys.argv[1])(sys.argv[2]).map.any()"
    subprocess.run([UNSEE.parent / "python", "-c", code, bundle, photographs / "01.png"], check=True)


def test_a_probe_that_unpacks_to_more_than_it_may_is_not_unpacked(bundle):
    import io
    import zipfile

    with np.load(bundle / "probe.npz") as arrays:
        values = {name: arrays[name] for name in arrays.files}
    with zipfile.ZipFile(bundle / "probe.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in values.items():
            data = io.BytesIO()
            np.lib.format.write_array(data, value if name != "images" else np.zeros((1, 9000, 9000, 3), np.uint8))
            archive.writestr(f"{name}.npy", data.getvalue())
    put(bundle, "probe.npz", (bundle / "probe.npz").read_bytes())
    assert "images is of shape [1, 9000, 9000, 3]" in one_line(unsee("check", bundle, expect=2).err)
