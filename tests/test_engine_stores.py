"""Results elsewhere: objects with requests that fail, claims of drivers that die, and what another machine finds."""

import os
import pickle
import uuid
from dataclasses import replace
from pathlib import Path

import fsspec
import pytest

from unsee.engine.inputs.sources import Sources
from unsee.engine.outputs.layout import Sharding
from unsee.engine.outputs.plan import ShardJob
from unsee.engine.plans.planning import make_plan
from unsee.engine.run import run
from unsee.engine.run_config import RunConfig
from unsee.engine.stores import object_folder, shard_claims
from unsee.engine.stores.object_folder import ObjectFolder
from unsee.engine.stores.remote_store import RemoteStore
from unsee.engine.stores.shard_claims import Claims
from unsee.engine.stores.store import OutdatedPlanError
from unsee.errors import MissingExtraError, OutputError, UnseeError
from unsee.tests.corpus import contents, picture_files


@pytest.fixture
def url(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return f"memory://{uuid.uuid4().hex}/run"


@pytest.fixture
def images(tmp_path):
    for number, data in enumerate(picture_files(7)):
        path = tmp_path / "in" / f"{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "in"


def configured(images, output):
    return RunConfig(
        sources=Sources((str(images),)), output_folder=str(output), method="rbd", shards=Sharding(3), batch_size=2
    )


def objects_of(url):
    system = fsspec.filesystem("memory")
    root = "/" + url.removeprefix("memory://")
    return {name.removeprefix(root + "/"): system.cat_file(name) for name in system.find(root)}


def test_objects_are_written_once_and_read_back(url, tmp_path):
    folder = ObjectFolder(url)
    assert folder.get("a") is None and folder.names() == [] and not folder.exists("a")
    assert folder.create("a", b"one") and not folder.create("a", b"two")
    folder.put("b/c", b"three")
    assert (folder.names(), folder.below("b"), folder.get("a")) == (["a", "b"], ["b/c"], b"one")
    name = os.fsdecode(b"bad\xff.png")
    (tmp_path / name).write_bytes(b"four")
    folder.upload(tmp_path, [name])
    assert folder.get("bad\\xff.png") == b"four"
    folder.download(tmp_path / "back", [name, "b/c", "not there"])
    found = [path.read_bytes() for path in sorted((tmp_path / "back").rglob("*")) if path.is_file()]
    assert found == [b"three", b"four"]
    folder.remove(["a", "not there"])
    assert not folder.exists("a")


def test_requests_are_tried_again_unless_that_mends_nothing(url, monkeypatch):
    folder, pauses = ObjectFolder(url), []
    monkeypatch.setattr(object_folder.time, "sleep", pauses.append)
    errors = [TimeoutError("slow down"), OSError("cut")]

    def failing(path, data):
        if errors:
            raise errors.pop()

    system = folder._opened[0]
    monkeypatch.setattr(type(system), "pipe_file", lambda self, path, data: failing(path, data))
    folder.put("a", b"")
    assert len(pauses) == 2 and 0.1 <= pauses[0] <= 0.2 <= pauses[1] <= 0.4
    errors[:] = [OSError("out of order")] * 9
    with pytest.raises(OutputError, match=r"run/a: .*OSError: out of order"):
        folder.put("a", b"")
    assert len(errors) == 9 - object_folder.TRIES
    errors[:] = [PermissionError("keep out")] * 9
    with pytest.raises(OutputError, match="keep out"):
        folder.put("a", b"")
    assert len(errors) == 8


def test_a_store_without_conditions_gives_an_object_to_whoever_was_last(url, monkeypatch):
    folder = ObjectFolder(url)
    system = type(folder._opened[0])
    original = system.pipe_file

    def unconditional(self, path, data, mode="overwrite"):
        if mode == "create":
            raise NotImplementedError
        original(self, path, data)

    monkeypatch.setattr(system, "pipe_file", unconditional)
    assert folder.create("a", b"one") and not folder.create("a", b"two") and folder.create("a", b"one")


def test_messages_and_workers_hold_nothing_of_a_url_s_credentials(images):
    folder = ObjectFolder("ftp://me:secret@127.0.0.1:9/run")
    assert folder.shown == "ftp://127.0.0.1:9/run"
    assert "_opened" not in vars(pickle.loads(pickle.dumps(folder)))
    with pytest.raises(UnseeError) as caught:
        run(replace(configured(images, "x"), output_folder="ftp://me:secret@127.0.0.1:9/run"))
    assert "secret" not in str(caught.value)


def test_a_package_that_is_missing_is_named_with_what_it_is_for():
    with pytest.raises(MissingExtraError, match="keeping results at abfs:// URLs needs"):
        ObjectFolder("abfs://container/run")


def test_claims_of_the_living_stand_and_those_of_the_dead_fall(url, monkeypatch):
    one, other = Claims(ObjectFolder(url)), Claims(ObjectFolder(url))
    with one.living():
        assert one.take("00000") and one.take("00000") and not other.take("00000")
    assert other.take("00000")
    # As a killed driver of another machine leaves it: a claim, and a sign of life that stays the same.
    elsewhere = Claims(ObjectFolder(url))
    elsewhere.driver = f"somewhere.else-1-{uuid.uuid4().hex}"
    elsewhere._beat(3)
    assert elsewhere.take("00001")
    assert not other.take("00001")
    clock = shard_claims.time.monotonic
    monkeypatch.setattr(shard_claims.time, "monotonic", lambda: clock() + shard_claims.SECONDS_OF_SILENCE)
    assert other.take("00001")
    assert other.objects.get(".claims/00001") == other.driver.encode()


def test_a_beat_keeps_claims(url, monkeypatch):
    one, other = Claims(ObjectFolder(url)), Claims(ObjectFolder(url))
    one.driver = "somewhere.else-1-x"
    one._beat(1)
    assert one.take("a") and not other.take("a")
    one._beat(2)
    clock = shard_claims.time.monotonic
    monkeypatch.setattr(shard_claims.time, "monotonic", lambda: clock() + 2 * shard_claims.SECONDS_OF_SILENCE)
    assert not other.take("a")


def test_a_run_into_memory_is_that_into_a_folder(url, images, tmp_path):
    run(configured(images, tmp_path / "out"))
    run(configured(images, url))
    found = {name: data for name, data in objects_of(url).items() if not name.endswith("_stats.json")}
    assert found == contents(tmp_path / "out")
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_what_was_finished_and_not_published_is_published(url, images, monkeypatch):
    class Killed(BaseException):
        """Stands for a kill."""

    def killed(store, plan, shard):
        if shard == 1:
            raise Killed
        published(store, plan, shard)

    published = RemoteStore.publish
    monkeypatch.setattr(RemoteStore, "publish", killed)
    with pytest.raises(Killed):
        run(configured(images, url))
    assert "00001_stats.json" not in objects_of(url)
    monkeypatch.setattr(RemoteStore, "publish", published)
    store = RemoteStore(url)
    with store.held():
        store.bring_plan(with_rows=False)
        assert {"00001_stats.json", "00001.parquet", "4.png"} <= objects_of(url).keys()
        assert not (store.folder / "4.png").exists()
    run(configured(images, url))


def test_a_plan_of_another_run_is_taken_up_and_not_overwritten(url, images):
    one, other = RemoteStore(url), RemoteStore(url)
    with one.held(), other.held():
        assert one.folder != other.folder
        for store in (one, other):
            store.bring_plan(with_rows=False)
            make_plan(store.folder, Sources((str(images),)), {"of": store.folder.name}, Sharding(3))
        one.publish_plan()
        with pytest.raises(OutdatedPlanError):
            other.publish_plan()
        other.bring_plan(with_rows=False)
        assert other.plan().identity == {"of": one.folder.name}


def test_shards_of_another_driver_are_passed_over_once_they_are_done(url, images):
    one, other = RemoteStore(url), RemoteStore(url)
    with one.held(), other.held():
        assert one.claim(ShardJob(0)) == "ours"
        assert (other.claim(ShardJob(0)), other.claim(ShardJob(1))) == ("another's", "ours")
        other.objects.put("00000_stats.json", b"{}")
        assert (other.claim(ShardJob(0)), one.claim(ShardJob(1))) == ("done", "another's")


def test_a_worker_elsewhere_brings_the_plan_by_itself(url, images, tmp_path):
    store = RemoteStore(url)
    with store.held():
        store.bring_plan(with_rows=False)
        make_plan(store.folder, Sources((str(images),)), {}, Sharding(3))
        store.publish_plan()
        worker = pickle.loads(pickle.dumps(store.elsewhere()))
        plan = worker.plan()
        assert (plan.count, plan.folder == store.folder) == (7, False)
        assert Path(plan.folder).is_relative_to(tmp_path / "cache")
        worker._stay.close()
