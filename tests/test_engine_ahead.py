"""Inputs measured in blocks, and in processes beside: the plan, its fingerprint and every refusal are as one by one."""

import io
import os
import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from unsee.engine.inputs.archives import COMPRESSED
from unsee.engine.inputs.sources import Sources
from unsee.engine.outputs.layout import Sharding
from unsee.engine.plans import ahead
from unsee.engine.plans.fingerprint import among, changed_inputs, fingerprint_now, places_of
from unsee.engine.plans.identities import measured
from unsee.engine.plans.planning import make_plan
from unsee.errors import UnseeError
from unsee.tests.naive import fingerprint

FINGERPRINT = "e32194b1723832ace71683f57b02eddb46fc7679032653aab3284a786752ebb1"
"""Of `corpus`, as runs have it that were planned before inputs were measured in blocks."""
SOURCES = Sources(("files", "list.txt", "a.tar"))


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    """Five files, a list of seven that are missing and of one on the web, and a tar of three with a link."""
    monkeypatch.chdir(tmp_path)
    Path("files").mkdir()
    for number in range(5):
        Path(f"files/{number}.jpg").write_bytes(b"x" * number)
    missing = "".join(f"none/{number:06d}.jpg\n" for number in range(7))
    Path("list.txt").write_text(f"{missing}s3://bucket/a.png\n")
    with tarfile.open("a.tar", "w") as archive:
        for number in range(3):
            info = tarfile.TarInfo(f"{number}.png")
            info.size = number + 1
            archive.addfile(info, io.BytesIO(b"abcd"[: number + 1]))
        link = tarfile.TarInfo("l.png")
        link.type, link.linkname = tarfile.SYMTYPE, "0.png"
        archive.addfile(link)
    return tmp_path


@pytest.fixture
def started(monkeypatch):
    """Measure beside from the first block on, whatever the cores; list the processes that this starts."""
    found = []

    class Listed(ahead.HeldProcess):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            found.append(self)

    monkeypatch.setattr(ahead, "HeldProcess", Listed)
    monkeypatch.setattr(ahead, "ENOUGH", 1)
    monkeypatch.setattr(ahead, "cores", lambda: 3)
    return found


def planned(folder: str, sources: Sources = SOURCES, **options):
    make_plan(Path(folder), sources, {"model": "m"}, Sharding(4), **options)
    return [Path(folder, name).read_bytes() for name in ("plan.json", "plan.parquet")]


def refusal(function: Callable[[], object]) -> str:
    with pytest.raises(UnseeError) as raised:
        function()
    return str(raised.value)


@pytest.mark.usefixtures("corpus")
def test_fingerprint_is_the_one_that_earlier_runs_have():
    members = list(SOURCES.stream())
    assert fingerprint_now(members) == FINGERPRINT == fingerprint(members)


@pytest.mark.usefixtures("corpus")
def test_block_is_measured_as_its_inputs_one_by_one():
    members = list(SOURCES.stream())
    whole, single = measured(places_of(members)), [measured(places_of([member])) for member in members]
    assert whole.sizes == [one.sizes[0] for one in single] == [*range(5), *[-1] * 8, *[10240] * 4]
    assert whole.digest == sum(one.digest for one in single)


@pytest.mark.usefixtures("corpus")
def test_plan_is_the_same_beside(started):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ahead, "cores", lambda: 1)
        here = planned("maps-1")
    assert not started
    assert planned("maps-2") == here
    assert len(started) == 2 and all(process.ended for process in started)
    assert planned("maps-2") == here, "taken up again"


@pytest.mark.usefixtures("corpus")
def test_few_inputs_start_no_process(monkeypatch, started):
    monkeypatch.setattr(ahead, "ENOUGH", 20_000)
    planned("out")
    assert not started


@pytest.mark.usefixtures("corpus")
def test_no_more_processes_to_be_had_is_no_failure(monkeypatch, started):
    here = planned("maps-1")

    def none_left(*_arguments):
        raise BlockingIOError("Resource temporarily unavailable")

    monkeypatch.setattr(ahead, "HeldProcess", none_left)
    assert planned("out") == here


def changed(folder: str) -> None:
    if folder == "maps-2":
        return
    Path("files/new.jpg").write_bytes(b"new")
    Path("files/3.jpg").write_bytes(b"something else")
    Path("files/2.jpg").unlink()


def doubled(_folder: str) -> None:
    Path("list.txt").write_text("none/1.jpg\nnone/1.jpg\n")


def in_the_way(folder: str) -> None:
    Path(folder).mkdir(exist_ok=True)
    Path(folder, "plan.json").unlink(missing_ok=True)
    Path(folder, "plan.parquet").unlink(missing_ok=True)
    Path(folder, "4.png").write_bytes(b"of nobody")


def file_and_folder(_folder: str) -> None:
    Path("list.txt").write_text("none/1.jpg\nnone/1.png/2.jpg\n")


@pytest.mark.parametrize("spoil", [changed, doubled, in_the_way, file_and_folder])
@pytest.mark.usefixtures("corpus")
def test_refusals_are_the_same_beside(spoil, started):
    for folder in ("maps-1", "maps-2"):
        planned(folder)
        if spoil is doubled or spoil is file_and_folder:
            Path(folder, "plan.json").unlink()
    count = len(started)
    for folder in ("maps-1", "maps-2"):
        spoil(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ahead, "cores", lambda: 1)
        said = refusal(lambda: planned("maps-1"))
    assert len(started) == count
    assert refusal(lambda: planned("maps-2")) == said.replace("maps-1", "maps-2")
    assert len(started) > count and all(process.ended for process in started)


@pytest.mark.usefixtures("corpus")
def test_extending_is_the_same_beside(started):
    planned("maps-1"), planned("maps-2")
    Path("files/new.jpg").write_bytes(b"new")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ahead, "cores", lambda: 1)
        here = planned("maps-1", extend=True)
    assert planned("maps-2", extend=True) == here
    assert planned("maps-2") == here


@pytest.mark.usefixtures("corpus")
def test_process_that_dies_costs_no_input(started):
    members = list(SOURCES.stream())

    def blocks():
        for place, member in enumerate(members):
            if place == 9:
                started[0].kill()
            yield places_of([member]), place

    with ahead.Ahead() as processes:
        found = list(processes.measure(blocks()))
    assert [place for place, _ in found] == list(range(len(members)))
    assert [one for _, one in found] == [measured(places_of([member])) for member in members]
    assert all(process.ended for process in started)


def test_places_that_are_no_utf8_and_hold_what_separates_them(tmp_path):
    for name in (b"\xff.jpg", b"a\nb.jpg", b"a@5.jpg", b"a#1.jpg"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(name)
    members = list(Sources((str(tmp_path),)).stream())
    assert len(members) == 4 and fingerprint_now(members) == fingerprint(members)


def test_changes_are_what_sets_say(tmp_path):
    (tmp_path / "list.txt").write_text("".join(f"{number}.jpg\n" for number in range(3000)))
    members = list(Sources((str(tmp_path / "list.txt"),)).stream())
    before = [(member, 7 if place % 1000 == 0 else -1) for place, member in enumerate(members[:2500])]
    found = changed_inputs(lambda: before, lambda: members[100:])
    assert [len(hashes) for hashes in (found.new, found.gone, found.changed)] == [500, 100, 2]
    assert found.is_new(members[2500]) and not found.is_new(members[2499])
    assert found.is_changed(members[1000]) and not found.is_changed(members[0])


@pytest.mark.parametrize("count", [0, 1, 2, 100])
def test_among_is_membership(count):
    random = np.random.default_rng(count)
    ordered, values = np.sort(random.integers(0, 150, count, np.uint64)), random.integers(0, 150, 300, np.uint64)
    assert among(ordered, values).tolist() == [value in set(ordered.tolist()) for value in values.tolist()]


def images_of_tars(folder, count):
    """Write tars of ten images each, one cut off, one that is no tar and one compressed; return their folder."""
    for number in range(count):
        with tarfile.open(folder / f"{number:03d}.tar", "w") as archive:
            for place in range(10):
                archive.addfile(tarfile.TarInfo(f"{number}-{place}.jpg"))
            archive.addfile(tarfile.TarInfo("notes.psd"))
    whole = (folder / "003.tar").read_bytes()
    (folder / "003.tar").write_bytes(whole[:1700])
    (folder / "005.tar").write_bytes(b"no tar" * 1000)
    (folder / "006.tar").write_bytes(COMPRESSED[0] * 1000)
    return folder


@pytest.mark.parametrize("form", ["folder", "pattern", "arguments", "mixed", "part"])
def test_tars_read_ahead_are_the_same(form, tmp_path, started):
    folder = tmp_path / "tars"
    folder.mkdir()
    images_of_tars(folder, 12)
    if form == "mixed":
        (folder / "004.jpg").touch()
        (folder / "list.txt").write_text("a.jpg")
    given = {
        "pattern": (f"{folder}/0*.tar",),
        "arguments": tuple(f"{folder}/{number:03d}.tar" for number in range(12) if number not in (5, 6)),
    }.get(form, (str(folder),))
    sources = Sources(given, part="2/3" if form == "part" else None)
    left_out, left_out_here = Counter(), Counter()
    expected = list(sources.stream(left_out_here))
    asked = []
    with ahead.Ahead() as processes:
        assert list(processes.measure((places_of([member]), None) for member in expected))
        begun = processes.begun
        processes.begun = lambda path: (asked.append(path), begun(path))[1]
        assert list(processes.stream(sources, left_out)) == expected
    paths = list(dict.fromkeys(member.path for member in expected if member.path.endswith(".tar")))
    assert asked == paths[1:] and left_out == left_out_here
    assert all(process.ended for process in started)


def test_tars_are_not_looked_for_among_many_images(tmp_path, monkeypatch):
    monkeypatch.setattr("unsee.engine.inputs.sources.MOST_OTHERS", 3)
    for name in ("a.tar", "b.jpg", "c.jpg", "d.jpg", "e.jpg", "f.tar"):
        (tmp_path / name).touch()
    assert list(Sources((str(tmp_path),)).tars()) == [str(tmp_path / "a.tar")]
    assert list(Sources((str(tmp_path / "a.tar"), "missing", str(tmp_path / "f.tar"))).tars()) == [
        str(tmp_path / "a.tar")
    ]
