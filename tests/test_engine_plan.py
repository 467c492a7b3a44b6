"""Plans: frozen once, checked on resume."""

import json

import pytest

from unsee.engine.plan import make_plan, read_plan
from unsee.errors import UnseeError

IDENTITY = {"model": "m", "descent": {"step": 20.0}}


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(7):
        (folder / f"{number}.jpg").write_bytes(b"x" * number)
    return folder


def planned(images, output, identity=IDENTITY):
    return make_plan(output, (str(images),), identity, 3)


def test_shards_keys_and_outputs(images, tmp_path):
    plan = planned(images, tmp_path / "out")
    assert (plan.count, plan.shards) == (7, 3)
    assert [row.key for row in plan.rows(1)] == ["000010000", "000010001", "000010002"]
    assert [(row.path, row.output) for row in plan.rows(2)] == [(str(images / "6.jpg"), "6")]
    assert read_plan(tmp_path / "out") == plan


def test_same_plan_is_taken_up_again(images, tmp_path):
    assert planned(images, tmp_path / "out") == planned(images, tmp_path / "out")


def test_changed_configuration_is_refused_with_the_difference(images, tmp_path):
    planned(images, tmp_path / "out")
    with pytest.raises(UnseeError, match=r"descent.step: 20.0 then, 10.0 now; model: m then, n now"):
        planned(images, tmp_path / "out", {"model": "n", "descent": {"step": 10.0}})


@pytest.mark.parametrize("change", ["added", "removed", "rewritten"])
def test_changed_inputs_are_refused(images, tmp_path, change):
    planned(images, tmp_path / "out")
    if change == "removed":
        (images / "3.jpg").unlink()
    else:
        (images / ("new.jpg" if change == "added" else "3.jpg")).write_bytes(b"something else")
    with pytest.raises(UnseeError, match=r"other inputs \(7 then, \d now\)"):
        planned(images, tmp_path / "out")


def test_two_inputs_for_one_output_are_refused(images, tmp_path):
    with pytest.raises(UnseeError, match=r"written more than once, such as the map of both .*/3.jpg and .*/3.jpg"):
        make_plan(tmp_path / "out", (str(images), str(images / "3.jpg")), IDENTITY, 3)
    assert not (tmp_path / "out/plan.json").exists()


@pytest.mark.parametrize("output", ["in", "in/maps"])
def test_output_inside_input_is_refused(images, tmp_path, output):
    with pytest.raises(UnseeError, match="lies in the input folder"):
        planned(images, tmp_path / output)


def test_no_images_is_an_error_and_leaves_no_plan(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnseeError, match="no images among the inputs"):
        planned(tmp_path / "empty", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("text", ["{", '{"version": 99}', '{"version": 1}'])
def test_damaged_plan_is_one_clear_error(images, tmp_path, text):
    planned(images, tmp_path / "out")
    (tmp_path / "out/plan.json").write_text(text)
    with pytest.raises(UnseeError, match=r"plan\.json"):
        planned(images, tmp_path / "out")


def test_plan_is_json_that_says_what_decides_the_bytes(images, tmp_path):
    planned(images, tmp_path / "out")
    assert json.loads((tmp_path / "out/plan.json").read_text())["identity"] == IDENTITY
