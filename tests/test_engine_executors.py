"""Executors: processes and Ray give the same bytes, crashes are survived, failures are listed."""

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from unsee.bench.command_memory import held_by
from unsee.engine import slots as executors
from unsee.engine.cleanup.presets import PRESETS, Preset
from unsee.engine.inputs.sources import Sources
from unsee.engine.methods.batching import Batcher
from unsee.engine.outputs.layout import Sharding
from unsee.engine.outputs.plan import ShardJob
from unsee.engine.run import run
from unsee.engine.run_config import RunConfig
from unsee.engine.shards import job_board, machine_slots
from unsee.engine.shards.job_board import JobBoard
from unsee.engine.shards.open_shard import Finished, OpenShard
from unsee.engine.shards.slot import LostMachineError, Slot
from unsee.engine.slots import open_slots, schedule, shared_out
from unsee.engine.status import summarize
from unsee.engine.stores.store import Store
from unsee.engine.verify import faults
from unsee.engine.workers import ray_cluster, visible_gpus
from unsee.engine.workers.interruption import locked, working
from unsee.engine.workers.processes import HeldProcess
from unsee.engine.workers.visible_gpus import gpu_of_each
from unsee.errors import BadImageError, ExitCode, OutputError, UnseeError
from unsee.export.bundles.descent_config import DescentConfig
from unsee.export.runtime.descender import Descent
from unsee.export.runtime.model_info import ModelInfo
from unsee.tests.corpus import contents
from unsee.tests.test_engine_run import command, unsee

pytestmark = pytest.mark.ray

QUICK = Preset("reference", DescentConfig(iterations=2), PRESETS["reference"].post)


def configured(photographs, folder, model, **options):
    return RunConfig(
        Sources((str(photographs),)), str(folder), model=str(model), preset=QUICK, device="cpu", batch_size=2,
        shards=Sharding(3), **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def local(photographs, tiny_model, tmp_path_factory):
    """A run in one process."""
    folder = tmp_path_factory.mktemp("local")
    run(configured(photographs, folder, tiny_model))
    return folder


@pytest.mark.slow
def test_two_processes_give_the_same_bytes(local, photographs, tiny_model, tmp_path):
    summary = run(configured(photographs, tmp_path, tiny_model, processes=2))
    assert (summary.shards, summary.count, summary.failed) == (4, 12, 0)
    assert contents(tmp_path) == contents(local)


@pytest.mark.slow
@pytest.mark.proof
def test_ray_gives_the_same_bytes(local, photographs, tiny_model, tmp_path):
    ray = pytest.importorskip("ray", reason="ray is not installed (the ray extra)")
    try:
        run(configured(photographs, tmp_path, tiny_model, distributor="ray"))
    finally:
        ray.shutdown()
    assert contents(tmp_path) == contents(local)


@pytest.fixture()
def two_gpus(tmp_path, monkeypatch):
    """A machine whose driver knows two GPUs."""
    for address in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / "gpus" / address).mkdir(parents=True)
    monkeypatch.setattr(visible_gpus, "DRIVER_FILES", tmp_path / "gpus")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.parametrize(
    ("device", "listed", "expected"),
    [
        ("auto", None, ["0", "1", "0"]),
        ("cuda", None, ["0", "1", "0"]),
        ("cuda:1", None, [None, None, None]),
        ("cpu", None, [None, None, None]),
        ("auto", "3,GPU-5a", ["3", "GPU-5a", "3"]),
        ("auto", "", [None, None, None]),
        ("auto", "2,-1,3", ["2", "2", "2"]),
    ],
)
def test_each_process_sees_one_gpu_in_turn(two_gpus, monkeypatch, device, listed, expected):
    if listed is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed)
    assert gpu_of_each(device, 3) == expected


def test_no_driver_is_no_gpu(tmp_path, monkeypatch):
    monkeypatch.setattr(visible_gpus, "DRIVER_FILES", tmp_path / "none")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert gpu_of_each("auto", 2) == [None, None]


def test_processes_get_their_gpu_and_their_share_of_the_cores(two_gpus, photographs, tiny_model, monkeypatch):
    given = []
    monkeypatch.setattr(machine_slots, "HeldProcess", lambda make, on_row, environment: given.append(environment))
    monkeypatch.setattr(executors, "usable_threads", lambda: 5)
    config = replace(configured(photographs, "out", tiny_model), processes=3, device="auto")
    open_slots(config, Store(Path("out")), lambda row: None)
    assert given == [
        {"OMP_NUM_THREADS": "2", "CUDA_VISIBLE_DEVICES": "0"},
        {"OMP_NUM_THREADS": "2", "CUDA_VISIBLE_DEVICES": "1"},
        {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "0"},
    ]
    assert shared_out(2, 3) == [1, 1, 1]


@pytest.mark.parametrize(
    ("machines", "cores"),
    [([(1, 8)], 8), ([(8, 64), (4, 16)], 4), ([(2, 1)], 1), ([(0, 32), (1, 6)], 6)],
)
def test_an_actor_takes_the_cores_beside_its_gpu(machines, cores, monkeypatch):
    nodes = [{"Alive": True, "Resources": {"GPU": gpus, "CPU": cpus}} for gpus, cpus in machines]
    nodes.append({"Alive": False, "Resources": {"GPU": 1, "CPU": 1}})
    monkeypatch.setattr(ray_cluster, "joined_ray", lambda: SimpleNamespace(nodes=lambda: nodes))
    assert ray_cluster.needs_of_actor(on_gpu=True) == {"num_gpus": 1, "num_cpus": cores}


class FakeSlot(Slot):
    """Takes so many shards at once, and fails with them as often as a table says of one."""

    def __init__(self, failures, error=RuntimeError("crash"), at_once=1):
        self.failures, self.error, self.at_once, self.restarts, self.runs = failures, error, at_once, 0, []

    def info(self):
        raise NotImplementedError

    def run(self, take, on_done):
        while jobs := [job for job in (take() for _ in range(self.at_once)) if job]:
            self.runs.append([job.shard for job in jobs])
            for job in jobs:
                if self.failures.get(job.shard, 0) > 0:
                    self.failures[job.shard] -= 1
                    raise self.error
            for job in jobs:
                on_done(Finished(job.shard, {"shard": job.shard}))

    def restart(self):
        self.restarts += 1

    def stop(self):
        pass


def test_crashed_shards_are_tried_again_and_the_rest_is_finished():
    slots, done = [FakeSlot({1: 1, 2: 5}), FakeSlot({1: 1})], []
    failed = schedule(slots, [ShardJob(shard) for shard in range(5)], 2, lambda stats: done.append(stats["shard"]))
    assert sorted(done) == [0, 1, 3, 4] or sorted(done) == [0, 1, 2, 3, 4]
    assert set(failed) <= {2}


def test_what_was_beside_a_shard_that_crashes_is_not_blamed():
    slot, done = FakeSlot({1: 9}, at_once=3), []
    failed = schedule([slot], [ShardJob(shard) for shard in range(6)], 1, lambda stats: done.append(stats["shard"]))
    assert slot.runs == [[0, 1, 2], [3, 4, 5], [0], [1], [2], [1]]
    assert sorted(done) == [0, 2, 3, 4, 5]
    assert [*failed] == [1]
    assert slot.restarts == 3


def test_a_slot_leaves_jobs_to_those_that_are_idle():
    board = JobBoard([ShardJob(shard) for shard in range(4)], 3, 1, lambda stats: None)
    taken = [board.take(slot) for slot in (0, 0, 0, 1, 2)]
    assert [job and job.shard for job in taken] == [0, 1, None, 2, 3]
    assert board.take(0) is None


def test_a_board_that_is_closed_gives_nothing():
    board = JobBoard([ShardJob(0)], 1, 1, lambda stats: None)
    assert board.wait()
    board.take(0)
    board.close()
    assert not board.crashed(0, RuntimeError("killed"))
    assert not board.wait()


def test_a_lost_machine_counts_against_no_shard():
    slot, done = FakeSlot({1: 9}, LostMachineError()), []
    assert schedule([slot], [ShardJob(0), ShardJob(1)], 1, lambda stats: done.append(stats["shard"])) == {}
    assert (sorted(done), slot.restarts) == ([0, 1], 9)


def test_what_other_runs_do_waits_and_what_they_have_done_is_passed_over(monkeypatch):
    monkeypatch.setattr(job_board, "SECONDS_BETWEEN_LOOKS", 0.01)
    states, done = {0: ["another's", "another's", "done"], 1: ["ours"], 2: ["another's", "ours"]}, []

    def claim(job):
        return states[job.shard].pop(0)

    jobs = [ShardJob(shard) for shard in range(3)]
    assert schedule([FakeSlot({})], jobs, 1, lambda stats: done.append(stats["shard"]), claim) == {}
    assert (done, states[0]) == ([1, 2], [])


def test_a_cluster_s_new_places_are_used_and_none_that_has_no_place_is_waited_for(monkeypatch):
    monkeypatch.setattr(executors, "SECONDS_BETWEEN_LOOKS", 0.01)

    class Placeless(FakeSlot):
        def run(self, take, on_done):
            threading.Event().wait()

    come, done = [FakeSlot({})], []
    jobs = [ShardJob(shard) for shard in range(3)]
    failed = schedule(
        [Placeless({})], jobs, 1, lambda stats: done.append(stats["shard"]), growth=lambda: [come.pop()] if come else []
    )
    assert (failed, sorted(done)) == ({}, [0, 1, 2])


def test_auto_is_a_process_a_gpu(two_gpus, photographs, tiny_model, monkeypatch):
    given = []
    monkeypatch.setattr(machine_slots, "HeldProcess", lambda make, on_row, environment: given.append(environment))
    for device in ("auto", "cpu"):
        config = replace(configured(photographs, "out", tiny_model), processes="auto", device=device)
        open_slots(config, Store(Path("out")), lambda row: None)
    assert [environment["CUDA_VISIBLE_DEVICES"] for environment in given] == ["0", "1"]


def test_a_shard_that_always_fails_is_listed():
    done = []
    failed = schedule([FakeSlot({1: 99})], [ShardJob(shard) for shard in range(3)], 2, done.append)
    assert [*failed] == [1]
    assert str(failed[1]) == "crash"
    assert len(done) == 2


@pytest.mark.parametrize("error", [UnseeError("mistake"), OutputError("disk full")])
@pytest.mark.parametrize("slots", [1, 2])
def test_what_no_other_try_mends_ends_everything(error, slots):
    with pytest.raises(type(error), match=str(error)):
        offered = [FakeSlot({0: 1, 1: 1}, error) for _ in range(slots)]
        schedule(offered, [ShardJob(0), ShardJob(1)], 5, lambda stats: None)


@pytest.mark.slow
def test_a_killed_process_is_replaced_and_its_shard_done(local, photographs, tiny_model, tmp_path, monkeypatch):
    started = []

    class Watched(HeldProcess):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            started.append(self.pid)

    def kill_one():
        while not (tmp_path / "plan.json").exists():
            time.sleep(0.005)
        os.kill(started[0], signal.SIGKILL)

    monkeypatch.setattr(machine_slots, "HeldProcess", Watched)
    killer = threading.Thread(target=kill_one)
    killer.start()
    run(configured(photographs, tmp_path, tiny_model, processes=2, max_shard_retry=3))
    killer.join()
    assert len(started) == 3
    assert contents(tmp_path) == contents(local)


def test_a_shard_that_fails_is_an_error_after_the_others_are_done(photographs, tiny_model, tmp_path, monkeypatch):
    original = OpenShard.store

    def failing(self, *arguments):
        if self.number == 1:
            raise RuntimeError("bad memory")
        return original(self, *arguments)

    monkeypatch.setattr(OpenShard, "store", failing)
    with pytest.raises(
        UnseeError, match="1 shard failed, all others are done.*00001: RuntimeError: bad memory"
    ) as error:
        run(configured(photographs, tmp_path, tiny_model))
    assert error.value.exit_code == ExitCode.CRASH
    assert summarize(tmp_path).shards == 3
    monkeypatch.undo()
    assert run(configured(photographs, tmp_path, tiny_model)).shards == 4


def test_first_bad_image_can_end_the_run(photographs, tiny_model, tmp_path):
    (tmp_path / "bad.jpg").touch()
    config = configured(tmp_path / "bad.jpg", tmp_path / "out", tiny_model, on_error="raise")
    with pytest.raises(BadImageError, match="bad.jpg: failed_to_decode: the file is empty"):
        run(config)
    assert not list((tmp_path / "out").glob("*.parquet.tmp"))


def test_a_hanging_image_becomes_a_row(photographs, tiny_model, tmp_path, monkeypatch):
    from unsee.engine import shard

    gate, original = threading.Event(), shard.read

    def slow(member, *rest):
        if member.output == "04":
            gate.wait(30)
        return original(member, *rest)

    monkeypatch.setattr(shard, "read", slow)
    summary = run(configured(photographs, tmp_path, tiny_model, timeout=0.5, workers=1))
    gate.set()
    assert summary.statuses == {"success": 11, "timeout": 1}
    assert list(faults(tmp_path)) == []


def test_status_of_a_run_half_way(local):
    (local / "00003_stats.json").rename(local / "hidden")
    try:
        summary = summarize(local)
        assert (summary.shards, summary.planned_shards, summary.count, summary.planned) == (3, 4, 9, 12)
        assert summary.seconds_left == pytest.approx(summary.seconds / 3)
    finally:
        (local / "hidden").rename(local / "00003_stats.json")


def test_two_runs_cannot_share_a_folder(photographs, tiny_model, tmp_path):
    with locked(tmp_path), pytest.raises(UnseeError, match="another run is writing"):
        run(configured(photographs, tmp_path, tiny_model))
    run(configured(photographs, tmp_path, tiny_model))


def test_a_new_run_waits_for_workers_that_a_killed_one_left(photographs, tiny_model, tmp_path):
    ended = []

    def straggler(started):
        with working(tmp_path):
            started.set()
            time.sleep(0.6)
            ended.append(time.monotonic())

    started = threading.Event()
    threading.Thread(target=straggler, args=(started,)).start()
    started.wait(5)
    run(configured(photographs, tmp_path, tiny_model))
    assert ended
    assert (tmp_path / "plan.json").stat().st_mtime > time.time() - (time.monotonic() - ended[0])


class SmallMemory:
    """A session in whose memory only a few images fit."""

    info = ModelInfo("m", (), 4, "fake", "cpu")
    runner = SimpleNamespace(device="cpu")

    def __init__(self, room, error):
        self.room, self.error, self.seen = room, error, []

    def descend(self, images, iterations=None, targets=None):
        self.seen.append(len(images))
        if len(images) > self.room:
            raise self.error
        values = images.reshape(len(images), -1)[:, 0]
        return Descent(values[:, None].astype(np.float32), values[:, None].astype(np.float32), values.astype(np.int64))


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("CUDA error: out of memory")])
def test_batches_shrink_when_memory_runs_out_and_results_stay(error):
    images = np.arange(11, dtype=np.uint8).reshape(11, 1, 1, 1).repeat(4, 1).repeat(4, 2).repeat(3, 3)
    session = SmallMemory(3, error)
    batcher = Batcher(session, 8)
    np.testing.assert_array_equal(batcher.descend(images).targets, np.arange(11))
    assert session.seen == [8, 4, 2, 2, 2, 2, 2, 1]
    assert batcher.size == 2
    with pytest.raises(UnseeError, match="out of memory with a single image"):
        Batcher(SmallMemory(0, error), 4).descend(images)
    with pytest.raises(ValueError, match="other"):
        Batcher(SmallMemory(0, ValueError("other")), 4).descend(images)


@pytest.mark.slow
@pytest.mark.proof
def test_dry_run_extend_retry_status_and_verify_from_the_command_line(photographs, tiny_model, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for path in photographs.glob("*.png"):
        (folder / path.name).write_bytes(path.read_bytes())
    base = ["run", folder, "--output-folder", tmp_path / "out", "--model", tiny_model, "--iterations", 1]
    shown = subprocess.run(command(*base, "--dry-run"), capture_output=True, text=True)
    assert "5 inputs in 1 shard of up to 1000" in shown.stdout
    assert not (tmp_path / "out").exists()
    unsee(*base)
    (folder / "new.png").write_bytes((photographs / "01.png").read_bytes())
    assert "1 new" in unsee(*base, expect=ExitCode.USAGE)
    assert "6 images, 0 failed" in unsee(*base, "--extend")
    assert "nothing left to do" in unsee(*base, "--retry-errors", "all")
    assert (
        "every row and map is there"
        in subprocess.run(command("verify", tmp_path / "out"), capture_output=True, text=True).stdout
    )
    assert "2 of 2 done" in subprocess.run(command("status", tmp_path / "out"), capture_output=True, text=True).stdout
    (tmp_path / "out/new.png").unlink()
    assert "new.png is missing" in unsee("verify", tmp_path / "out", expect=ExitCode.MISMATCH)


@pytest.mark.slow
def test_full_disk_is_one_line_and_leaves_nothing_half(photographs, tiny_model, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24k", "none", disk], capture_output=True).returncode:
        pytest.skip("mounting a small file system needs rights that are not here")
    try:
        base = ["run", photographs, "--output-folder", disk / "out", "--model", tiny_model, "--iterations", 1]
        message = unsee(*base, "--number-sample-per-shard", 4, expect=ExitCode.CRASH)
        assert "No space left on device" in message
        assert not list(disk.rglob("*_stats.json"))
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.slow
def test_second_interruption_ends_at_once(tiny_model, photographs, tmp_path):
    endless = ["run", photographs, "--output-folder", tmp_path, "--model", tiny_model, "--iterations", 10_000]
    process = subprocess.Popen(command(*endless), stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "plan.json").exists() and process.poll() is None:
        time.sleep(0.01)
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    # Once the interpreter itself is shutting down, the system ends it by the signal: a shell shows 130 for both.
    assert process.returncode in (ExitCode.INTERRUPTED, -signal.SIGINT)


@pytest.mark.proof
def test_memory_does_not_grow_with_the_corpus(tmp_path):
    """Rows through the whole engine with a session that does nothing: 2,000 against 20,000 inputs."""
    if not held_by():
        pytest.skip("the system does not say what a process has held")
    script = (
        "import sys; from pathlib import Path; from unsee.tests.corpus import run_idle; "
        "run_idle(Path(sys.argv[1]), int(sys.argv[2]))"
    )
    peaks = []
    for count in (2000, 20_000):
        result = subprocess.run(
            [sys.executable, "-c", script, tmp_path / str(count), str(count)],
            capture_output=True,
            text=True,
            check=True,
        )
        peaks.append(float(result.stdout.split()[-1]))
    assert peaks[1] < 1.1 * peaks[0], peaks


def test_replace_keeps_configurations_checked(photographs, tiny_model, tmp_path):
    with pytest.raises(UnseeError, match="processes"):
        replace(configured(photographs, tmp_path, tiny_model), processes=0)
