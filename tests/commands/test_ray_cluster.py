"""`unsee run --distributor ray` on clusters whose machines come and go, with results that no machine mounts."""

import os
import subprocess
import time

import pytest

from unsee.tests.commands.running import bytes_below, command, unsee
from unsee.tests.corpus import picture_files
from unsee.tests.object_store import BUCKET, object_store

pytestmark = [pytest.mark.ray, pytest.mark.proof, pytest.mark.timeout(600)]

URL = f"s3://{BUCKET}/run"
IMAGES = 240
OPTIONS = ("--method", "rbd", "--number-sample-per-shard", 8, "--batch-size", 4)


@pytest.fixture
def images(tmp_path):
    (tmp_path / "in").mkdir()
    for number, data in enumerate(picture_files(IMAGES)):
        (tmp_path / "in" / f"{number:03d}.jpg").write_bytes(data)
    return tmp_path


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A cluster whose head computes nothing, beside an object store that its machines can reach."""
    pytest.importorskip("ray", reason="ray is not installed (the ray extra)")
    from ray.cluster_utils import Cluster

    with object_store() as store:
        for name, value in {**store.environment, "XDG_CACHE_HOME": str(tmp_path / "cache")}.items():
            monkeypatch.setenv(name, value)
        running = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        monkeypatch.setenv("RAY_ADDRESS", running.address)
        try:
            yield running, store
        finally:
            running.shutdown()


def compared(contents):
    return {name: b"" if name.endswith("_stats.json") else data for name, data in contents.items()}


def done(store):
    return sum(name.endswith("_stats.json") for name in store.system().find(f"{BUCKET}/run"))


def wait_for_shards(process, store, count):
    deadline = time.monotonic() + 240
    while done(store) < count:
        assert process.poll() is None and time.monotonic() < deadline, f"{done(store)} shards, {process.poll()}"
        time.sleep(0.1)


def test_machines_come_and_go_and_the_bytes_are_the_same(cluster, images):
    machines, store = cluster
    unsee("run", "in", *OPTIONS, "--output-folder", "local", cwd=images)
    first = machines.add_node(num_cpus=1)
    arguments = ("run", "in", *OPTIONS, "--distributor", "ray", "--processes", "auto", "--output-folder", URL)
    with (images / "log").open("w") as log:
        process = subprocess.Popen(command(*arguments), cwd=images, stderr=log, env=dict(os.environ))
        wait_for_shards(process, store, 2)
        machines.add_node(num_cpus=1)
        wait_for_shards(process, store, 8)
        machines.remove_node(first, allow_graceful=False)
        wait_for_shards(process, store, 14)
        machines.add_node(num_cpus=1)
        assert process.wait(300) == 0, (images / "log").read_text()
    assert compared(store.contents("run")) == compared(bytes_below(images / "local"))
    assert "every row and map is there" in unsee("verify", URL).out
