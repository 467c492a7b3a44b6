"""One shard, and inputs that are no longer what they were when the plan was made."""

import os
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from unsee.engine.inputs.sources import Sources
from unsee.engine.methods.methods import open_method
from unsee.engine.methods.models import open_descender
from unsee.engine.outputs.layout import Sharding
from unsee.engine.outputs.plan import ShardJob
from unsee.engine.plans.planning import make_plan
from unsee.engine.run_config import RunConfig
from unsee.engine.shard import ShardRunner

NAMES = ["01.png", "02.jpg", "03.png"]


@pytest.fixture
def images(photographs, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for name, path in zip(NAMES, sorted(photographs.glob("*.*g")), strict=False):
        shutil.copy(path, folder / name)
    return folder


def run(images, output, change):
    """Plan, let `change` happen, run the only shard, and return its rows by name."""
    config = RunConfig(Sources((str(images),)), str(output), method="saliency-filters", shards=Sharding(10))
    plan = make_plan(output, config.sources, {}, config.shards)
    change()
    [done] = ShardRunner(open_method(config, open_descender), config).run(plan, [ShardJob(0)])
    rows = pq.read_table(output / "00000.parquet").to_pylist()
    assert done.stats["count"] == len(rows) == 3
    return {Path(row["path"]).name: row for row in rows}


def failures(rows):
    return {name: (row["status"], row["error_code"]) for name, row in rows.items() if row["status"] != "success"}


def test_a_file_that_vanishes_after_planning_is_a_row(images, tmp_path):
    rows = run(images, tmp_path / "out", (images / "02.jpg").unlink)
    assert failures(rows) == {"02.jpg": ("failed_to_read", "FileNotFoundError")}
    assert (tmp_path / "out" / "03.png").is_file()


def test_a_file_that_may_not_be_read_is_a_row(images, tmp_path, monkeypatch):
    opened = os.open

    def forbidden(path, flags, *mode, **options):  # a mode of 000 keeps nobody out where tests run as root
        if path == str(images / "01.png"):
            raise PermissionError(13, "Permission denied")
        return opened(path, flags, *mode, **options)

    rows = run(images, tmp_path / "out", lambda: monkeypatch.setattr(os, "open", forbidden))
    assert failures(rows) == {"01.png": ("failed_to_read", "PermissionError")}
    assert rows["01.png"]["error_message"] == "Permission denied"


def test_a_file_that_is_cut_after_planning_is_a_row(images, tmp_path):
    whole = (images / "03.png").read_bytes()
    rows = run(images, tmp_path / "out", lambda: (images / "03.png").write_bytes(whole[: len(whole) // 2]))
    assert failures(rows) == {"03.png": ("failed_to_decode", "damaged")}
