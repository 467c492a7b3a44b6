"""One shard, and inputs that are no longer what they were when the plan was made."""

import os
import shutil
import time
import weakref
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from unsee.engine import shard
from unsee.engine.inputs.sources import Sources
from unsee.engine.methods.methods import open_method
from unsee.engine.methods.models import open_descender
from unsee.engine.outputs.done_marks import is_done
from unsee.engine.outputs.layout import Sharding
from unsee.engine.outputs.plan import ShardJob
from unsee.engine.plans.planning import make_plan
from unsee.engine.run_config import RunConfig
from unsee.engine.shard import ShardRunner
from unsee.engine.shards.open_shard import OpenShard
from unsee.tests.fake_nvjpeg import FakeNvJpeg

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


def rows_with_decoder(folder, output, monkeypatch, refused=(), **options):
    device = FakeNvJpeg()
    device.refused = set(refused)
    monkeypatch.setattr("unsee.engine.shard.NvJpeg", lambda name: device)
    config = RunConfig(Sources((str(folder),)), str(output), method="saliency-filters", shards=Sharding(100), **options)
    plan = make_plan(output, config.sources, {}, config.shards)
    runner = ShardRunner(open_method(config, open_descender), config)
    list(runner.run(plan, [ShardJob(0)]))
    runner.close()
    return device, {Path(row["path"]).name: row for row in pq.read_table(output / "00000.parquet").to_pylist()}


def test_jpegs_that_a_gpu_decodes_give_the_rows_and_maps_of_full_size(images, tmp_path, monkeypatch):
    """Here Pillow decodes in its place, a batch at a time; what is no whole JPEG is decoded as ever."""
    for number in range(20):
        Image.open(images / "02.jpg").convert("RGB").resize((50 + number, 60)).save(images / f"{number + 10}.jpg")
    whole = (images / "10.jpg").read_bytes()
    (images / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    odd = whole + b"what only a CPU decodes"
    (images / "odd.jpg").write_bytes(odd)
    options = {"exact_decoding": True}
    device, ours = rows_with_decoder(images, tmp_path / "gpu", monkeypatch, [odd], decoder="nvjpeg", **options)
    none, theirs = rows_with_decoder(images, tmp_path / "cpu", monkeypatch, **options)
    assert ours == theirs and len(ours) == 25
    assert failures(ours) == {"cut.jpg": ("failed_to_decode", "damaged")}
    assert sum(device.calls) >= 20 and max(device.calls) > 5 and device.freed > 0
    assert none.calls == []


def test_what_a_gpu_refuses_is_decoded_within_the_time_of_an_image(images, tmp_path, monkeypatch):
    for number in range(3):
        Image.open(images / "02.jpg").convert("RGB").resize((50 + number, 60)).save(images / f"{number + 10}.jpg")
    refused = (images / "11.jpg").read_bytes()
    usual = shard.decode
    monkeypatch.setattr(
        shard, "decode", lambda data, config: (data == refused and time.sleep(30)) or usual(data, config)
    )
    started = time.monotonic()
    _, rows = rows_with_decoder(images, tmp_path / "gpu", monkeypatch, [refused], decoder="nvjpeg", timeout=0.5)
    assert failures(rows) == {"11.jpg": ("failed_to_decode", "timeout")} and len(rows) == 6
    assert time.monotonic() - started < 25


def test_batches_are_put_together_in_the_memory_that_the_model_takes_them_from(images, tmp_path, monkeypatch):
    config = RunConfig(Sources((str(images),)), str(tmp_path / "out"), method="saliency-filters", shards=Sharding(2))
    plan = make_plan(tmp_path / "out", config.sources, {}, config.shards)
    method = open_method(config, open_descender)
    rooms, computed, compute = [], [], method.compute
    monkeypatch.setattr(method, "batch_memory", lambda shape: rooms.append(np.empty(shape, np.uint8)) or rooms[-1])
    monkeypatch.setattr(method, "compute", lambda pixels: computed.append(pixels) or compute(pixels))
    assert len(list(ShardRunner(method, config).run(plan, [ShardJob(0), ShardJob(1)]))) == 2
    assert computed and all(any(pixels is room for room in rooms) for pixels in computed)


def test_a_shard_is_read_before_the_one_before_it_is_final_and_few_are_open(images, tmp_path, monkeypatch):
    """With a slow disk, over many shards of one image each."""
    for number in range(30):
        shutil.copy(images / "01.png", images / f"more{number}.png")
    config = RunConfig(
        Sources((str(images),)), str(tmp_path / "out"), method="saliency-filters", shards=Sharding(1), batch_size=2
    )
    plan = make_plan(tmp_path / "out", config.sources, {}, config.shards)
    opened, most, finish = weakref.WeakSet(), [], OpenShard.finish

    def slow(self, not_before):
        opened.add(self)
        time.sleep(0.01)
        most.append(sum(not is_done(plan.folder, shard) for shard in taken))
        return finish(self, not_before)

    taken = []
    jobs = (taken.append(shard) or ShardJob(shard) for shard in range(plan.shards))
    monkeypatch.setattr(OpenShard, "finish", slow)
    done = list(ShardRunner(open_method(config, open_descender), config).run(plan, jobs))
    assert [one.shard for one in done] == [*range(33)]
    assert 2 <= max(most) <= 20
    assert len(opened) <= 2
    times = [(one.stats["start_time"], one.stats["end_time"]) for one in done]
    assert all(start >= end for (_, end), (start, _) in pairwise(times))
