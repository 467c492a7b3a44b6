"""Images on the web: failures have names, private hosts are refused, and nothing is read without end."""

import os

import pytest

from unsee.tests.commands.running import FAST, rows_of, unsee
from unsee.tests.servers import serving


@pytest.fixture(scope="session")
def server(photographs):
    pytest.importorskip("aiohttp")
    image = (photographs / "00.jpg").read_bytes()
    with serving({"good.jpg": image, "list.txt": b"good.jpg\ngone.jpg\n"}) as running:
        yield f"http://127.0.0.1:{running.server_port}"


@pytest.fixture(scope="session")
def codes(server, tiny_bundle, tmp_path_factory):
    """The error code of each URL of a list, on a host that is named and on one that is not."""
    folder = tmp_path_factory.mktemp("web")
    names = ["good", "away", "gone", "broken", "endless", "trickle"]
    urls = [f"{server}/{name}.jpg" for name in names]
    urls += ["http://127.0.0.1:9/refused.jpg", "http://no-such-host.invalid/unknown.jpg", "gopher9://x/protocol.jpg"]
    urls += [server.replace("127.0.0.1", "localhost") + "/other.jpg", "http://[::ffff:10.0.0.1]/mapped.jpg"]
    sparse = folder / "sparse.jpg"
    with sparse.open("wb") as file:
        file.truncate(3 << 30)
    (folder / "list.txt").write_text("\n".join([*urls, str(sparse)]))
    options = ("--timeout", "5", "--max-bytes", "2000000", "--allow-hosts", "127.0.0.1,example.invalid")
    unsee(
        "run", folder / "list.txt", "--output-folder", folder / "out", "--model", tiny_bundle, *options, *FAST, expect=3
    )
    return {row["path"].rpartition("/")[2].removesuffix(".jpg"): row["error_code"] for row in rows_of(folder / "out")}


EXPECTED = {
    "good": None,
    "away": None,
    "gone": "http_404",
    "broken": "http_503",
    "endless": "too_large",
    "trickle": "timeout",
    "refused": "connection_refused",
    "unknown": "host_not_found",
    "protocol": "unknown_protocol",
    "other": "forbidden_host",
    "mapped": "forbidden_host",
    "sparse": "too_large",
}


@pytest.mark.parametrize("name", EXPECTED)
def test_each_failure_has_its_code(codes, name):
    assert codes[name] == EXPECTED[name]


def test_private_host_is_refused_unless_named(server, tiny_bundle, tmp_path):
    options = ("--output-folder", tmp_path / "out", "--model", tiny_bundle, *FAST)
    unsee("run", f"{server}/good.jpg", *options, expect=3)
    (row,) = rows_of(tmp_path / "out")
    assert row["error_code"] == "forbidden_host"
    assert "--allow-hosts 127.0.0.1" in row["error_message"]
    assert "--allow-hosts 127.0.0.1" in unsee("run", f"{server}/list.txt", *options, "--dry-run", expect=2).err


def test_named_host_may_be_read(server, tiny_bundle, tmp_path):
    options = ("--output-folder", tmp_path / "out", "--model", tiny_bundle, *FAST)
    unsee("run", f"{server}/list.txt", *options, "--allow-hosts", "all", expect=3)
    assert [row["error_code"] for row in rows_of(tmp_path / "out")] == [None, "http_404"]


@pytest.mark.parametrize(
    ("url", "package", "extra"),
    [
        ("https://host.invalid/a.jpg", "aiohttp", "http"),
        ("s3://bucket/a.jpg", "s3fs", "s3"),
        ("gs://b/a.jpg", "gcsfs", "gcs"),
    ],
)
def test_url_without_its_package_ends_the_run_before_anything_is_planned(
    photographs, tiny_bundle, tmp_path, url, package, extra
):
    (tmp_path / "without").mkdir()
    (tmp_path / f"without/{package}.py").write_text(f"raise ModuleNotFoundError('hidden', name={package!r})\n")
    (tmp_path / "list.txt").write_text(f"{photographs}/00.jpg\n{url}\n")
    options = ("--model", tiny_bundle, *FAST) if extra == "http" else ("--dry-run",)
    environment = {"PYTHONPATH": path_with(tmp_path / "without")}
    source = tmp_path / "list.txt"
    message = unsee("run", source, "--output-folder", tmp_path / "out", *options, expect=5, env=environment).err
    assert f"pip install 'unsee[{extra}]'" in message
    assert not (tmp_path / "out/plan.json").exists()


def path_with(folder):
    return os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
