"""Pixels in flight stay within the budget, and one large image always runs."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from unsee.engine.decoding.pixel_budget import PixelBudget


def test_pixels_in_flight_stay_within_the_budget():
    budget, lock, in_flight, most = PixelBudget(100), threading.Lock(), 0, 0

    def hold(pixels):
        nonlocal in_flight, most
        with budget.held(pixels):
            with lock:
                in_flight += pixels
                most = max(most, in_flight)
            threading.Event().wait(0.002)
            with lock:
                in_flight -= pixels

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(hold, [60, 30, 10, 100, 50, 50, 1, 99] * 5))
    assert 60 <= most <= 100


def test_an_image_larger_than_the_budget_runs_alone():
    budget, entered = PixelBudget(10), threading.Event()

    def small():
        with budget.held(1):
            entered.set()

    with budget.held(1000):
        thread = threading.Thread(target=small)
        thread.start()
        assert not entered.wait(0.05)
    thread.join(5)
    assert entered.is_set()


def test_a_failure_gives_its_pixels_back():
    budget = PixelBudget(10)
    with pytest.raises(ValueError), budget.held(10):
        raise ValueError
    with budget.held(10):
        pass
