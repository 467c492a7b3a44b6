"""Reading from the web: which hosts, how much, how long, and what a failure is called."""

import threading
import time

import pytest

from unsee.engine.inputs.input import Input, ReadingConfig, ReadingError, read
from unsee.engine.inputs.sources import Sources
from unsee.engine.remote.filesystems import protocols_of
from unsee.engine.remote.hosts import ForbiddenHostError, is_public, refuse_private, refuse_private_host
from unsee.errors import MissingExtraError, UnseeError
from unsee.tests.servers import serving

PRIVATE = (
    "127.0.0.1", "127.9.9.9", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1",
    "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:127.0.0.1",
    "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::",
)  # fmt: skip
PUBLIC = ("8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808")


@pytest.mark.parametrize("address", PRIVATE + PUBLIC)
def test_public_addresses(address):
    assert is_public(address) == (address in PUBLIC)


@pytest.mark.parametrize("allowed", ["all", "localhost", "LOCALHOST", "[::1]"])
def test_named_hosts_may_be_read(allowed):
    host = "::1" if ":" in allowed else "localhost."
    refuse_private(host, ["::1"], (allowed,))
    with pytest.raises(ForbiddenHostError, match="--allow-hosts other"):
        refuse_private("other", ["8.8.8.8", "::1"], ("elsewhere",))


def test_other_protocols_that_name_a_host_are_checked_too():
    with pytest.raises(ForbiddenHostError):
        refuse_private_host("ftp://127.0.0.1:2121/a.jpg", ())
    with pytest.raises(ReadingError) as error:
        read(Input("ftp://localhost/a.jpg", "a"))
    assert error.value.code == "forbidden_host"


@pytest.mark.parametrize("url", ["reference://a.jpg::memory://references.json", "generic://http://127.0.0.1/a.jpg"])
def test_protocols_that_hide_where_they_lead_are_refused(url):
    assert code_of(url, ReadingConfig(allow_hosts=("127.0.0.1",))) == "forbidden_host"


def test_chained_protocols():
    assert protocols_of("zip://a/b.png::https://host/c.zip") == ["zip", "https"]
    assert protocols_of("simplecache::s3://bucket/a.jpg") == ["simplecache", "s3"]
    assert protocols_of("simplecache::http://[::1]:80/a.jpg") == ["simplecache", "http"]


@pytest.fixture(scope="module")
def server():
    pytest.importorskip("aiohttp")
    with serving({"good.jpg": b"bytes", "list.txt": b"good.jpg\ngone.jpg\n"}) as running:
        yield running


ALLOWED = ReadingConfig(max_bytes=1_000_000, timeout=20, allow_hosts=("127.0.0.1", "localhost"))


def code_of(url, reading):
    with pytest.raises(ReadingError) as error:
        read(Input(url, "a"), reading)
    return error.value.code


def test_one_code_for_each_failure(server):
    base = f"http://127.0.0.1:{server.server_port}"
    assert read(Input(f"{base}/good.jpg?size=3", "a"), ALLOWED) == b"bytes"
    assert read(Input(f"{base}/away.jpg", "a"), ALLOWED) == b"bytes"
    assert code_of(f"{base}/gone.jpg", ALLOWED) == "http_404"
    assert code_of(f"{base}/broken.jpg", ALLOWED) == "http_503"
    assert code_of("http://127.0.0.1:9/a.jpg", ALLOWED) == "connection_refused"
    assert code_of("http://no-such-host.invalid/a.jpg", ALLOWED) == "host_not_found"
    assert code_of("http://exa mple/a.jpg", ALLOWED) in ("bad_url", "host_not_found")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"])
def test_private_hosts_are_refused_unless_named(server, host):
    url = f"http://{host}:{server.server_port}/good.jpg"
    assert code_of(url, ReadingConfig()) == "forbidden_host"
    if "[" not in host:  # which fsspec takes for links of its chain
        assert code_of(f"simplecache::{url}", ReadingConfig()) == "forbidden_host"


def test_redirect_to_a_private_host_is_refused(server):
    url = f"http://localhost:{server.server_port}/away.jpg"
    assert code_of(url, ReadingConfig(allow_hosts=("localhost",))) == "forbidden_host"


def test_endless_body_is_too_large(server):
    server.sent = 0
    assert code_of(f"http://127.0.0.1:{server.server_port}/endless.jpg", ALLOWED) == "too_large"
    assert server.sent < 100_000_000


def test_trickling_body_ends_in_time(server):
    start = time.monotonic()
    reading = ReadingConfig(timeout=1, allow_hosts=("all",))
    assert code_of(f"http://127.0.0.1:{server.server_port}/trickle.jpg", reading) == "timeout"
    assert time.monotonic() - start < 10


def test_lists_on_a_server_need_the_host_named_too(server):
    url = f"http://127.0.0.1:{server.server_port}/list.txt"
    with pytest.raises(UnseeError, match="--allow-hosts 127.0.0.1"):
        list(Sources((url,)).stream())
    members = list(Sources((url,), allow_hosts=("127.0.0.1",)).stream())
    assert [member.path for member in members] == [url.replace("list.txt", name) for name in ("good.jpg", "gone.jpg")]
    assert read(members[0], ALLOWED) == b"bytes"


def test_protocol_that_needs_a_package_ends_planning(tmp_path):
    (tmp_path / "a.txt").write_text("memory://a.jpg\nhdfs3x://b.jpg\nabfs://c.jpg\n")
    members = Sources((str(tmp_path / "a.txt"),)).stream()
    assert next(members).problem is None
    assert next(members).problem == "unknown_protocol"
    with pytest.raises(MissingExtraError, match="reading abfs:// URLs needs"):
        next(members)


def test_file_that_grows_is_bounded_too(tmp_path):
    (tmp_path / "sparse.jpg").touch()
    with (tmp_path / "sparse.jpg").open("r+b") as file:
        file.truncate(3 << 30)
    before = threading.active_count()
    assert code_of(str(tmp_path / "sparse.jpg"), ReadingConfig()) == "too_large"
    assert threading.active_count() == before


@pytest.mark.parametrize("values", [{"max_bytes": 0}, {"timeout": 0}])
def test_bounds_are_checked(values):
    with pytest.raises(UnseeError, match="must be"):
        ReadingConfig(**values)
