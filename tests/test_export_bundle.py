"""Bundles: what is written can be read, and what was damaged is refused with the reason."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unsee.engine.methods.models import open_descender
from unsee.errors import DeviceUnavailableError, UnseeError, VerificationError
from unsee.export.bundles.bundle import bundle_kind, is_bundle, read_bundle
from unsee.export.bundles.bundle_files import BUNDLE_FILE
from unsee.export.bundles.descent_config import DescentConfig
from unsee.export.bundles.descent_contents import DescentContents, descent_from_json, descent_to_json
from unsee.export.parity.checking import check_bundle
from unsee.export.parity.descent_parity import GRADIENT, PIXELS, Probe, raw_map
from unsee.export.parity.levels import relative_error, within_one_level
from unsee.export.parity.report import Parity
from unsee.export.parity.synthetic import synthetic_images
from unsee.files import sha256_of
from unsee.tests.export_models import SHARED, checkpoint, classifier, export_classifier, images
from unsee.train.networks.checkpoints import save_checkpoint

CONFIG = DescentConfig(iterations=4)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("model") / "squeezenet", "squeezenet1_1")


@pytest.fixture(scope="session")
def exported(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("bundle") / "squeezenet"
    export_classifier(str(model), directory, CONFIG, {"name": "reference", "descent": {}})
    return directory


@pytest.fixture
def bundle(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "bundle"))


def edit(bundle: Path, **changes: object) -> None:
    path = bundle / BUNDLE_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_description_holds_what_a_box_needs(exported: Path) -> None:
    bundle = read_bundle(exported, DescentContents)
    contents = bundle.contents
    assert sorted(path.name for path in exported.iterdir()) == ["bundle.json", "labels.json", "probe.npz", "step.onnx"]
    assert (contents.network, contents.descent, contents.preset["name"]) == ("squeezenet1_1", CONFIG, "reference")
    assert contents.input.channel_order == "BGR" and contents.input.size == 67
    assert len(contents.labels) == 10
    assert Parity.from_json(bundle.parity).value(PIXELS) <= 0.005
    assert set(bundle.versions) >= {"unsee", "torch", "onnx", "onnxruntime"}
    assert bundle.graph.to_json()["inputs"][0] == {"name": "image", "type": "float32", "shape": ["batch", 3, 67, 67]}


@pytest.mark.proof
def test_weights_too_large_for_one_file_lie_beside_the_graph(model: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("unsee.export.graph.onnx_writer.LARGEST_FILE", 1 << 12)
    directory = tmp_path / "bundle"
    export_classifier(str(model), directory, CONFIG)
    weights = directory / "step.weights"
    assert weights.stat().st_size > 10 * (directory / "step.onnx").stat().st_size
    assert "step.weights" in json.loads((directory / BUNDLE_FILE).read_text())["files"]
    assert check_bundle(directory).holds
    export_classifier(str(model), directory, CONFIG)  # takes the place of its own files
    weights.write_bytes(bytes(weights.stat().st_size))
    with pytest.raises(UnseeError, match=r"step\.weights"):
        read_bundle(directory)


def test_check_repeats_the_parity(exported: Path) -> None:
    parity = check_bundle(exported)
    assert parity.holds
    assert parity.speed.backend == "onnxruntime"
    assert parity.value(GRADIENT) < 1e-3
    assert len(parity.lines()) == 5


def test_check_fails_where_results_differ(bundle: Path) -> None:
    probe = Probe.load(bundle / "probe.npz")
    replace(probe, updates=probe.updates * np.float32(1.01)).save(bundle / "probe.npz")
    path = bundle / "probe.npz"
    files = json.loads((bundle / BUNDLE_FILE).read_text())["files"]
    edit(bundle, files={**files, "probe.npz": {"bytes": path.stat().st_size, "sha256": sha256_of(path)}})
    with pytest.raises(VerificationError, match="does not agree with eager PyTorch"):
        check_bundle(bundle)


@pytest.mark.proof
def test_session_equals_eager(model: Path, exported: Path) -> None:
    eager = open_descender(str(model), CONFIG)
    session = open_descender(str(exported), CONFIG)
    assert session.info.backend == "onnxruntime" and session.info.device == "cpu"
    assert session.info.model_id == eager.info.model_id and session.info.labels == eager.info.labels
    for batch, seed in [(1, 0), (3, 1), (2, 2)]:
        pixels, targets = images(batch, seed=seed), np.arange(batch) - 1
        actual, expected = session.descend(pixels, 1, targets), eager.descend(pixels, 1, targets)
        assert relative_error(actual.delta, expected.delta).max() < 1e-3
        np.testing.assert_allclose(actual.logits, expected.logits, rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(actual.targets, expected.targets)


def test_images_do_not_depend_on_their_batch(exported: Path) -> None:
    session = open_descender(str(exported), CONFIG)
    pixels = images(5)
    together = session.descend(pixels)
    for index in range(5):
        alone = session.descend(pixels[index : index + 1])
        np.testing.assert_array_equal(alone.delta[0], together.delta[index])


def test_buffers_keep_nothing_of_the_batch_before(exported: Path) -> None:
    session = open_descender(str(exported), CONFIG)
    first = session.descend(images(2, seed=1))
    session.descend(images(2, seed=2), 3)
    again = session.descend(images(2, seed=1))
    np.testing.assert_array_equal(first.delta, again.delta)


def test_empty_batch(exported: Path) -> None:
    descent = open_descender(str(exported), CONFIG).descend(images(0))
    assert descent.delta.shape == (0, 3, 67, 67) and descent.logits.shape == (0, 10)


def test_loop_inputs_may_differ_from_the_bundle(exported: Path) -> None:
    slower = replace(CONFIG, step=CONFIG.step / 2, iterations=1, step_decay=1.0)
    pixels = images(2)
    half = open_descender(str(exported), slower).descend(pixels).delta
    whole = open_descender(str(exported), CONFIG).descend(pixels, 1).delta
    np.testing.assert_allclose(half, whole / 2, atol=2e-4)


def test_other_graph_constants_are_refused_by_name(exported: Path) -> None:
    with pytest.raises(UnseeError, match=r"gamma is 100\.0, not 1\.0.*clip is False, not True"):
        open_descender(str(exported), replace(CONFIG, gamma=1.0, clip=True))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: (path / "step.onnx").unlink(), "missing"),
        (lambda path: (path / "step.onnx").write_bytes((path / "step.onnx").read_bytes()[:-9]), "truncated"),
        (lambda path: _flip(path / "step.onnx"), "SHA-256"),
        (lambda path: (path / "labels.json").write_text("[]"), "truncated or changed"),
        (lambda path: (path / BUNDLE_FILE).write_text('{"schema": 1'), "not JSON"),
        (lambda path: (path / BUNDLE_FILE).write_text("[]"), "JSON list"),
        (lambda path: (path / BUNDLE_FILE).write_bytes(b"\xff\xfe"), "not JSON"),
        (lambda path: edit(path, schema=2), "bundle version 2"),
        (lambda path: edit(path, files={}), "does not list step.onnx"),
        (lambda path: edit(path, files=[1]), "files must be an object"),
        (lambda path: edit(path, files={"step.onnx": 3}), "files: step.onnx must be an object"),
        (lambda path: (path / BUNDLE_FILE).write_text("[" * 200_000), "nested too deeply"),
        (lambda path: (path / BUNDLE_FILE).write_text('{"schema": NaN}'), "NaN is no number"),
        (lambda path: edit(path, network=["a"]), "network must be a text"),
        (lambda path: edit(path, classes=True), "classes must be a whole number"),
        (lambda path: edit(path, classes=11), "the graph has reference"),
        (lambda path: edit(path, precision="fp8"), "precision must be one of"),
        (lambda path: edit(path, tensors={}), "it lacks 'inputs'"),
        (lambda path: edit(path, preset=[1]), "preset must be an object"),
        (lambda path: edit(path, input={"size": 48.0}), "size must be a whole number"),
        (lambda path: edit(path, kind=["a"]), "a bundle of kind"),
        (lambda path: edit(path, descent={"cost": "none"}), "not a bundle description"),
        (lambda path: _list(path, "../outside"), "outside the bundle"),
        (lambda path: _list(path, "/etc/hostname"), "outside the bundle"),
        (lambda path: _link(path), "outside the bundle"),
    ],
)
def test_damaged_bundle_is_refused_with_the_reason(bundle: Path, damage, reason: str) -> None:
    damage(bundle)
    with pytest.raises(UnseeError, match=reason):
        read_bundle(bundle)


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _list(bundle: Path, name: str) -> None:
    files = json.loads((bundle / BUNDLE_FILE).read_text())["files"]
    edit(bundle, files={**files, name: {"bytes": 1, "sha256": ""}})


def _link(bundle: Path) -> None:
    outside = bundle.parent / "outside.onnx"
    (bundle / "step.onnx").rename(outside)
    (bundle / "step.onnx").symlink_to(outside)


def test_hostile_probe_runs_no_code(bundle: Path) -> None:
    np.savez(bundle / "probe.npz", images=np.array([{"an": "object"}], dtype=object))
    with pytest.raises(UnseeError, match="not a probe"):
        Probe.load(bundle / "probe.npz")


def test_infinite_floor_survives_json() -> None:
    config = DescentConfig(gradient_floor=float("-inf"))
    assert descent_from_json(json.loads(json.dumps(descent_to_json(config), allow_nan=False))) == config


def test_unknown_and_unfit_backends(exported: Path) -> None:
    with pytest.raises(UnseeError, match="unknown backend"):
        open_descender(str(exported), CONFIG, backend="magic")
    with pytest.raises(UnseeError, match="holds no PyTorch"):
        open_descender(str(exported), CONFIG, backend="torch")


@pytest.mark.parametrize("backend", ["onnxruntime", "ort-tensorrt"])
def test_cuda_that_is_not_there_is_an_error(exported: Path, backend: str) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    with pytest.raises(DeviceUnavailableError, match="onnxruntime has no"):
        open_descender(str(exported), CONFIG, device="cuda", backend=backend)


def test_unknown_device(exported: Path) -> None:
    with pytest.raises(UnseeError, match="unknown device"):
        open_descender(str(exported), CONFIG, device="tpu")


def test_export_does_not_replace_other_things(model: Path, tmp_path: Path) -> None:
    (tmp_path / "photographs").mkdir()
    (tmp_path / "photographs" / "a.jpg").touch()
    with pytest.raises(UnseeError, match="not a bundle"):
        export_classifier(str(model), tmp_path / "photographs", CONFIG)
    assert not is_bundle(tmp_path / "photographs")


def test_bundle_runs_without_importing_torch(exported: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from unsee.export.bundles.descent_config import DescentConfig
from unsee.export.parity.checking import check_bundle
assert check_bundle(Path({str(exported)!r})).holds
assert not {{"torch", "onnx", "onnxscript", "tensorrt"}} & set(sys.modules), sorted(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_synthetic_probes_are_pictures() -> None:
    pixels = synthetic_images(40, 3)
    assert pixels.shape == (3, 40, 40, 3) and pixels.dtype == np.uint8
    assert (pixels.std((1, 2, 3)) > 20).all()


def test_measures() -> None:
    assert within_one_level(np.array([[0, 5, 255]], np.uint8), np.array([[1, 7, 255]], np.uint8)) == pytest.approx(
        2 / 3
    )
    assert relative_error(np.array([[3.0, 4.0], [0, 0]]), np.array([[3.0, 5.0], [0, 0]])).tolist() == [
        pytest.approx(1 / 34**0.5),
        0,
    ]
    maps = raw_map(np.stack([np.arange(12.0).reshape(3, 2, 2), np.ones((3, 2, 2))]), np.zeros((2, 2, 2, 3)))
    assert maps[0].max() == 1 and maps[0].min() == 0 and not maps[1].any()


@pytest.mark.proof
@pytest.mark.parametrize("name", ["squeezenet1_1", "tiny_darknet"])
def test_real_models_agree_on_photographs(name: str, tmp_path: Path) -> None:
    if not SHARED.is_dir():
        pytest.skip("the folder of real models and data (../shared) is not here")
    from PIL import Image

    from unsee.engine.cleanup.postprocess import finish
    from unsee.engine.cleanup.presets import PRESETS

    preset = PRESETS["reference"]
    size = 227 if name == "squeezenet1_1" else 224
    paths = sorted((SHARED / "data/ecssd-dev").rglob("*.jpg"))[:20]
    pixels = np.stack([np.asarray(Image.open(path).convert("RGB").resize((size, size))) for path in paths])

    def finished(delta: np.ndarray, images: np.ndarray) -> np.ndarray:
        return finish(delta, images, preset.post).final

    config = replace(preset.descent, iterations=2)
    bundle = export_classifier(str(SHARED / "models" / name), tmp_path / name, config, probes=pixels, finish=finished)
    assert Parity.from_json(bundle.parity).holds


def test_kind_of_a_bundle(model: Path, bundle: Path) -> None:
    assert bundle_kind(bundle) == "descent" and bundle_kind(model) is None
    path = bundle / BUNDLE_FILE
    older = {name: value for name, value in json.loads(path.read_text()).items() if name != "kind"}
    path.write_text(json.dumps(older))
    assert bundle_kind(bundle) == "descent"
    assert read_bundle(bundle).contents.network == "squeezenet1_1"
    edit(bundle, kind="promoter")
    with pytest.raises(UnseeError, match="of kind 'promoter', expected one of kind descent"):
        read_bundle(bundle, DescentContents)


def test_loop_of_the_manual_gives_the_sessions_result(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manual = (Path(__file__).parents[1] / "docs/deploying.md").read_text()
    code = manual.split("```python\n")[1].split("```")[0].replace("box/squeezenet/", f"{exported}/")
    (tmp_path / "photos").mkdir()
    Image.fromarray(images(1)[0]).save(tmp_path / "photos/coffee.png")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(code, names)
    expected = open_descender(str(exported), CONFIG).descend(names["pixels"]).delta
    np.testing.assert_allclose(names["difference"], expected, atol=1e-3)


@pytest.mark.proof
def test_a_network_without_gradient_is_not_verified(tmp_path: Path) -> None:
    closed = classifier("unsee_small", size=64)
    closed.module.get_submodule("attention").bias.fill_(-1)  # pyright: ignore[reportCallIssue]
    save_checkpoint(tmp_path / "model", closed)
    with pytest.raises(UnseeError, match="gradient of most probe images is zero"):
        export_classifier(str(tmp_path / "model"), tmp_path / "bundle", CONFIG)
    assert not (tmp_path / "bundle").exists()


def test_a_file_that_may_not_be_read_is_said(bundle, monkeypatch):
    def forbidden(path):  # a mode of 000 keeps nobody out where tests run as root
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("unsee.export.bundles.bundle_files.sha256_of", forbidden)
    with pytest.raises(UnseeError, match=r"cannot be read \(Permission denied\)"):
        read_bundle(bundle)
