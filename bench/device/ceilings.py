"""What the GPU can do at best: copies on it, to it and from it, and matrix products in every precision."""

from functools import partial

from .scale import Deadline, Found, Scale, need_gpu
from .timing import seconds_of

COPIED = 2**30
"""Bytes of a copy on the device."""
BATCH = 128 * 3 * 224 * 224
"""Pixels of a batch."""
SIDE = 8192
"""Of the matrices."""


def measure(scale: Scale, deadline: Deadline) -> Found:
    """Yield rates in GB/s and TFLOP/s."""
    need_gpu(scale)
    import torch

    source = torch.empty(COPIED, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    seconds = seconds_of(lambda: target.copy_(source), True)
    yield "copy_gigabytes_per_second", round(2e-9 * COPIED / seconds, 1)
    for name, dtype in (("float32", torch.float32), ("uint8", torch.uint8)):
        for pinned in (True, False):
            host = torch.empty(BATCH, dtype=dtype, pin_memory=pinned)
            there = torch.empty(BATCH, dtype=dtype, device="cuda")
            size, kind = 1e-9 * host.nbytes, f"{name}_{'pinned' if pinned else 'pageable'}"
            yield f"upload_{kind}", round(size / seconds_of(partial(there.copy_, host, non_blocking=True), True), 2)
            yield f"download_{kind}", round(size / seconds_of(partial(host.copy_, there, non_blocking=True), True), 2)
    yield from _products(deadline)


def _products(deadline: Deadline) -> Found:
    import torch

    from ...export.runtime.pytorch.torch_loop import arithmetic

    for precision, dtype in (
        ("fp32", torch.float32), ("tf32", torch.float32), ("fp16", torch.float16), ("bf16", torch.bfloat16),
    ):  # fmt: skip
        if deadline.left <= 0:
            return
        left, right = (torch.randn(SIDE, SIDE, device="cuda", dtype=dtype) for _ in range(2))
        with arithmetic(precision):
            seconds = seconds_of(partial(torch.mm, left, right), True)
        yield f"product_{precision}_teraflops", round(2e-12 * SIDE**3 / seconds, 1)
