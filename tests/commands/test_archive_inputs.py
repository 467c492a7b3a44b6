"""Archives of other writers and hostile ones: each image has its row, and damage is one row, never the end."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from unsee.tests.commands.running import FAST, rows_of, unsee
from unsee.tests.hostile_tars import LINKED, UNLINKED, attributes, hostile_tars, linked_tar, member


def results(folder):
    """Return, by output, the error codes of the rows."""
    return {row["output"]: row["error_code"] for row in rows_of(folder)}


@pytest.fixture(scope="session")
def from_tars(photographs, tiny_bundle, tmp_path_factory):
    """A run over hostile tars, a tar with links, and one of a sample in two formats."""
    folder = tmp_path_factory.mktemp("tars")
    image = (photographs / "00.jpg").read_bytes()
    (folder / "in").mkdir()
    for name, data in hostile_tars(image).items():
        (folder / f"in/{name}.tar").write_bytes(data)
    (folder / "in/linked.tar").write_bytes(linked_tar(image))
    long_name = attributes(path=b"x" * 300 + b".jpg") + member("placeholder", image)
    png = (photographs / "01.png").read_bytes()
    (folder / "in/samples.tar").write_bytes(member("1.jpg", image) + member("1.png", png) + long_name + bytes(1024))
    unsee("run", folder / "in", "--output-folder", folder / "out", "--model", tiny_bundle, *FAST, expect=3)
    return results(folder / "out"), folder


@pytest.mark.parametrize("damage", hostile_tars())
def test_hostile_tar_is_one_failed_row(from_tars, damage):
    mine = [
        code for output, code in from_tars[0].items() if output.startswith(f"{damage}/") or f"/{damage}.tar" in output
    ]
    assert sorted(map(str, mine)) == ["None", "damaged_archive"]


def test_links_are_what_they_lead_to(from_tars):
    outcome, folder = from_tars
    mine = {key.removeprefix("linked/"): code for key, code in outcome.items() if key.startswith("linked/")}
    good = {name.removesuffix(".jpg") for name in LINKED}
    assert {key for key, code in mine.items() if code is None} == good
    assert {key.partition("@")[0]: code for key, code in mine.items() if code} == UNLINKED
    maps = {(folder / f"out/linked/{name}.png").read_bytes() for name in good}
    assert len(maps) == 1


def test_sample_in_two_formats_is_two_images(from_tars):
    assert {key for key in from_tars[0] if key.startswith("samples/1")} == {"samples/1.jpg", "samples/1.png"}
    assert (from_tars[1] / "out/samples/1.png.png").is_file()


def test_long_name_in_a_tar_is_an_image_like_others(from_tars):
    (output,) = (key for key in from_tars[0] if key.startswith("samples/x"))
    assert from_tars[0][output] is None
    assert (from_tars[1] / f"out/{output}.png").is_file()


def test_tar_that_the_user_names_is_processed_up_to_its_damage(from_tars, tiny_bundle, tmp_path):
    tar = from_tars[1] / "in/size-2-62.tar"
    unsee("run", tar, "--output-folder", tmp_path / "out", "--model", tiny_bundle, *FAST, expect=3)
    assert sorted(map(str, results(tmp_path / "out").values())) == ["None", "damaged_archive"]


def test_brace_range_of_tars(from_tars, photographs, tiny_bundle, tmp_path):
    image = (photographs / "00.jpg").read_bytes()
    for number in range(3):
        (tmp_path / f"0000{number}.tar").write_bytes(member("a.jpg", image) + bytes(1024))
    options = ("--output-folder", "out", "--model", tiny_bundle, "--output-format", "dummy", *FAST)
    unsee("run", "{00000..00002}.tar", *options, cwd=tmp_path)
    assert list(results(tmp_path / "out")) == ["00000/a", "00001/a", "00002/a"]
    message = unsee("run", "{00000..00009}.tar", *options, "--dry-run", cwd=tmp_path, expect=2).err
    assert "00003.tar: no such file" in message


@pytest.fixture(scope="session")
def hugging_face(photographs, tmp_path_factory):
    """A folder of parquet files by several writers, one image each, and what such files may hold besides."""
    folder = tmp_path_factory.mktemp("hf")
    image = (photographs / "00.jpg").read_bytes()
    (folder / "cat.jpg").write_bytes(image)
    polars = pa.struct([("bytes", pa.large_binary()), ("path", pa.large_string())])
    path_first = pa.struct([("path", pa.string()), ("bytes", pa.binary())])
    columns = {
        "polars": pa.array([{"bytes": image, "path": "x.jpg"}, {"bytes": None, "path": None}], polars),
        "path-first": pa.array([{"bytes": image, "path": "x.jpg"}], path_first),
        "path-only": pa.array([{"bytes": None, "path": "cat.jpg"}, {"bytes": None, "path": "gone.jpg"}], path_first),
        "dictionary": pa.array([image, image]).dictionary_encode(),
        "huge": pa.array([image + bytes(3_000_000)]),
    }
    for name, column in columns.items():
        pq.write_table(pa.table({"label": range(len(column)), "photo": column}), folder / f"{name}.parquet")
    return folder


def test_parquet_files_of_other_writers(hugging_face, tiny_bundle, tmp_path):
    options = ("--output-folder", tmp_path / "out", "--model", tiny_bundle, "--max-bytes", "1000000", *FAST)
    unsee("run", f"{hugging_face}/*.parquet", *options, "--image-column", "photo", expect=3)
    assert results(tmp_path / "out") == {
        "dictionary/00000000": None,
        "dictionary/00000001": None,
        "huge/00000000": "too_large",
        "path-first/00000000": None,
        "path-only/00000000": None,
        "path-only/00000001": "FileNotFoundError",
        "polars/00000000": None,
        "polars/00000001": "empty_cell",
    }


@pytest.mark.parametrize(
    ("column", "message"), [("picture", "no column picture, of label, photo"), ("label", "label is int64, not image")]
)
def test_image_column_that_cannot_be_is_refused(hugging_face, tmp_path, column, message):
    options = ("--output-folder", tmp_path / "out", "--image-column", column, "--dry-run")
    assert message in unsee("run", hugging_face / "polars.parquet", *options, expect=2).err
