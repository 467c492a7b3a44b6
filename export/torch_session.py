"""The session that runs eager PyTorch."""

import copy
from concurrent.futures import ThreadPoolExecutor

import torch

from ..errors import DeviceUnavailableError
from ..train.checkpoints import Classifier
from ..train.models import fingerprint
from .config import DescentConfig, Precision
from .descent import PixelClassifier, Step, build_step
from .devices import check_device
from .sessions import SessionInfo, State, SteppingSession


class TorchSession(SteppingSession):
    """Eager PyTorch on a CPU or a CUDA device; channels last is the faster memory format on both.

    On the CPU every image descends by itself, on lanes of one thread each: PyTorch's convolutions round differently for
    another batch size, which a descent multiplies, and threads that wait for one another take minutes on a busy machine.
    """

    backend = "torch"
    on_lanes = True

    def __init__(
        self,
        classifier: Classifier,
        config: DescentConfig,
        device: str = "cpu",
        channels_last: bool = True,
        precision: Precision = "fp32",
    ) -> None:
        self.dtype = torch.float64 if precision == "fp64" else torch.float32
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        self.device = torch_device(device)
        module = copy.deepcopy(classifier.module)  # `to` would change the caller's
        network = PixelClassifier(module, classifier.metadata.input, precision).eval().requires_grad_(False)
        network = network.to(self.device, memory_format=self.layout)  # pyright: ignore[reportCallIssue]
        self.step = self._built(network, config)
        self.lanes = None
        if self.on_lanes and self.device.type == "cpu":
            self.lanes = ThreadPoolExecutor(torch.get_num_threads(), "descent", lambda: torch.set_num_threads(1))
        size = classifier.metadata.input.size
        super().__init__(
            SessionInfo(fingerprint(classifier), classifier.labels, size, self.backend, str(self.device)), config
        )

    def _built(self, network: PixelClassifier, config: DescentConfig) -> Step:
        return build_step(network, config, scaled=network.precision == "fp16")

    def advance(self, state: State, iterations: int, first: int = 0) -> State:
        """See `SteppingSession.advance`."""
        if self.lanes is None:
            return self._advance(state, iterations, first)
        images = state.split(len(state.image))
        return State.joined(list(self.lanes.map(lambda image: self._advance(image, iterations, first), images)))

    @torch.no_grad()
    def _advance(self, state: State, iterations: int, first: int) -> State:
        image = torch.from_numpy(state.image).to(self.device, self.dtype).contiguous(memory_format=self.layout)
        reference = torch.from_numpy(state.reference).to(self.device, self.dtype)
        target = torch.from_numpy(state.targets).to(self.device)
        for iteration in range(first, first + iterations):
            count = torch.tensor(iteration, device=self.device)
            step_size = torch.tensor(self.config.step_at(iteration), device=self.device)
            image, reference, target, _ = self.step(image, reference, target, count, step_size)
        image = image.float().contiguous(memory_format=torch.contiguous_format)
        return State(image.cpu().numpy(), reference.float().cpu().numpy(), target.cpu().numpy())


class CompiledTorchSession(TorchSession):
    """PyTorch's compiler on our own graph of the step; on CUDA it is replayed as a CUDA graph for each batch size."""

    backend = "torch-compile"
    on_lanes = False

    def _built(self, network: PixelClassifier, config: DescentConfig) -> Step:
        mode = "reduce-overhead" if self.device.type == "cuda" else None
        return torch.compile(super()._built(network, config), mode=mode, dynamic=False)


def torch_device(device: str) -> torch.device:
    """Return the device, `auto` meaning CUDA where there is one; `DeviceUnavailableError` where it is not there."""
    check_device(device)
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    wanted = torch.device(device)
    if wanted.type == "cuda" and (wanted.index or 0) >= torch.cuda.device_count():
        raise DeviceUnavailableError(
            f"{device} was asked for, but PyTorch sees {torch.cuda.device_count()} CUDA devices"
        )
    return wanted
