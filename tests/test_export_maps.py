"""Promoters and attentional networks as bundles: parity, refusals, and maps that no batch mate touches."""

import importlib.util
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from unsee.engine.methods.models import open_descender, open_mapper
from unsee.errors import DeviceUnavailableError, MissingExtraError, UnseeError, VerificationError
from unsee.export.bundles.bundle import holds, read_bundle
from unsee.export.bundles.bundle_files import BUNDLE_FILE
from unsee.export.bundles.descent_config import DescentConfig
from unsee.export.bundles.descent_contents import DescentContents
from unsee.export.bundles.map_contents import MapContents
from unsee.export.graph.exportables import export_map_network
from unsee.export.graph.onnx_writer import TENSORRT_OPERATORS
from unsee.export.parity.checking import check_bundle
from unsee.export.parity.map_parity import LARGEST, LARGEST_DIFFERENCE, MapProbe, make_map_probe, measure_maps
from unsee.export.parity.report import Parity
from unsee.export.runtime.mapper import Mapper
from unsee.export.runtime.tensorrt.tensorrt_engine import prepare_plan
from unsee.export.runtime.tensorrt.tensorrt_plans import plan_key
from unsee.files import sha256_of
from unsee.tests.digests import check_digest
from unsee.tests.export_models import checkpoint, images
from unsee.tests.map_models import SIZE, MixingMapper, map_checkpoint, random_priors

KINDS = ("promoter", "attentional")


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("maps")
    return {kind: map_checkpoint(folder / kind, kind) for kind in KINDS}


@pytest.fixture(scope="session")
def exported(models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bundles")
    for kind, model in models.items():
        export_map_network(str(model), folder / kind)
    return {kind: folder / kind for kind in models}


@pytest.fixture
def bundle(exported: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported["promoter"], tmp_path / "bundle"))


def priors_of(kind: str, count: int, seed: int = 0) -> np.ndarray | None:
    return random_priors(count, seed) if kind == "promoter" else None


def edit(bundle: Path, **changes: object) -> None:
    path = bundle / BUNDLE_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def relist(bundle: Path, name: str) -> None:
    path, files = bundle / name, json.loads((bundle / BUNDLE_FILE).read_text())["files"]
    edit(bundle, files={**files, name: {"bytes": path.stat().st_size, "sha256": sha256_of(path)}})


@pytest.mark.parametrize("kind", KINDS)
def test_description_holds_what_a_box_needs(kind: str, exported: dict[str, Path]) -> None:
    bundle = read_bundle(exported[kind])
    metadata = bundle.contents.metadata
    assert sorted(path.name for path in exported[kind].iterdir()) == ["bundle.json", "map.onnx", "probe.npz"]
    assert (metadata.kind, metadata.backbone, bundle.precision) == (kind, "squeezenet1_1", "fp32")
    assert metadata.input.channel_order == "BGR"
    assert bundle.model_id.startswith(f"{kind}-")
    assert set(bundle.versions) == {"unsee", "torch", "onnx", "onnxscript", "onnxruntime", "numpy"}
    shapes = {item["name"]: item["shape"] for side in bundle.graph.to_json().values() for item in side}
    expected = {"image": ["batch", 3, SIZE, SIZE], "map": ["batch", 1, SIZE, SIZE]}
    assert shapes == expected | ({"prior": ["batch", 1, SIZE, SIZE]} if kind == "promoter" else {})


@pytest.mark.parametrize("kind", KINDS)
def test_graph_is_standard_and_names_its_model(kind: str, exported: dict[str, Path]) -> None:
    model = onnx.load(exported[kind] / "map.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert {node.op_type for node in model.graph.node} <= TENSORRT_OPERATORS
    properties = {item.key: item.value for item in model.metadata_props}
    assert properties == {"model": read_bundle(exported[kind]).model_id, "kind": kind}
    assert "/" not in "".join(node.doc_string for node in model.graph.node)
    check_digest(kind, exported[kind] / "map.onnx")


@pytest.mark.parametrize("kind", KINDS)
def test_parity_is_measured_and_repeated(kind: str, exported: dict[str, Path]) -> None:
    written = Parity.from_json(read_bundle(exported[kind]).parity)
    parity = check_bundle(exported[kind])
    for report in (written, parity):
        assert report.holds and 0 < report.value(LARGEST) < 0.25 and report.images == 4
        assert (report.speed.backend, report.speed.device) == ("onnxruntime", "cpu")
        assert report.speed.images_per_second > 0
        assert report.speed.eager_images_per_second == written.speed.eager_images_per_second
    assert len(parity.lines()) == 3 and "largest difference of a pixel in levels" in parity.lines()[0]
    assert MapProbe.load(exported[kind] / "probe.npz").maps.std() > 0.015  # there is something to compare


@pytest.mark.parametrize("kind", KINDS)
def test_sessions_agree_with_the_network(kind: str, models: dict[str, Path], exported: dict[str, Path]) -> None:
    from unsee.train.networks.maps.mappers import load_map_network

    mapper = load_map_network(models[kind]).mapper
    eager, session = open_mapper(str(models[kind])), open_mapper(str(exported[kind]))
    assert (eager.info.backend, session.info.backend) == ("torch", "onnxruntime")
    assert eager.info.model_id == session.info.model_id and session.info.input_size == SIZE
    for count, seed in [(1, 0), (3, 1), (2, 2)]:
        pixels, priors = images(count, SIZE, seed), priors_of(kind, count, seed)
        inputs = [torch.from_numpy(pixels.transpose(0, 3, 1, 2).astype(np.float32))]
        inputs += [] if priors is None else [torch.from_numpy(priors[:, None])]
        expected = mapper(*inputs)[:, 0].numpy()
        for actual in (eager.maps(pixels, priors), session.maps(pixels, priors)):
            assert actual.dtype == np.float32 and actual.shape == (count, SIZE, SIZE)
            np.testing.assert_allclose(actual, expected, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("source", ["models", "exported"])
def test_no_map_depends_on_its_batch(kind: str, source: str, request: pytest.FixtureRequest) -> None:
    session = open_mapper(str(request.getfixturevalue(source)[kind]))
    pixels, priors = images(5, SIZE), priors_of(kind, 5)
    together = session.maps(pixels, priors)
    for place in range(5):
        part = slice(place, place + 1)
        alone = session.maps(pixels[part], None if priors is None else priors[part])
        np.testing.assert_array_equal(alone[0], together[place])
    assert len({one.tobytes() for one in together}) == 5


def test_lanes_share_a_batch_and_change_nothing(exported: dict[str, Path]) -> None:
    bundle = read_bundle(exported["promoter"])
    pixels, priors = images(5, SIZE), random_priors(5)
    several = Mapper.of_bundle(bundle, "cpu", threads=2)
    maps = several.maps(pixels, priors)
    assert several.runner.lanes.count == 2
    np.testing.assert_array_equal(maps, Mapper.of_bundle(bundle, "cpu", threads=1).maps(pixels, priors))


def test_prior_decides_a_promoted_map(exported: dict[str, Path]) -> None:
    session, pixels = open_mapper(str(exported["promoter"])), images(1, SIZE)
    first, second = (session.maps(pixels, random_priors(1, seed)) for seed in (1, 2))
    assert np.abs(first - second).max() > 1e-4
    swapped = session.maps(pixels, 1 - random_priors(1, 1))
    np.testing.assert_allclose(swapped.mean(), 1 - first.mean(), atol=0.2)


def test_wrong_input_is_refused(exported: dict[str, Path]) -> None:
    promoter, attentional = (open_mapper(str(exported[kind])) for kind in KINDS)
    with pytest.raises(UnseeError, match=r"uint8 \[B,32,32,3\], got uint8 \[1, 16, 32, 3\]"):
        attentional.maps(np.zeros((1, 16, 32, 3), np.uint8))
    with pytest.raises(UnseeError, match="needs a map of every image"):
        promoter.maps(images(2, SIZE))
    with pytest.raises(UnseeError, match="takes no maps"):
        attentional.maps(images(2, SIZE), random_priors(2))
    with pytest.raises(UnseeError, match=r"priors must be of shape \[2, 32, 32\], got \[1, 32, 32\]"):
        promoter.maps(images(2, SIZE), random_priors(1))
    assert promoter.maps(images(0, SIZE), random_priors(0)).shape == (0, SIZE, SIZE)


def test_iterations_are_a_checkpoints_to_choose_and_a_bundles_to_keep(
    models: dict[str, Path], exported: dict[str, Path], tmp_path: Path
) -> None:
    pixels, priors = images(1, SIZE), random_priors(1)
    one, two, three = (open_mapper(str(models["promoter"]), iterations=count) for count in (1, 2, 3))
    assert two.info.model_id == open_mapper(str(models["promoter"])).info.model_id != three.info.model_id
    first = one.maps(pixels, priors)
    second = one.maps(pixels, first)
    np.testing.assert_allclose(two.maps(pixels, priors), (first + second) / 2, atol=1e-5)  # C5, from t = 0
    export_map_network(str(models["promoter"]), tmp_path / "three", iterations=3)
    actual = open_mapper(str(tmp_path / "three"), iterations=3).maps(pixels, priors)
    np.testing.assert_allclose(actual, three.maps(pixels, priors), atol=1e-4)
    with pytest.raises(UnseeError, match="another number of iterations: export the checkpoint with 3"):
        open_mapper(str(exported["promoter"]), iterations=3)
    with pytest.raises(UnseeError, match="iterations belong to a promoter"):
        open_mapper(str(models["attentional"]), iterations=3)


def test_export_fails_where_results_differ(models: dict[str, Path], tmp_path: Path, monkeypatch) -> None:
    from unsee.export.graph import exportables

    def off_by_three_levels(*arguments) -> MapProbe:
        probe = make_map_probe(*arguments)
        assert 0 < probe.eager_difference < 1e-3
        return replace(probe, maps=probe.maps + np.float32(3 / 255))

    monkeypatch.setattr(exportables, "make_map_probe", off_by_three_levels)
    with pytest.raises(VerificationError, match="does not agree with eager PyTorch: .* in levels: 3, at most 2"):
        export_map_network(str(models["attentional"]), tmp_path / "bundle")
    assert not list(tmp_path.iterdir())


def test_check_fails_where_one_pixel_differs(bundle: Path) -> None:
    probe = MapProbe.load(bundle / "probe.npz")
    probe.maps[1, 3, 4] += np.float32(LARGEST_DIFFERENCE + 1e-3)
    probe.save(bundle / "probe.npz")
    relist(bundle, "probe.npz")
    with pytest.raises(VerificationError, match="does not agree"):
        check_bundle(bundle)


def test_a_map_that_is_not_a_number_does_not_agree() -> None:
    session = MixingMapper()
    pixels, priors = images(2, SIZE), random_priors(2)
    probe = make_map_probe(session, session, pixels, priors)
    assert measure_maps(probe, session).value(LARGEST) == 0 == probe.eager_difference
    probe.maps[0, 0, 0] = np.nan
    assert not measure_maps(probe, session).holds


def test_rounding_is_allowed_where_pytorch_rounds_as_much() -> None:
    def off(count: int) -> MixingMapper:
        class Off(MixingMapper):
            def _maps(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
                maps = super()._maps(inputs)
                maps[0, 0, 0, :count] += np.float32(5 / 255)
                return maps

        return Off()

    pixels, priors, exact = images(2, SIZE), random_priors(2), MixingMapper()
    parity = measure_maps(make_map_probe(off(3), exact, pixels, priors), off(2))
    assert parity.value(LARGEST) == pytest.approx(5, rel=1e-4) and parity.holds
    assert not measure_maps(make_map_probe(exact, exact, pixels, priors), off(2)).holds
    everywhere = make_map_probe(off(1), exact, pixels, priors)
    everywhere.maps[:] += np.float32(1 / 255)
    assert not measure_maps(everywhere, off(1)).holds


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: (path / "map.onnx").unlink(), "missing"),
        (lambda path: (path / "map.onnx").write_bytes((path / "map.onnx").read_bytes()[:-9]), "truncated"),
        (lambda path: _flip(path / "map.onnx"), "SHA-256"),
        (lambda path: (path / BUNDLE_FILE).write_text('{"schema": 1'), "not JSON"),
        (lambda path: edit(path, schema=2), "bundle version 2"),
        (lambda path: edit(path, kind="other"), "kind 'other', expected one of kind promoter or attentional"),
        (lambda path: edit(path, kind="attentional"), "preset of a attentional|not a bundle description"),
        (lambda path: edit(path, files={}), "does not list map.onnx"),
        (lambda path: edit(path, options={"magic": 1}), "not a bundle description"),
        (lambda path: edit(path, files=_listed(path, "../outside")), "outside the bundle"),
        (lambda path: edit(path, files=_listed(path, "/etc/hostname")), "outside the bundle"),
        (lambda path: _link(path), "outside the bundle"),
    ],
)
def test_damaged_bundle_is_refused_with_the_reason(bundle: Path, damage, reason: str) -> None:
    damage(bundle)
    with pytest.raises(UnseeError, match=reason):
        read_bundle(bundle, MapContents)


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _listed(bundle: Path, name: str) -> dict[str, object]:
    return {**json.loads((bundle / BUNDLE_FILE).read_text())["files"], name: {"bytes": 1, "sha256": ""}}


def _link(bundle: Path) -> None:
    outside = bundle.parent / "outside.onnx"
    (bundle / "map.onnx").rename(outside)
    (bundle / "map.onnx").symlink_to(outside)


def test_hostile_probe_runs_no_code(bundle: Path) -> None:
    np.savez(bundle / "probe.npz", images=np.array([{"an": "object"}], dtype=object))
    relist(bundle, "probe.npz")
    with pytest.raises(UnseeError, match="not a probe"):
        check_bundle(bundle)


def test_kinds_are_not_taken_for_each_other(models, exported, tmp_path: Path) -> None:
    classifier = checkpoint(tmp_path / "classifier", "unsee_small", size=64)
    assert holds(exported["promoter"], MapContents) and not holds(models["promoter"], MapContents)
    with pytest.raises(UnseeError, match="kind 'promoter', expected one of kind descent"):
        read_bundle(exported["promoter"], DescentContents)
    with pytest.raises(UnseeError, match="holds no classifier"):
        open_descender(str(models["attentional"]), DescentConfig())
    with pytest.raises(UnseeError, match="neither the checkpoint nor a bundle of a map network"):
        open_mapper(str(classifier))


def test_unfit_backends_and_devices(models, exported) -> None:
    model, bundle = str(models["promoter"]), str(exported["promoter"])
    with pytest.raises(UnseeError, match="unknown backend"):
        open_mapper(bundle, backend="magic")
    with pytest.raises(UnseeError, match="torch-compile runs descents only"):
        open_mapper(model, backend="torch-compile")
    with pytest.raises(UnseeError, match="holds no PyTorch"):
        open_mapper(bundle, backend="torch")
    if not torch.cuda.is_available():
        for name in (model, bundle):
            with pytest.raises(DeviceUnavailableError, match="was asked for"):
                open_mapper(name, "cuda")
    if not importlib.util.find_spec("tensorrt"):
        with pytest.raises(MissingExtraError, match=r"unsee\[tensorrt\]"):
            open_mapper(bundle, "cuda", "tensorrt")
        with pytest.raises(MissingExtraError, match="backend tensorrt needs tensorrt"):
            prepare_plan(read_bundle(bundle), 4)


def test_plan_is_named_after_its_graph(exported) -> None:
    bundle = read_bundle(exported["attentional"])
    key = plan_key(bundle, "NVIDIA H100", "10.9.0", "tf32", 8)
    assert key.path(Path("box")).name == "map.nvidia-h100-tf32-batch8.plan"
    assert key.graph_sha256 == sha256_of(bundle.graph_path)


def test_bundle_runs_without_importing_torch(exported) -> None:
    code = f"""
import sys
from pathlib import Path
from unsee.export.parity.checking import check_bundle
assert check_bundle(Path({str(exported["promoter"])!r})).holds
assert not {{"torch", "onnx", "onnxscript", "tensorrt"}} & set(sys.modules), sorted(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_export_replaces_bundles_only(models, exported, bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "photographs").mkdir()
    (tmp_path / "photographs/a.jpg").touch()
    with pytest.raises(UnseeError, match="not a bundle"):
        export_map_network(str(models["attentional"]), tmp_path / "photographs")
    export_map_network(str(models["attentional"]), bundle)
    assert read_bundle(bundle).contents.metadata.kind == "attentional"


@pytest.mark.gpu
@pytest.mark.parametrize("backend", ["onnxruntime", "ort-tensorrt", "tensorrt"])
@pytest.mark.parametrize("kind", KINDS)
def test_gpu_sessions_equal_the_cpu(kind: str, backend: str, exported) -> None:
    from unsee.export.runtime.driver import cuda_devices

    if not cuda_devices():
        pytest.skip("no GPU on this machine")
    if backend == "tensorrt":
        pytest.importorskip("tensorrt")
    expected, session = (open_mapper(str(exported[kind]), *on) for on in [("cpu",), ("cuda", backend)])
    for count in (4, 3, 4):  # the second is padded, the third replays the captured graph
        pixels, priors = images(count, SIZE, seed=count), priors_of(kind, count)
        difference = session.maps(pixels, priors) - expected.maps(pixels, priors)
        assert np.abs(difference).max() < LARGEST_DIFFERENCE
