"""Archives: hostile tars end, and lose nothing that stands before the damage; links lead to data."""

import io
import tarfile
import time
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from unsee.engine.inputs.input import ReadingConfig, ReadingError, read
from unsee.engine.inputs.sources import Sources
from unsee.engine.inputs.tar_members import BLOCK, ordinary_header
from unsee.errors import UnseeError
from unsee.tests.hostile_tars import LINKED, MEMBER, UNLINKED, attributes, header, hostile_tars, linked_tar, member

END = bytes(1024)


def inputs_of(path, data=None, **options):
    if data is not None:
        path.write_bytes(data)
    return list(Sources((str(path),), **options).stream())


@pytest.mark.parametrize("damage", hostile_tars())
def test_hostile_tar_is_one_failed_row_and_keeps_what_stands_before(tmp_path, damage):
    start = time.monotonic()
    first, bad = inputs_of(tmp_path / "a.tar", hostile_tars()[damage])
    assert time.monotonic() - start < 5
    assert (first.output, read(first)) == ("a/first", MEMBER)
    assert bad.problem == "damaged_archive"
    with pytest.raises(ReadingError, match="archive is damaged"):
        read(bad)


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_and_foreign_names_pass(tmp_path, format):
    names = ["x" * 300 + ".jpg", "d/" * 80 + "y.jpg", "ü.jpg", "caf\udce9.jpg", "./z.jpg"]
    with tarfile.open(tmp_path / "a.tar", "w", format=format, encoding="utf-8", errors="surrogateescape") as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(MEMBER)
            archive.addfile(info, io.BytesIO(MEMBER))
    members = inputs_of(tmp_path / "a.tar")
    assert [f"{one.output}{one.suffix}" for one in members] == [f"a/{name.removeprefix('./')}" for name in names]
    assert {read(one) for one in members} == {MEMBER}


def test_pax_of_another_writer_is_understood(tmp_path):
    data = attributes(tarfile.XGLTYPE, comment=b"whole archive") + attributes(path=b"real.jpg", size=b"19")
    (one,) = inputs_of(tmp_path / "a.tar", data + bytes(header("placeholder")) + member("x")[512:] + END)
    assert (one.output, read(one)) == ("a/real", MEMBER)


def test_links_lead_to_data_and_what_is_no_file_has_a_row(tmp_path):
    members = inputs_of(tmp_path / "a.tar", linked_tar(MEMBER))
    good = {one.output + one.suffix: read(one) for one in members if not one.problem}
    assert good == dict.fromkeys((f"a/{name}" for name in LINKED), MEMBER)
    bad = {one.output.partition("@")[0].removeprefix("a/"): one.problem for one in members if one.problem}
    assert bad == UNLINKED
    assert len({one.place for one in members}) == len(members)
    with pytest.raises(ReadingError, match=r"leads to no file in the archive \(a/gone@\d+\.jpg\)"):
        read(next(one for one in members if one.output.startswith("a/gone")))


def test_same_stem_is_two_images_and_same_name_a_duplicate(tmp_path):
    data = member("1.jpg") + member("1.png") + member("./1.jpg") + member("d/1.jpg") + END
    members = inputs_of(tmp_path / "a.tar", data)
    assert [(one.output, one.suffix, one.problem) for one in members] == [
        ("a/1", ".jpg", None),
        ("a/1", ".png", None),
        ("a/1@2048", ".jpg", "duplicate_name"),
        ("a/d/1", ".jpg", None),
    ]


def test_sparse_member_is_a_row(tmp_path):
    sparse = bytes(header("s.jpg", 0, tarfile.GNUTYPE_SPARSE))
    pax = attributes(**{"GNU.sparse.major": b"1", "GNU.sparse.name": b"t.jpg"}) + member("GNUSparseFile.1/t.jpg")
    members = inputs_of(tmp_path / "a.tar", sparse + pax + member("u.jpg") + END)
    assert [one.problem for one in members] == ["sparse_member", "sparse_member", None]
    assert read(members[2]) == MEMBER


def test_formats_that_cannot_be_read_are_counted_and_captions_are_not(tmp_path):
    counts = Counter()
    (tmp_path / "a.tar").write_bytes(member("1.heic") + member("2.PSD") + member("3.json") + member("4.jpg") + END)
    assert len(list(Sources((str(tmp_path / "a.tar"),)).stream(counts))) == 1
    assert counts == {"files with suffix .heic": 1, "files with suffix .psd": 1}


@pytest.mark.parametrize("data", [b"", b"x" * 100, b"junk" * 1000])
def test_what_is_no_tar_is_one_failed_row(tmp_path, data):
    assert [one.problem for one in inputs_of(tmp_path / "a.tar", data)] == ["damaged_archive"]


COLUMNS = {
    "binary": (pa.binary(), lambda cell: cell),
    "large binary": (pa.large_binary(), lambda cell: cell),
    "binary view": (pa.binary_view(), lambda cell: cell),
    "dictionary": (pa.dictionary(pa.int32(), pa.binary()), lambda cell: cell),
    "bytes first": (pa.struct([("bytes", pa.binary()), ("path", pa.string())]), lambda cell: {"bytes": cell}),
    "path first": (pa.struct([("path", pa.string()), ("bytes", pa.binary())]), lambda cell: {"bytes": cell}),
    "large struct": (
        pa.struct([("path", pa.large_string()), ("bytes", pa.large_binary())]),
        lambda cell: {"bytes": cell, "path": "b.jpg"},
    ),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_image_columns_are_told_by_type(tmp_path, kind):
    type_, cell = COLUMNS[kind]
    column = pa.array([cell(b"one"), cell(b"two"), cell(b"three")], type_)
    pq.write_table(pa.table({"label": ["a.jpg", "b.jpg", "c.jpg"], "photo": column}), tmp_path / "a.parquet")
    members = inputs_of(tmp_path / "a.parquet")
    assert [read(one) for one in members] == [b"one", b"two", b"three"]


def test_cell_may_hold_a_path_instead_of_bytes(tmp_path):
    (tmp_path / "cat.jpg").write_bytes(MEMBER)
    cells = [{"bytes": None, "path": path} for path in ("cat.jpg", str(tmp_path / "cat.jpg"), "gone.jpg", None)]
    column = pa.array(cells, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    pq.write_table(pa.table({"image": column}), tmp_path / "a.parquet")
    members = inputs_of(tmp_path / "a.parquet")
    assert [read(one) for one in members[:2]] == [MEMBER, MEMBER]
    for one, code in zip(members[2:], ("FileNotFoundError", "empty_cell"), strict=True):
        with pytest.raises(ReadingError) as error:
            read(one)
        assert error.value.code == code


def test_image_column_by_name(tmp_path):
    table = pa.table({"sha": [b"\1"], "image": [b"one"], "mask": [b"two"], "label": [3]})
    pq.write_table(table, tmp_path / "a.parquet")
    for column, expected in ((None, b"one"), ("mask", b"two")):
        (one,) = inputs_of(tmp_path / "a.parquet", image_column=column)
        assert read(one, ReadingConfig(image_column=column)) == expected
    for column, message in (("photo", "no column photo, of sha, image, mask, label"), ("label", "label is int64")):
        with pytest.raises(UnseeError, match=message):
            inputs_of(tmp_path / "a.parquet", image_column=column)


def test_cells_and_members_larger_than_allowed_are_not_read(tmp_path):
    pq.write_table(pa.table({"image": [b"x" * 100_000, b"y"]}), tmp_path / "a.parquet", row_group_size=1)
    (tmp_path / "b.tar").write_bytes(member("1.jpg", bytes(100_000)) + member("2.jpg", b"y") + END)
    for path in ("a.parquet", "b.tar"):
        large, small = inputs_of(tmp_path / path)
        with pytest.raises(ReadingError) as error:
            read(large, ReadingConfig(max_bytes=5000))
        assert error.value.code == "too_large"
        assert read(small, ReadingConfig(max_bytes=5000)) == b"y"


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_ordinary_headers_are_read_as_tarfile_reads_them(form):
    """Headers of files with short, long, foreign and folded names, whole and with a byte changed in every place."""
    random, ordinary = np.random.default_rng(form), 0
    for name in ("a.jpg", "b" * 100, f"{'c' * 60}/{'d' * 60}.jpg", "\u00e4\udcff.png", "e/"):
        info = tarfile.TarInfo(name)
        info.size, info.mtime, info.uname = 12345, 1.5e9, "\u00fc"
        data = info.tobuf(form, "utf-8", "surrogateescape")
        for start in range(0, len(data), BLOCK):
            block = data[start : start + BLOCK]
            spoilt = [block[:at] + bytes([random.integers(256)]) + block[at + 1 :] for at in range(len(block))]
            for one in (block, *spoilt):
                found = ordinary_header(one)
                ordinary += found is not None
                if found:
                    whole = tarfile.TarInfo.frombuf(one, "utf-8", "surrogateescape")
                    assert found == (whole.name, whole.size, whole.type, whole.linkname)
    assert ordinary > 5


def test_ordinary_header_with_every_high_byte_keeps_its_sum():
    info = tarfile.TarInfo("\udcff" * 100)
    block = info.tobuf(tarfile.USTAR_FORMAT, "utf-8", "surrogateescape")
    block = block[:265] + b"\xff" * 64 + block[329:345] + b"\xff" * 155 + block[500:]
    total = sum(block) - sum(block[148:156]) + 8 * 32
    block = block[:148] + f"{total:06o}".encode() + b"\0 " + block[156:]
    found = ordinary_header(block)
    assert found and found.name == tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape").name
