"""What a log shows of a run while it goes on, and that nothing but results stays behind."""

import re
import subprocess

from unsee.tests.commands.running import FAST, command, unsee

LINE = re.compile(r"^(\d+) of 12 images, (\d+) failed, [\d.e-]+ images/s(, \d+:\d\d:\d\d left)?$", re.MULTILINE)


def test_a_log_shows_the_first_result_the_shards_and_the_end(photographs, tiny_bundle, tmp_path):
    base = ("run", photographs, "--output-folder", tmp_path, "--model", tiny_bundle, *FAST)
    err = unsee(*base).err
    lines = LINE.findall(err)
    assert lines[0][0] == "1" and lines[0][2]
    assert lines[-1] == ("12", "0", "")
    assert [int(done) for done, _, _ in lines] == sorted(int(done) for done, _, _ in lines)
    assert not list(tmp_path.glob(".*lock"))
    again = unsee(*base).err
    assert "nothing left to do" in again
    assert "compiling" not in again
    assert not list(tmp_path.glob(".*lock"))


def test_two_processes_report_images_and_not_only_shards(photographs, tiny_bundle, tmp_path):
    base = ("run", photographs, "--output-folder", tmp_path, "--model", tiny_bundle, "--iterations", 1)
    lines = LINE.findall(unsee(*base, "--processes", 2).err)
    assert lines[0][0] == "1"
    assert lines[-1][0] == "12"


def test_a_run_goes_on_when_nobody_reads_its_log_any_more(photographs, tmp_path):
    arguments = ("run", photographs, "-o", "maps", "--method", "rbd", "--number-sample-per-shard", 2)
    process = subprocess.Popen(command(*arguments), cwd=tmp_path, stderr=subprocess.PIPE)
    assert process.stderr
    process.stderr.readline()
    process.stderr.close()
    assert process.wait(120) == 0
    assert "every row and map is there" in unsee("verify", "maps", cwd=tmp_path).out
