"""The detector in a program of its own, on a bundle."""

import subprocess
import sys

PROGRAM = """
import sys, unsee

detector = unsee.Detector(sys.argv[1], device="cpu", batch_size=2)
good = sys.argv[2]
items = [good, "missing.jpg", good, None, good]
for result in detector.stream(items, on_error="return"):
    print(getattr(result, "reason", None) or result.map.shape)
try:
    for result in detector.stream(iter(items)):
        print("then", result.map.shape)
except unsee.FailedItemError as error:
    print(error.index, error.path, error)
try:
    detector(None)
except unsee.UnseeError as error:
    print(error)
"""


def test_a_missing_file_among_good_ones(photographs, tiny_bundle):
    run = [sys.executable, "-c", PROGRAM, tiny_bundle, photographs / "01.png"]
    done = subprocess.run(run, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    shape, missing = "(58, 47)", "cannot be read (No such file or directory)"
    assert done.stdout.splitlines() == [
        *(shape, missing, shape, "expected a path, bytes, a PIL image, an array or a tensor, got NoneType", shape),
        f"then {shape}",
        f"1 missing.jpg image 1: missing.jpg: {missing}",
        "expected a path, a PIL image, an array, or several of them, got NoneType",
    ]
