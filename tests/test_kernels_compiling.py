"""The message before kernels are compiled."""

import logging
import statistics

import numba

from unsee.kernels.compiling import _Announcer, announce_compiling, message
from unsee.kernels.parallel import compiled


class Event:
    """An event of a dispatcher."""

    def __init__(self, dispatcher):
        self.data = {"dispatcher": dispatcher}


def double(value):
    return 2 * value


double.__module__ = "unsee.kernels.double"


def test_it_is_said_once_and_of_our_kernels_only(caplog):
    announcer, kernel = _Announcer(), numba.njit(double)
    with caplog.at_level(logging.INFO, "unsee"):
        announcer.on_start(Event(numba.njit(statistics.mean)))
        announcer.on_start(Event(kernel))
        announcer.on_start(Event(kernel))
    assert [record.message for record in caplog.records] == [message(None)]
    assert "NUMBA_CACHE_DIR" in message(None)
    assert message("/somewhere") == "compiling kernels (once)"


def test_it_is_said_before_a_kernel_that_is_not_in_the_cache(caplog, tmp_path, monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    announce_compiling.cache_clear()
    announce_compiling()
    with caplog.at_level(logging.INFO, "unsee"):
        assert compiled(double)(4) == 8
    said = {record.message for record in caplog.records}  # an announcer of this process may have been there before
    assert said == {"compiling kernels (once)"}
