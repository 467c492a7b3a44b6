"""The session that runs eager PyTorch."""

import numpy as np
import torch

from ..errors import DeviceUnavailableError
from ..train.checkpoints import Classifier
from ..train.models import fingerprint
from .config import DescentConfig
from .descent import PixelClassifier, build_step
from .sessions import Descent, Session, SessionInfo


class TorchSession(Session):
    """Eager PyTorch on a CPU or a CUDA device, channels last."""

    def __init__(self, classifier: Classifier, config: DescentConfig, device: str = "cpu") -> None:
        self.device = torch_device(device)
        network = PixelClassifier(classifier.module, classifier.metadata.input).eval().requires_grad_(False)
        network = network.to(self.device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.step = build_step(network, config)
        size = classifier.metadata.input.size
        super().__init__(
            SessionInfo(fingerprint(classifier), classifier.labels, size, "torch", str(self.device)), config
        )

    @torch.no_grad()
    def _descend(self, images: np.ndarray, iterations: int, targets: np.ndarray) -> Descent:
        # A permuted NHWC array is a channels-last NCHW tensor: bytes go to the device as they are.
        start = torch.from_numpy(images).to(self.device).permute(0, 3, 1, 2).float()
        image = start
        target = torch.from_numpy(targets).to(self.device)
        reference = start.new_zeros(len(images), len(self.info.labels))
        for iteration in range(iterations):
            count = torch.tensor(iteration, device=self.device)
            step_size = torch.tensor(self.config.step_at(iteration), device=self.device)
            image, reference, target, _ = self.step(image, reference, target, count, step_size)
        delta = (start - image).contiguous()
        return Descent(delta.cpu().numpy(), reference.cpu().numpy(), target.cpu().numpy())


def torch_device(device: str) -> torch.device:
    """Return the device, `auto` meaning CUDA where there is one; raise `DeviceUnavailableError` rather than fall back."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        wanted = torch.device(device)
    except RuntimeError:
        raise DeviceUnavailableError(f"unknown device {device!r}: use auto, cpu, cuda or cuda:N") from None
    if wanted.type == "cuda" and (wanted.index or 0) >= torch.cuda.device_count():
        raise DeviceUnavailableError(
            f"{device} was asked for, but PyTorch sees {torch.cuda.device_count()} CUDA devices"
        )
    if wanted.type not in ("cpu", "cuda"):
        raise DeviceUnavailableError(f"device {device!r} is not supported: use auto, cpu, cuda or cuda:N")
    return wanted
