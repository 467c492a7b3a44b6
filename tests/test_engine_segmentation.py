"""Refinement from random seeds, proposals, masks, and their way through a run."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from unsee.engine.inputs.sources import Sources
from unsee.engine.methods.detection import Detection
from unsee.engine.outputs.layout import Sharding
from unsee.engine.run import run
from unsee.engine.run_config import Resumption, RunConfig
from unsee.engine.segmentation.proposals import best_proposal, jaccard, own_proposals, read_proposals
from unsee.engine.segmentation.saliency_cut import saliency_cut
from unsee.engine.segmentation.segment_config import SegmentConfig
from unsee.engine.segmentation.segmenter import Segmenter, refined, superpixels
from unsee.engine.verify import faults
from unsee.errors import UnseeError

RNG = np.random.default_rng(6)
DISK = np.hypot(*(np.mgrid[:64, :64] - 32)) < 18


def picture(noise=8):
    """A red disk on green, with a map that is bright in its middle and has a spot outside."""
    image = np.where(DISK[..., None], [200, 60, 50], [60, 120, 70]) + RNG.integers(-noise, noise + 1, (64, 64, 3))
    saliency = np.exp(-((np.mgrid[:64, :64] - 32) ** 2).sum(0) / 100)
    saliency[2:6, 2:6] = 0.6
    return image.astype(np.uint8), saliency.astype(np.float32)


def test_worked_case_cc_19_jaccard():
    mask = np.zeros((3, 3), bool)
    mask[:2, :2] = True
    proposals = np.zeros((3, 3, 3), bool)
    proposals[0, :2], proposals[1, 0, :2], proposals[2, :, 1:] = True, True, True
    np.testing.assert_allclose(jaccard(mask, proposals), [2 / 3, 1 / 2, 1 / 4])
    np.testing.assert_array_equal(best_proposal(mask, proposals), proposals[0])


def test_jaccard_of_empty_masks():
    nothing, proposals = np.zeros((3, 3), bool), np.array([np.ones((3, 3), bool), np.zeros((3, 3), bool)])
    assert jaccard(nothing, proposals).tolist() == [0, 1]
    np.testing.assert_array_equal(best_proposal(nothing, proposals[:1]), proposals[0])  # all score 0: the first


@pytest.mark.parametrize("refine", ["ultrametric", "random-walker"])
def test_refinement_fills_the_object_and_drops_the_spot(refine):
    image, saliency = picture()
    config = SegmentConfig(refine=refine)
    better = refined(saliency[None], superpixels(image[None], config), config)[0]
    np.testing.assert_allclose(better * 100, np.rint(better * 100), atol=1e-4)  # a mean of 100 binary masks
    chosen = better > 0.5
    assert (chosen & DISK).sum() / (chosen | DISK).sum() > 0.85
    assert (saliency > 0.5)[DISK].mean() < 0.3


@pytest.mark.parametrize("refine", ["ultrametric", "random-walker"])
def test_refinement_is_repeatable_and_batch_mates_do_not_matter(refine):
    pictures = [picture(noise) for noise in (4, 12, 30)]
    images, maps = (np.stack(part) for part in zip(*pictures, strict=True))
    config = SegmentConfig(refine=refine, runs=20)
    together = refined(maps, superpixels(images, config), config)
    for place in range(3):
        single = superpixels(images[place : place + 1], config)
        np.testing.assert_array_equal(together[place], refined(maps[place : place + 1], single, config)[0])
    other = SegmentConfig(refine=refine, runs=20, seed=1)
    assert (refined(maps, superpixels(images, other), other) != together).any()


def test_zero_map_stays_zero_and_constant_image_is_fine():
    image, _ = picture()
    config = SegmentConfig(refine="ultrametric")
    assert not refined(np.zeros((1, 64, 64), np.float32), superpixels(image[None], config), config).any()
    flat = superpixels(np.full((1, 64, 64, 3), 90, np.uint8), config)
    assert np.isfinite(refined(picture()[1][None], flat, config)).all()


def test_own_proposals_hold_the_object():
    image, _ = picture()
    regions = superpixels(image[None], SegmentConfig())
    (proposals,) = own_proposals(regions.labels, regions.statistics, 50)
    assert proposals.shape == (50, 64, 64)
    assert jaccard(DISK, proposals).max() > 0.85
    assert not proposals.all((1, 2)).any()


def test_proposals_from_images_and_from_mcg_files(tmp_path):
    io = pytest.importorskip("scipy.io")
    (tmp_path / "one").mkdir()
    for number, mask in enumerate([DISK, ~DISK]):
        Image.fromarray(mask).convert("L").save(tmp_path / "one" / f"{number}.png")
    np.testing.assert_array_equal(read_proposals(tmp_path, "one", (64, 64), 50), [DISK, ~DISK])
    assert read_proposals(tmp_path, "one", (32, 32), 1).shape == (1, 32, 32)
    labels = np.empty((2, 1), object)
    labels[:, 0] = [np.array([1.0, 2.0]), np.array([3.0])]
    fields = {
        "superpixels": np.where(DISK, 3, 1 + (np.mgrid[:64, :64][0] > 30)),
        "labels": labels,
        "scores": [0.2, 0.9],
    }
    io.savemat(tmp_path / "two.mat", {"proposals": fields})
    np.testing.assert_array_equal(read_proposals(tmp_path, "two", (64, 64), 50), [DISK, ~DISK])
    with pytest.raises(UnseeError, match="no proposals of three"):
        read_proposals(tmp_path, "three", (64, 64), 50)
    (tmp_path / "four.mat").write_bytes(b"nonsense")
    with pytest.raises(UnseeError, match="not MCG proposals"):
        read_proposals(tmp_path, "four", (64, 64), 50)


def test_saliency_cut_finds_the_disk_and_nothing_in_a_flat_map():
    pytest.importorskip("cv2")
    image, saliency = picture()
    saliency = saliency**0.4  # pixels below a tenth count as background for good
    mask = saliency_cut(image, saliency)
    assert (mask & DISK).sum() / (mask | DISK).sum() > 0.9
    np.testing.assert_array_equal(mask, saliency_cut(image, saliency))
    assert not saliency_cut(image, np.full((64, 64), 0.3, np.float32)).any()


def test_segmenter_leaves_failed_images_and_the_map_alone():
    image, saliency = picture()
    found = [None, Detection(np.rint(saliency * 255).astype(np.uint8), saliency)]
    first, second = Segmenter(SegmentConfig("jaccard")).segmented(found, np.stack([image, image]), ["a", "b"])
    assert first is None
    assert second.mask.dtype == bool
    np.testing.assert_array_equal(second.saliency, found[1].saliency)
    _, better = Segmenter(SegmentConfig("none", "ultrametric")).segmented(found, np.stack([image, image]), ["a", "b"])
    assert better.mask is None
    assert (better.saliency != found[1].saliency).any()


@pytest.mark.parametrize(
    "wrong", [{"segment": "mcg"}, {"refine": "more"}, {"runs": 0}, {"dark_share": 0}, {"seed": -1}]
)
def test_configuration_is_checked(wrong):
    with pytest.raises(UnseeError):
        SegmentConfig(**wrong)


def configured(photographs, folder, **changes):
    options = {"segmentation": SegmentConfig("jaccard", runs=5), "shards": Sharding(5), "batch_size": 4}
    return RunConfig(Sources((str(photographs),)), str(folder), method="rbd", **{**options, **changes})


@pytest.fixture(scope="module")
def runs(photographs, tmp_path_factory):
    folders = {name: tmp_path_factory.mktemp(name) for name in ("files", "webdataset", "parquet", "npy", "dummy")}
    for name, folder in folders.items():
        assert run(configured(photographs, folder, output_format=name)).failed == 0
    return folders


def rows_of(folder):
    return [row for path in sorted(folder.glob("0*.parquet")) for row in pq.read_table(path).to_pylist()]


def test_masks_lie_beside_the_maps(runs):
    for row in rows_of(runs["files"]):
        mask = Image.open(runs["files"] / f"{row['output']}.mask.png")
        assert mask.mode == "L"
        assert mask.size == (row["width"], row["height"])
        assert set(np.unique(mask)) <= {0, 255}
        assert abs(np.asarray(mask).mean() / 255 - row["mask_area"]) < 0.05
        assert row["label"] is None
        assert row["score"] is None


def test_every_format_stores_the_same_masks_and_verify_passes(runs):
    for name, folder in runs.items():
        assert not list(faults(folder)), name
    hashes = [
        [row["mask_sha256"] for row in rows_of(runs[name])] for name in ("files", "webdataset", "parquet", "dummy")
    ]
    assert hashes[0] == hashes[1] == hashes[2] == hashes[3]
    assert np.load(runs["npy"] / "00000_masks.npy").shape == (5, 320, 320)


def test_verify_finds_a_missing_and_a_changed_mask(photographs, tmp_path):
    run(configured(photographs, tmp_path))
    first, second = [tmp_path / f"{row['output']}.mask.png" for row in rows_of(tmp_path)[:2]]
    first.unlink()
    second.write_bytes(second.read_bytes()[:-1])
    found = list(faults(tmp_path))
    assert len(found) == 2
    assert "the mask of" in found[0]
    assert "is missing" in found[0]
    assert "is not the one that was written" in found[1]


@pytest.mark.parametrize("name", ["files", "webdataset", "parquet", "npy"])
def test_masks_are_carried_over_when_failed_images_are_tried_again(photographs, tmp_path, name):
    folder = tmp_path / "in"
    folder.mkdir()
    for path in sorted(photographs.glob("*.*g"))[:4]:
        (folder / path.name).write_bytes(path.read_bytes())
    sound = (folder / "02.jpg").read_bytes()
    (folder / "02.jpg").write_bytes(bytes(len(sound)))
    config = configured(folder, tmp_path / "out", output_format=name)
    assert run(config).failed == 1
    before = {row["key"]: row["mask_sha256"] for row in rows_of(tmp_path / "out")}
    (folder / "02.jpg").write_bytes(sound)
    assert run(config, resumption=Resumption(retry="all")).failed == 0
    after = {row["key"]: row["mask_sha256"] for row in rows_of(tmp_path / "out")}
    assert all(after[key] for key in after)
    assert all(after[key] == before[key] for key in before if before[key])
    assert not list(faults(tmp_path / "out"))


def test_another_segmentation_is_another_run(runs, photographs):
    with pytest.raises(UnseeError, match="segmentation.seed: 0 then, 3 now"):
        run(configured(photographs, runs["files"], segmentation=SegmentConfig("jaccard", runs=5, seed=3)))
    assert json.loads((runs["files"] / "plan.json").read_text())["identity"]["method"] == "rbd"


def test_given_proposals_are_used(photographs, tmp_path):
    for path in photographs.rglob("*.*g"):
        folder = tmp_path / "proposals" / path.relative_to(photographs).with_suffix("")
        folder.mkdir(parents=True)
        half = np.zeros((10, 10), np.uint8)
        half[:5] = 255
        Image.fromarray(half).save(folder / "0.png")
    given = SegmentConfig("jaccard", runs=5, proposals=str(tmp_path / "proposals"))
    run(configured(photographs, tmp_path / "out", segmentation=given))
    assert {row["mask_area"] for row in rows_of(tmp_path / "out")} == {0.5}
