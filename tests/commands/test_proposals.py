"""An image whose proposals cannot be used fails alone."""

import pytest
from PIL import Image

from unsee.tests.commands.running import FAST, rows_of, statuses, unsee
from unsee.tests.pictures import encoded, picture

NAMES = ("good", "none", "empty", "broken", "foreign", "cut", "flat")
FAILED = {
    "none.png": "no_proposals",
    "empty.png": "no_proposals",
    "broken.png": "damaged_proposals",
    "foreign.png": "damaged_proposals",
    "cut.png": "damaged_proposals",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Photographs, and proposals of which some are missing or damaged."""
    folder = tmp_path_factory.mktemp("proposals")
    proposal = encoded(picture().convert("L").point(lambda level: 255 * (level > 120)), "PNG")
    contents = {"good": proposal, "flat": proposal, "foreign": b"%!PS-Adobe-3.0 EPSF-3.0\n", "cut": proposal[:90]}
    for name in NAMES:
        image = Image.new("RGB", (50, 40), "navy") if name == "flat" else picture()
        (folder / "in").mkdir(exist_ok=True)
        (folder / "in" / f"{name}.png").write_bytes(encoded(image, "PNG"))
        if name in contents:
            (folder / "given" / name).mkdir(parents=True)
            (folder / "given" / name / "0.png").write_bytes(contents[name])
    (folder / "given/empty").mkdir()
    (folder / "given/broken.mat").write_bytes(b"MATLAB 5.0 MAT-file" + b"\xff" * 300)
    return folder


def test_proposals_without_what_chooses_from_them_are_refused(folder, tmp_path):
    words = ("--output-folder", "out", "--proposals", folder / "given")
    said = unsee("run", folder / "in", *words, cwd=tmp_path, expect=2).err
    assert "proposals are what --segment jaccard chooses from" in said and list(tmp_path.iterdir()) == []


def test_images_without_usable_proposals_fail_alone(folder, tiny_bundle):
    given = ("--segment", "jaccard", "--proposals", folder / "given")
    unsee("run", folder / "in", "--output-folder", folder / "out", "--model", tiny_bundle, *FAST, *given, expect=3)
    found = statuses(folder / "out")
    failed = {name: ("failed_to_segment", code) for name, code in FAILED.items()}
    assert found == failed | dict.fromkeys(("good.png", "flat.png"), ("success", None))
    assert all("proposals" in row["error_message"] or "given" in row["error_message"] for row in rows_of(folder / "out")
               if row["output"].removesuffix(".png") not in ("good", "flat"))  # fmt: skip


def test_own_proposals_of_a_flat_image_give_an_empty_mask(folder, tiny_bundle):
    run = ("run", folder / "in/flat.png", folder / "in/good.png", "--model", tiny_bundle, *FAST)
    unsee(*run, "--output-folder", folder / "own", "--segment", "jaccard")
    found = statuses(folder / "own", "status", "mask_area")
    assert found["flat.png"] == ("success", 0)
    assert found["good.png"][0] == "success"


def test_missing_folder_of_proposals_is_refused_before_anything_runs(folder, tiny_bundle):
    run = ("run", folder / "in", "--output-folder", folder / "refused", "--model", tiny_bundle, *FAST)
    message = unsee(*run, "--segment", "jaccard", "--proposals", folder / "nowhere", expect=2).err
    assert "no such folder of proposals" in message
