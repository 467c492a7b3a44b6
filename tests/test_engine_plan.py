"""Plans: frozen once, checked on resume."""

import json
import tarfile
import tracemalloc

import pytest

from unsee.engine.inputs.input import Input
from unsee.engine.inputs.sources import Sources
from unsee.engine.outputs.layout import Sharding
from unsee.engine.outputs.plan import read_plan
from unsee.engine.plans.planning import PlanRequest, make_plan, preview
from unsee.errors import UnseeError

IDENTITY = {"model": "m", "descent": {"step": 20.0}}


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(7):
        (folder / f"{number}.jpg").write_bytes(b"x" * number)
    return folder


def planned(images, output, identity=IDENTITY, **options):
    return make_plan(output, Sources((str(images),)), identity, Sharding(3), **options)


def test_shards_keys_and_outputs(images, tmp_path):
    plan = planned(images, tmp_path / "out")
    assert (plan.count, plan.shards) == (7, 3)
    assert [row.key for row in plan.rows(1)] == ["000010000", "000010001", "000010002"]
    assert [(row.input.path, row.input.output) for row in plan.rows(2)] == [(str(images / "6.jpg"), "6")]
    assert read_plan(tmp_path / "out") == plan


def test_same_plan_is_taken_up_again(images, tmp_path):
    assert planned(images, tmp_path / "out") == planned(images, tmp_path / "out")


def test_changed_configuration_is_refused_with_the_difference(images, tmp_path):
    planned(images, tmp_path / "out")
    with pytest.raises(UnseeError, match=r"descent.step: 20.0 then, 10.0 now; model: m then, n now"):
        planned(images, tmp_path / "out", {"model": "n", "descent": {"step": 10.0}})


EXPECTED = {
    "added": r"other inputs \(1 new \(.*new.jpg\)\)",
    "removed": r"other inputs \(1 gone \(.*3.jpg\)\)",
    "rewritten": r"other inputs \(1 changed \(.*3.jpg: 3 bytes then, 14 bytes now\)\)",
}


@pytest.mark.parametrize("change", EXPECTED)
def test_changed_inputs_are_refused(images, tmp_path, change):
    planned(images, tmp_path / "out")
    if change == "removed":
        (images / "3.jpg").unlink()
    else:
        (images / ("new.jpg" if change == "added" else "3.jpg")).write_bytes(b"something else")
    with pytest.raises(UnseeError, match=EXPECTED[change]):
        planned(images, tmp_path / "out")


def test_two_inputs_for_one_output_are_refused(images, tmp_path):
    with pytest.raises(UnseeError, match=r"/3.jpg is among the inputs more than once"):
        make_plan(tmp_path / "out", Sources((str(images), str(images / "3.jpg"))), IDENTITY, Sharding(3))
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


def test_extend_adds_shards_for_new_inputs_only(images, tmp_path):
    before = planned(images, tmp_path / "out")
    assert planned(images, tmp_path / "out", extend=True) == before
    for name in ("0a.jpg", "9.jpg"):
        (images / name).write_bytes(b"new")
    plan = planned(images, tmp_path / "out", extend=True)
    assert (plan.count, plan.shards) == (9, 4)
    assert [plan.rows(shard) for shard in range(3)] == [before.rows(shard) for shard in range(3)]
    assert [(row.key, row.input.output) for row in plan.rows(3)] == [("000030000", "0a"), ("000030001", "9")]
    assert planned(images, tmp_path / "out") == plan


def test_extend_refuses_inputs_that_are_gone(images, tmp_path):
    planned(images, tmp_path / "out")
    (images / "3.jpg").unlink()
    with pytest.raises(UnseeError, match=r"planned for other inputs \(1 gone \(.*3.jpg"):
        planned(images, tmp_path / "out", extend=True)


def test_output_names_by_key(images, tmp_path):
    plan = make_plan(tmp_path / "out", Sources((str(images), str(images))), IDENTITY, Sharding(10, "key"))
    assert [row.input.output for row in plan.rows(1)] == [f"00001/00001000{place}" for place in range(4)]


def test_preview_counts_and_writes_nothing(images, tmp_path):
    request = PlanRequest(tmp_path / "out", Sources((str(images),)), Sharding(3))
    plan, first = preview(request, most=2)
    assert (plan.count, plan.shards) == (7, 3)
    assert first == [Input(f"{images}/{number}.jpg", str(number), suffix=".jpg") for number in range(2)]
    assert not (tmp_path / "out").exists()


def test_archive_members_come_back_from_the_plan_as_they_were(images, tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(images / "5.jpg", "5.jpg")
    sources = Sources((str(tmp_path / "a.tar"),))
    plan = make_plan(tmp_path / "out", sources, IDENTITY, Sharding(3))
    assert [row.input for row in plan.rows(0)] == list(sources.stream())
    assert plan.rows(0)[0].input.size == 5


def test_planning_keeps_eight_bytes_an_input(tmp_path):
    listing = tmp_path / "list.txt"
    listing.write_text("one.jpg")
    make_plan(tmp_path / "first", Sources((str(listing),)), IDENTITY, Sharding(1000))  # imports what is imported late
    listing.write_text("".join(f"folder-with-a-long-name/{number:09d}.jpg\n" for number in range(40_000)))
    tracemalloc.start()
    plan = make_plan(tmp_path / "out", Sources((str(listing),)), IDENTITY, Sharding(1000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert plan.count == 40_000
    assert peak < 6_000_000  # a list of the paths alone would take 5 MB; one shard takes 1.5
