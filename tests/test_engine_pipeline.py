"""Ordered, bounded overlap."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from unsee.engine.pipeline import StageClock, batched, ordered_map, ordered_map_within
from unsee.engine.workers import Workers


def test_results_keep_their_order_while_calls_overlap():
    def slow(item):
        time.sleep(0.02 if item % 3 == 0 else 0)
        return item * 10

    with ThreadPoolExecutor(4) as pool:
        assert list(ordered_map(pool, slow, range(20), 5)) == [item * 10 for item in range(20)]


def test_no_more_than_ahead_items_are_taken():
    taken, gate = [], threading.Event()

    def items():
        for item in range(100):
            taken.append(item)
            yield item

    with ThreadPoolExecutor(2) as pool:
        results = ordered_map(pool, lambda item: item, items(), 6)
        assert next(results) == 0
        gate.wait(0.05)
        assert len(taken) == 6
        results.close()


def test_an_error_comes_out_and_stops_the_rest():
    def fail(item):
        if item == 3:
            raise ValueError("third")
        return item

    with ThreadPoolExecutor(1) as pool, pytest.raises(ValueError, match="third"):
        list(ordered_map(pool, fail, range(50), 4))


def test_batches():
    assert list(batched(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(batched([], 2)) == []


def test_clock_adds_up_over_threads():
    clock = StageClock()

    def work(_):
        with clock.stage("work"):
            time.sleep(0.02)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert clock.seconds["work"] >= 0.08


def test_a_call_that_hangs_becomes_what_late_returns():
    gate = threading.Event()

    def work(item):
        if item in (1, 4):
            gate.wait(20)
        return item

    with Workers(1, "test") as pool:
        results = list(ordered_map_within(pool, work, range(7), 3, 0.1, lambda item: f"late {item}"))
    gate.set()
    assert results == [0, "late 1", 2, 3, "late 4", 5, 6]


def test_a_timeout_that_the_call_itself_raises_is_an_error():
    def work(item):
        raise TimeoutError("its own")

    with Workers(1, "test") as pool, pytest.raises(TimeoutError, match="its own"):
        list(ordered_map_within(pool, work, range(3), 2, 5, lambda item: item))


def test_workers_run_everything_before_they_end():
    done = []
    with Workers(3, "test") as pool:
        for item in range(50):
            pool.submit(done.append, item)
    assert sorted(done) == list(range(50))
