"""`unsee run ... --output-folder s3://...`: the same results as in a folder, whatever the store goes through."""

import os
import signal
import subprocess
import time

import pytest

from unsee.tests.commands.running import bytes_below, command, unsee
from unsee.tests.corpus import picture_files
from unsee.tests.object_store import BUCKET, SECRET, object_store

URL = f"s3://{BUCKET}/run"
OPTIONS = ("--method", "rbd", "--number-sample-per-shard", 4, "--batch-size", 2, "--max-error-rate", 1)


@pytest.fixture(scope="module")
def store():
    with object_store() as running:
        yield running


@pytest.fixture
def images(tmp_path):
    """Fourteen pictures in two folders, two of them damaged."""
    for number, data in enumerate(picture_files(14)):
        path = tmp_path / "in" / f"{number % 2}" / f"{number:02d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data[:40] if number % 9 == 0 else data)
    return tmp_path


class Bench:
    """Commands in one folder, with a cache of their own."""

    def __init__(self, store, folder):
        self.store, self.folder = store, folder
        self.environment = {**store.environment, "XDG_CACHE_HOME": str(folder / "cache")}

    def __call__(self, *arguments, **options):
        return unsee(*arguments, cwd=self.folder, env=self.environment, **options)

    def start(self, *arguments):
        environment = {**os.environ, **self.environment}
        return subprocess.Popen(command(*arguments), cwd=self.folder, env=environment, stderr=subprocess.DEVNULL)

    def left(self):
        return [path.name for path in (self.folder / "cache").rglob("*") if path.is_file()]


@pytest.fixture
def bench(store, images):
    return Bench(store, images)


def compared(contents):
    """Return results without the times that done-marks hold."""
    return {name: b"" if name.endswith("_stats.json") else data for name, data in contents.items()}


def assert_as_in_a_folder(bench, url, local):
    prefix = url.removeprefix(f"s3://{BUCKET}/")
    assert compared(bench.store.contents(prefix)) == compared(bytes_below(bench.folder / local))
    assert bench.store.uploads() == []


@pytest.mark.parametrize(
    "output_format",
    ["files", *(pytest.param(name, marks=pytest.mark.proof) for name in ("webdataset", "npy", "parquet"))],
)
def test_results_are_those_of_a_folder(bench, output_format):
    options = (*OPTIONS, "--output-format", output_format, "--segment", "jaccard")
    url = f"s3://{BUCKET}/{output_format}"
    bench("run", "in", *options, "--output-folder", "local")
    bench("run", "in", *options, "--output-folder", url)
    assert_as_in_a_folder(bench, url, "local")
    assert "every row and map is there" in bench("verify", url).out
    assert "14 of 14 done, 2 failed" in bench("status", url).out
    assert "nothing left to do" in bench("run", "in", *options, "--output-folder", url).err
    assert bench.left() == []


def test_nothing_of_the_credentials_is_kept_or_shown(bench):
    found = bench("run", "in", *OPTIONS, "--output-folder", f"s3://{BUCKET}/secret", "--processes", 2)
    everything = [*bench.store.contents("secret").values(), *bytes_below(bench.folder / "cache").values()]
    assert SECRET not in found.out + found.err
    assert not [data for data in everything if SECRET.encode() in data]


@pytest.mark.proof
def test_what_is_missing_is_told_and_made_again(bench):
    url = f"s3://{BUCKET}/repaired"
    bench("run", "in", *OPTIONS, "--output-folder", "local")
    bench("run", "in", *OPTIONS, "--output-folder", url)
    bench.store.system().rm_file(f"{BUCKET}/repaired/1/03.png")
    assert "1/03.jpg is missing" in bench("verify", url, expect=4).err
    bench("run", "in", *OPTIONS, "--output-folder", url, "--repair")
    assert_as_in_a_folder(bench, url, "local")


@pytest.mark.proof
def test_failed_images_are_tried_again_and_new_ones_added(bench):
    url = f"s3://{BUCKET}/grown"
    bench("run", "in/0", *OPTIONS, "--output-folder", url)
    pictures = picture_files(14)
    (bench.folder / "in/0/00.jpg").write_bytes(pictures[0])
    for again in (("--retry-errors", "all"), ("--extend",)):
        sources = ["in/0"] if again[0] == "--retry-errors" else ["in/0", "in/1"]
        bench("run", *sources, *OPTIONS, "--output-folder", url, *again)
    assert "14 of 14 done, 1 failed" in bench("status", url).out
    assert "every row and map is there" in bench("verify", url).out
    refused = bench("run", "in/0", *OPTIONS, "--output-folder", url, expect=2)
    assert url in refused.err and "cache" not in refused.err


@pytest.mark.proof
def test_overwriting_leaves_nothing_of_the_earlier_run(bench):
    url = f"s3://{BUCKET}/anew"
    bench("run", "in", *OPTIONS, "--output-folder", url, "--number-sample-per-shard", 2)
    bench("run", "in/1", *OPTIONS, "--output-folder", "local")
    bench("run", "in/1", *OPTIONS, "--output-folder", url, "--overwrite")
    assert_as_in_a_folder(bench, url, "local")


def test_killed_runs_end_with_the_same_bytes(bench):
    url = f"s3://{BUCKET}/killed"
    bench("run", "in", *OPTIONS, "--output-folder", "local")
    for seconds in (1.0, 2.5, 3.0):
        process = bench.start("run", "in", *OPTIONS, "--output-folder", url)
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
    bench("run", "in", *OPTIONS, "--output-folder", url)
    assert_as_in_a_folder(bench, url, "local")
    assert bench.left() == []


def test_two_drivers_share_a_run(bench):
    url = f"s3://{BUCKET}/shared"
    bench("run", "in", *OPTIONS, "--output-folder", "local")
    drivers = [bench.start("run", "in", *OPTIONS, "--output-folder", url) for _ in range(2)]
    assert [driver.wait(120) for driver in drivers] == [0, 0]
    assert_as_in_a_folder(bench, url, "local")


@pytest.mark.proof
def test_pages_scores_and_indexes_read_there(bench):
    url = f"s3://{BUCKET}/read"
    options = (*OPTIONS, "--rows-with", "rle,box")
    bench("run", "in", *options, "--output-folder", url)
    assert bench("report", url).out.strip() == f"{url}/report.html"
    assert bench("index", url, "--as", "coco").out.strip() == f"{url}/labels.json"
    contents = bench.store.contents("read")
    assert b"data:image" in contents["report.html"] and b'"annotations"' in contents["labels.json"]
    bench("run", "in", *options, "--output-folder", "local")
    bench("eval", "--pred", url, "--gt", "local", "--json", "scores.json")
    assert (bench.folder / "scores.json").exists()


@pytest.mark.parametrize(
    ("arguments", "expect", "told"),
    [
        (("in", "-o", "s3://nowhere/run"), 1, "nowhere"),
        (("in", "-o", "nothing-knows://run"), 2, "Protocol not known"),
        ((f"s3://{BUCKET}/photos", "-o", f"s3://{BUCKET}/photos/run"), 2, "lies in the input folder"),
        ((f"s3a://{BUCKET}/photos/**/*.jpg", "-o", f"s3://{BUCKET}/photos/run"), 2, "lies in the input folder"),
        (("list.txt", "-o", f"s3://{BUCKET}/photos/"), 2, "choose another output folder"),
        (("in", "-o", f"s3://{BUCKET}/photos"), 2, "which no run made"),
    ],
)
def test_places_that_cannot_be(bench, arguments, expect, told):
    bench.store.system().pipe_file(f"{BUCKET}/photos/a.jpg", picture_files(1)[0])
    (bench.folder / "list.txt").write_text(f"s3://{BUCKET}/photos/a.jpg\n")
    assert told in bench("run", *arguments, *OPTIONS, expect=expect).err
    assert list(bench.store.contents("photos")) == ["a.jpg"]


def test_a_store_that_lets_nobody_in_is_one_line(images):
    nobody = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_SHARED_CREDENTIALS_FILE": "none", "AWS_CONFIG_FILE": "none"}
    refused = unsee(
        "run", "in", "-o", URL, cwd=images, env={**nobody, "XDG_CACHE_HOME": str(images / "cache")}, expect=1
    )
    assert "Unable to locate credentials" in refused.err and refused.err.count("\n") == 1


@pytest.mark.proof
def test_a_store_that_fails_now_and_then_changes_nothing(images):
    with object_store(failing=0.05) as failing:
        bench = Bench(failing, images)
        bench("run", "in", *OPTIONS, "--output-folder", "local")
        bench("run", "in", *OPTIONS, "--output-folder", URL)
        assert "every row and map is there" in bench("verify", URL).out
        system = failing.system()
        names = [name for name in bytes_below(images / "local") if not name.endswith("_stats.json")]
        assert all(system.cat_file(f"{BUCKET}/run/{name}") == (images / "local" / name).read_bytes() for name in names)
