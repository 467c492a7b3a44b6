"""torchvision beside a PyTorch that its compiled operators were not built for: classifiers need none of them."""

import importlib.util

import pytest
import torch

_LIBRARY = []


def import_torchvision():
    """Import torchvision, or skip the test where it is not installed."""
    if importlib.util.find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed")
    if not hasattr(torch.ops.torchvision, "nms") and not _LIBRARY:
        _LIBRARY.append(torch.library.Library("torchvision", "DEF"))
        for name in ("nms", "qnms"):  # declared, so that the import finds them
            _LIBRARY[0].define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return pytest.importorskip("torchvision")


def import_timm():
    """Import timm, or skip the test where it is not installed."""
    import_torchvision()
    return pytest.importorskip("timm")
