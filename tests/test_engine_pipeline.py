"""Ordered, bounded overlap."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from unsee.engine.workers.daemon_threads import Workers
from unsee.engine.workers.pipeline import SharedStage, StageClock, batched, made_ahead, ordered_map, ordered_map_within


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
        opened = threading.Timer(0.1, gate.set)
        opened.start()
        results = ordered_map(pool, lambda item: gate.wait(5) and item, items(), 6)
        assert next(results) == 0
        assert len(taken) == 6
        results.close()


def test_a_result_goes_before_the_next_item_is_made():
    """The first results of a slow chain are there before its later items are begun."""
    made, seen = [], []

    def items():
        for item in range(8):
            time.sleep(0.05)
            made.append(item)
            yield item

    with Workers(1, "first") as pool, Workers(1, "second") as other:
        chain = ordered_map(other, lambda item: item, ordered_map(pool, lambda item: item, items(), 5), 5)
        for item in chain:
            seen.append((item, len(made)))
    assert [item for item, _ in seen] == [*range(8)]
    assert seen[0][1] <= 3


def test_decoding_runs_ahead_while_its_results_are_used():
    submitted = []
    with Workers(2, "test") as pool:
        results = ordered_map_within(pool, submitted.append, range(20), 6, 5, lambda item: None)
        next(results)
        time.sleep(0.1)
        assert len(submitted) == 6
        results.close()


def test_an_error_does_not_wait_for_a_call_that_hangs():
    gate, began = threading.Event(), time.monotonic()

    def work(item):
        if item:
            gate.wait(60)
        return item

    with pytest.raises(ValueError, match="mine"), Workers(2, "test") as pool:
        for result in ordered_map_within(pool, work, range(9), 4, 30, lambda item: item):
            raise ValueError(f"mine {result}")
    assert time.monotonic() - began < 5
    gate.set()


def test_an_error_waits_for_what_is_half_way_through():
    done = []
    with pytest.raises(ValueError, match="mine"), Workers(1, "test") as pool:
        pool.submit(lambda: (time.sleep(0.2), done.append(1)))
        pool.submit(done.append, 2)
        time.sleep(0.05)
        raise ValueError("mine")
    assert done == [1]


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
    assert [len(batch) for batch in batched(range(20), 8, 2)] == [2, 4, 8, 6]
    assert [len(batch) for batch in batched(range(5), 3, 9)] == [3, 2]
    assert list(batched(range(6), 4, ends=lambda item: item == 2)) == [[0, 1, 2], [3, 4, 5]]


def test_clock_adds_up_over_threads():
    clock = StageClock()

    def work(_):
        with clock.stage("work"):
            time.sleep(0.02)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert clock.seconds["work"] >= 0.08


def test_a_stage_whose_calls_overlap_counts_the_time_in_which_any_of_them_runs(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("unsee.engine.workers.pipeline.time.perf_counter", lambda: now[0])
    stage, clocks = SharedStage("work"), [StageClock() for _ in range(3)]
    first, second, third = (stage.on(clock) for clock in clocks)
    for at, enter, context in [
        (1, 1, first),
        (3, 1, second),
        (6, 0, first),
        (7, 0, second),
        (9, 1, third),
        (10, 0, third),
    ]:
        now[0] = at
        context.__enter__() if enter else context.__exit__(None, None, None)
    assert sum(clock.seconds["work"] for clock in clocks) == 7
    assert clocks[2].seconds == {"work": 1}


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


def test_items_are_made_ahead_while_the_last_is_used():
    made = []

    def items():
        for item in range(5):
            made.append(item)
            yield item

    with Workers(1, "test") as pool:
        ahead = made_ahead(pool, items(), 2)
        assert next(ahead) == 0
        time.sleep(0.1)
        assert made == [0, 1]
        assert list(ahead) == [1, 2, 3, 4]
