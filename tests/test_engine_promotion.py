"""Promoting given maps and the maps of methods, and the attentional method: values by hand, failures as rows, resuming."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from unsee.cli.app import app
from unsee.engine.decoding.decoded_image import DecodingConfig
from unsee.engine.decoding.decoding import on_grid
from unsee.engine.inputs.sources import Sources
from unsee.engine.methods import networks as map_methods
from unsee.engine.methods.batching import MapBatcher
from unsee.engine.methods.detection import Detection
from unsee.engine.methods.image_methods import BASELINE_SIZE
from unsee.engine.methods.method_config import PromotionConfig
from unsee.engine.methods.methods import open_method
from unsee.engine.methods.models import open_mapper
from unsee.engine.methods.networks import MapMethod, Promoter
from unsee.engine.methods.region_contrast import region_contrast
from unsee.engine.outputs.layout import Sharding
from unsee.engine.plans.priors import Priors
from unsee.engine.run import run
from unsee.engine.run_config import RunConfig
from unsee.engine.segmentation.segment_config import SegmentConfig
from unsee.engine.verify import faults
from unsee.errors import BadImageError, ExitCode, UnseeError
from unsee.tests.corpus import contents
from unsee.tests.map_models import SIZE, MixingMapper, map_checkpoint, random_priors
from unsee.tests.test_engine_run import rows_of

pytestmark = pytest.mark.ray

RUNNER = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})


@pytest.fixture(scope="module")
def priors(photographs, tmp_path_factory):
    """A random map of every photograph, in several formats, some not of the photograph's size."""
    folder = tmp_path_factory.mktemp("priors")
    random = np.random.default_rng(1)
    for number, path in enumerate(sorted(path for path in photographs.rglob("*") if path.is_file())):
        size = Image.open(path).size if number % 3 else (9, 14)
        suffix = (".png", ".bmp", ".PGM", ".tif")[number % 4]
        target = (folder / path.relative_to(photographs)).with_suffix(suffix)
        target.parent.mkdir(exist_ok=True)
        coarse = Image.fromarray(random.integers(0, 256, (3, 4), np.uint8))
        coarse.resize(size, Image.Resampling.BILINEAR).save(target)
    return folder


@pytest.fixture
def mixing(monkeypatch):
    """The promoter that averages prior and red, for every model's name."""
    monkeypatch.setattr(map_methods, "open_mapper", lambda *_: MixingMapper())


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {kind: map_checkpoint(folder / kind, kind) for kind in ("promoter", "attentional")}


def configured(photographs, folder, prior, **options):
    chosen = {"method": "given", "device": "cpu", "batch_size": 2, "shards": Sharding(3)}
    chosen["promotion"] = PromotionConfig("mixing", prior=str(prior))
    return RunConfig(Sources((str(photographs),)), str(folder), **{**chosen, **options})


def by_hand(photograph, prior, size=SIZE):
    """The map of the mixing promoter at the photograph's size, and its mean on the network's grid."""
    picture = Image.open(photograph).convert("RGB")
    red = np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR), np.float32)[..., 0] / 255
    prior = prior.convert("L").resize((size, size), Image.Resampling.BILINEAR)
    mixed = Image.fromarray(((red + np.asarray(prior, np.float32) / 255) / 2 * 255).astype(np.uint8))
    return np.asarray(mixed.resize(picture.size, Image.Resampling.BILINEAR)), np.asarray(mixed).mean() / 255


def prior_of(folder, row):
    (path,) = folder.glob(f"{row['output']}.*")
    return Image.open(path)


def test_given_maps_are_promoted(mixing, photographs, priors, tmp_path):
    summary = run(configured(photographs, tmp_path, priors))
    assert (summary.count, summary.failed, summary.shards) == (12, 0, 4)
    rows = rows_of(tmp_path)
    assert len(rows) == 12 and {"more/10", "more/11"} < {row["output"] for row in rows}
    for row in rows:
        expected, mean = by_hand(row["path"], prior_of(priors, row))
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / f"{row['output']}.png")), expected)
        assert row["map_mean"] == pytest.approx(mean, abs=1e-6)
        assert row["label"] is None and row["score"] is None
    assert not list(faults(tmp_path))
    stages = json.loads((tmp_path / "00000_stats.json").read_text())["stage_seconds"]
    assert set(stages) == {"read", "decode", "descent", "post", "promote", "encode", "write"}
    identity = json.loads((tmp_path / "plan.json").read_text())["identity"]
    assert identity["model"] == "given maps, promoted by mixing (test on cpu)" and len(identity["prior"]) == 64


def test_bad_priors_become_rows_and_nothing_is_lost(mixing, photographs, priors, tmp_path):
    folder = Path(shutil.copytree(priors, tmp_path / "priors"))
    next(folder.glob("00.*")).unlink()
    next(folder.glob("01.*")).write_bytes(b"")
    cut = next(folder.glob("02.*"))
    cut.write_bytes(cut.read_bytes()[:12])
    (folder / "03.jpeg").write_bytes(next(folder.glob("03.*")).read_bytes())
    next(folder.glob("04.*")).unlink()
    (folder / "04.png").mkdir()
    summary = run(configured(photographs, tmp_path / "out", folder))
    assert (summary.count, summary.failed) == (12, 5)
    rows = {row["output"]: row for row in rows_of(tmp_path / "out")}
    assert {name: (row["status"], row["error_code"]) for name, row in rows.items() if row["status"] != "success"} == {
        "00": ("failed_to_read", "missing_prior"),
        "01": ("failed_to_decode", "damaged_prior"),
        "02": ("failed_to_decode", "damaged_prior"),
        "03": ("failed_to_read", "ambiguous_prior"),
        "04": ("failed_to_read", "not_a_file"),
    }
    assert "no map 00.png" in rows["00"]["error_message"] and str(folder) in rows["02"]["error_message"]
    assert rows["00"]["width"] == 40 and len(rows["00"]["sha256"]) == 64
    expected, _ = by_hand(rows["05"]["path"], prior_of(folder, rows["05"]))
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out/05.png")), expected)
    assert not list(faults(tmp_path / "out"))
    with pytest.raises(BadImageError, match="no map 00.png"):
        run(configured(photographs, tmp_path / "strict", folder, on_error="raise"))


def test_half_of_the_shards_are_done_again_with_the_same_bytes(mixing, photographs, priors, tmp_path):
    run(configured(photographs, tmp_path / "whole", priors))
    config = configured(photographs, tmp_path / "cut", priors)
    run(config)
    kept = (tmp_path / "cut/00002_stats.json").stat().st_mtime_ns
    for shard in (1, 3):  # as a killed run leaves them: no done-mark, half a table, half a map
        (tmp_path / f"cut/0000{shard}_stats.json").unlink()
        (tmp_path / f"cut/0000{shard}.parquet").write_bytes(b"half")
    (tmp_path / "cut/04.png").write_bytes(b"half")
    run(replace(config, batch_size=2, workers=1))
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")
    assert (tmp_path / "cut/00002_stats.json").stat().st_mtime_ns == kept


def test_other_priors_or_promoter_are_not_mixed_into_a_run(mixing, photographs, priors, tmp_path, monkeypatch):
    folder = Path(shutil.copytree(priors, tmp_path / "priors"))
    config = configured(photographs, tmp_path / "out", folder)
    run(config)
    Image.new("L", (50, 60)).save(folder / "00.png")
    with pytest.raises(UnseeError, match="prior: "):
        run(config)
    (folder / "00.png").unlink()
    if not (folder / "00.png").exists() and list(folder.glob("00.*")):
        run(config)
    other = MixingMapper()
    other.info = replace(other.info, model_id="another")
    monkeypatch.setattr(map_methods, "open_mapper", lambda *_: other)
    with pytest.raises(UnseeError, match="promoted by mixing .* then, given maps, promoted by another"):
        run(config)


def test_batches_and_formats(mixing, photographs, priors, tmp_path):
    run(configured(photographs, tmp_path / "one", priors, batch_size=1))
    run(configured(photographs, tmp_path / "five", priors, batch_size=5))
    assert rows_of(tmp_path / "one") == rows_of(tmp_path / "five")
    run(configured(photographs, tmp_path / "arrays", priors, output_format="npy"))
    raw = np.load(tmp_path / "arrays/00000.npy")
    assert raw.shape == (3, SIZE, SIZE) and raw.dtype == np.float32
    assert (raw * 255).astype(np.uint8)[0].mean() / 255 == pytest.approx(rows_of(tmp_path / "one")[0]["map_mean"])


def test_promotion_follows_a_method_on_its_own_grid(mixing, photographs, tmp_path):
    config = configured(photographs, tmp_path / "out", tmp_path, method="rc", promotion=PromotionConfig("mixing"))
    run(config)
    for row in rows_of(tmp_path / "out")[:4]:
        picture = (
            Image.open(row["path"]).convert("RGB").resize((BASELINE_SIZE, BASELINE_SIZE), Image.Resampling.BILINEAR)
        )
        finished = np.rint(region_contrast(np.asarray(picture)[None])[0] * 255).astype(np.uint8)
        expected, mean = by_hand(row["path"], Image.fromarray(finished))
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / f"out/{row['output']}.png")), expected)
        assert row["map_mean"] == pytest.approx(mean, abs=1e-6)


def test_masks_are_cut_from_the_promoted_map(mixing, photographs, priors, tmp_path):
    run(configured(photographs, tmp_path, priors, segmentation=SegmentConfig(segment="jaccard", runs=3, segments=9)))
    for row in rows_of(tmp_path):
        assert Image.open(tmp_path / f"{row['output']}.mask.png").size == (row["width"], row["height"])
        assert 0 < row["mask_area"] < 1


def test_what_a_method_could_not_map_is_not_promoted():
    saliency = np.full((8, 8), 100, np.uint8)
    found = [None, Detection(saliency, saliency / np.float32(255), target=3, label="cat", score=0.5, magnitude=2.0)]
    pixels = np.zeros((2, SIZE, SIZE, 3), np.uint8)
    none, promoted = Promoter(MixingMapper()).promoted(found, pixels)
    assert none is None and (promoted.target, promoted.label, promoted.score, promoted.magnitude) == (
        3,
        "cat",
        0.5,
        2.0,
    )
    assert promoted.saliency.shape == (SIZE, SIZE) and (promoted.saliency == 50).all()
    np.testing.assert_allclose(promoted.raw, 50 / 255, rtol=1e-6)
    assert Promoter(MixingMapper()).promoted([None], pixels[:1]) == [None]


def test_map_that_is_not_a_number_is_a_failed_row(monkeypatch, photographs, priors, tmp_path):
    class Broken(MixingMapper):
        def _maps(self, inputs):
            maps = super()._maps(inputs)
            maps[0, 0, 0, 0] = np.nan
            return maps

    monkeypatch.setattr(map_methods, "open_mapper", lambda *_: Broken())
    summary = run(configured(photographs, tmp_path, priors, batch_size=1))
    assert (summary.count, summary.failed) == (12, 12)
    assert {row["error_code"] for row in rows_of(tmp_path)} == {"diverged"}


def test_memory_that_runs_out_halves_the_batch():
    class Small(MixingMapper):
        def _maps(self, inputs):
            if len(inputs["image"]) > 3:
                raise MemoryError
            return super()._maps(inputs)

    batcher = MapBatcher(Small(), 8)
    pixels = np.random.default_rng(0).integers(0, 256, (11, SIZE, SIZE, 3), np.uint8)
    maps = batcher.maps(pixels, random_priors(11))
    np.testing.assert_allclose(maps, (pixels[..., 0] / 255 + random_priors(11)) / 2, atol=1e-6)
    assert batcher.size == 2


def test_refusals(mixing, photographs, priors, models, tmp_path):
    with pytest.raises(UnseeError, match="no such folder of maps"):
        PromotionConfig("mixing", prior=str(tmp_path / "nowhere"))
    with pytest.raises(UnseeError, match="at least 1, got 0"):
        PromotionConfig("mixing", 0)
    with pytest.raises(UnseeError, match="use unsee promote"):
        RunConfig(Sources(("x",)), "out", method="given")
    with pytest.raises(UnseeError, match="use unsee promote"):
        configured(photographs, tmp_path, priors, method="rc")
    with pytest.raises(UnseeError, match="method attentional has none: leave --weights out"):
        RunConfig(Sources(("x",)), "out", method="attentional", weights="vgg16.pth")
    with pytest.raises(UnseeError, match="leave --output-names out"):
        configured(photographs, tmp_path, priors, shards=Sharding(3, "key"))
    with pytest.raises(UnseeError, match="lies in the input folder"):
        run(configured(photographs, priors / "out", priors))
    with pytest.raises(UnseeError, match="promotes maps and makes none"):
        MapMethod(MixingMapper(), "attentional", None)
    with pytest.raises(UnseeError, match="makes maps and promotes none"):
        Promoter(open_mapper(str(models["attentional"])))


@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("exact", [True, False])
def test_images_are_decoded_for_both_networks(orientation, exact):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 50, 3), np.uint8))
    picture.getexif()[0x0112] = orientation
    config = DecodingConfig(16, exact=exact, promoter_size=24)
    both = on_grid(picture, config)
    for size, pixels in ((16, both.pixels), (24, both.promoter_pixels)):
        np.testing.assert_array_equal(on_grid(picture, DecodingConfig(size)).pixels, pixels)
    same = on_grid(picture, replace(config, promoter_size=16))
    assert same.promoter_pixels is same.pixels
    assert on_grid(picture, DecodingConfig(16)).promoter_pixels is None


def test_priors_are_scaled_by_nothing(tmp_path):
    values = np.array([[10, 20], [30, 40]], np.uint8)
    for name, image in (("grey", Image.fromarray(values)), ("rgb", Image.fromarray(values).convert("RGB"))):
        image.save(tmp_path / f"{name}.png")
        member = next(iter(Sources((str(tmp_path / f"{name}.png"),)).stream()))
        np.testing.assert_array_equal(Priors(str(tmp_path), DecodingConfig(2)).read(member), values)


def test_attentional_maps_are_the_networks(models, photographs, tmp_path):
    config = RunConfig(
        Sources((str(photographs),)), str(tmp_path), model=str(models["attentional"]), method="attentional"
    )
    assert isinstance(open_method(config, None), MapMethod)
    run(config)
    session = open_mapper(str(models["attentional"]))
    for row in rows_of(tmp_path):
        picture = Image.open(row["path"]).convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR)
        levels = np.rint(session.maps(np.asarray(picture)[None])[0] * 255).astype(np.uint8)
        expected = Image.fromarray(levels).resize((row["width"], row["height"]), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / f"{row['output']}.png")), np.asarray(expected))
        assert row["map_mean"] == pytest.approx(levels.mean() / 255)


def invoke(*arguments, expect=ExitCode.OK):
    result = RUNNER.invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == expect, result.output
    return result.output


def levels_apart(first, second):
    """The largest difference of the maps of two runs."""
    names = [f"{row['output']}.png" for row in rows_of(first)]
    assert len(names) == 12
    pairs = ([np.asarray(Image.open(folder / name), int) for folder in (first, second)] for name in names)
    return max(abs(one - other).max() for one, other in pairs)


@pytest.mark.proof
def test_command_line_from_checkpoint_to_promoted_maps(models, photographs, priors, tmp_path):
    for kind, model in models.items():
        output = invoke("export", model, tmp_path / kind, "--probes", photographs)
        assert "mean difference of a pixel in levels" in output and "images/s with onnxruntime" in output
        assert f"{kind}, preset" in output
        assert "mean difference of a pixel in levels" in invoke("check", tmp_path / kind)
    for name, model in (("torch", models["promoter"]), ("bundle", tmp_path / "promoter")):
        invoke(
            "promote",
            "--prior",
            priors,
            "--images",
            photographs,
            "--output-folder",
            tmp_path / f"p-{name}",
            "-m",
            model,
        )
        invoke("run", photographs, "--output-folder", tmp_path / f"r-{name}", "--method", "rc", "--promote", model)
        made = "attentional" if name == "bundle" else models["attentional"]
        invoke(
            "run", photographs, "--output-folder", tmp_path / f"a-{name}", "--method", "attentional",
            "--model", tmp_path / made,
        )  # fmt: skip
    _promote_without_torch(tmp_path / "promoter", photographs, priors, tmp_path / "bare")
    assert levels_apart(tmp_path / "bare", tmp_path / "p-bundle") == 0
    for stage in "pra":
        assert levels_apart(tmp_path / f"{stage}-torch", tmp_path / f"{stage}-bundle") <= 1
    assert levels_apart(tmp_path / "p-torch", tmp_path / "r-torch") > 1


def _promote_without_torch(bundle, photographs, priors, folder):
    arguments = ["promote", "--prior", priors, "--images", photographs, "--output-folder", folder, "--model", bundle]
    code = f"""
import sys
from unsee.cli.app import app
app({[str(argument) for argument in arguments]!r}, standalone_mode=False)
assert not {{"torch", "onnx", "ray"}} & set(sys.modules), sorted(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_command_line_iterations_and_mistakes(models, photographs, priors, tmp_path):
    base = ("promote", "--prior", priors, "--images", photographs, "--model", models["promoter"])
    invoke(*base, "--output-folder", tmp_path / "two")
    message = invoke(*base, "--output-folder", tmp_path / "two", "--iterations", 5, expect=ExitCode.USAGE)
    assert "model: given maps, promoted by promoter-" in message
    invoke(*base, "--output-folder", tmp_path / "five", "--iterations", 5)
    assert levels_apart(tmp_path / "two", tmp_path / "five") > 0
    assert not (tmp_path / "dry").exists() and invoke(*base, "--output-folder", tmp_path / "dry", "--dry-run")
    out = ("--output-folder", tmp_path / "out")
    wrong = [
        (("run", photographs, *out, "--model", models["promoter"]), "promotes maps and makes none: use --promote"),
        (("run", photographs, *out, "--method", "given"), "use unsee promote"),
        (("run", photographs, *out, "--method", "attentional"), "neither the checkpoint nor a bundle"),
        ((*base, *out, "--iterations", "0"), "at least 1, got 0"),
        (("export", models["promoter"], tmp_path / "b", "--precision", "fp16"), "exported in fp32"),
        (("export", "unsee-small", tmp_path / "b", "--promote-iterations", "2"), "is no promoter"),
    ]
    for arguments, message in wrong:
        assert message in invoke(*arguments, expect=ExitCode.USAGE)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"processes": 2}, pytest.param({"distributor": "ray"}, marks=pytest.mark.proof)])
def test_processes_and_ray_give_the_same_bytes(options, models, photographs, priors, tmp_path):
    promotion = PromotionConfig(str(models["promoter"]), prior=str(priors))
    run(configured(photographs, tmp_path / "here", priors, promotion=promotion))
    if "distributor" in options:
        ray = pytest.importorskip("ray", reason="ray is not installed (the ray extra)")
    try:
        run(configured(photographs, tmp_path / "there", priors, promotion=promotion, **options))
    finally:
        if "distributor" in options:
            ray.shutdown()
    assert contents(tmp_path / "there") == contents(tmp_path / "here")
