"""How many threads the process takes."""

import pytest

from unsee.threads import cores, usable_threads


@pytest.mark.parametrize(
    ("value", "expected"), [("3", 3), ("4,2", 4), (" 2 ", 2), ("", None), ("0", None), ("many", None), ("-1", None)]
)
def test_omp_num_threads_counts_where_it_is_a_number(value, expected, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert usable_threads() == (expected or cores())
    assert cores() >= 1
