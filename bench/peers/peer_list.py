"""The peers that make maps, by name: each is opened where its packages are installed, and then maps batches."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ...engine.cleanup.presets import PRESETS
from ...errors import UnseeError
from ...export.bundles.descent_config import DescentConfig
from ...extras import require

if TYPE_CHECKING:
    from ...train.networks.checkpoints import Classifier

PeerMaps = Callable[[np.ndarray], np.ndarray]
"""From images, uint8 [B,S,S,3] RGB, to finished maps, float [B,S,S] in 0..1."""


@dataclass(frozen=True)
class Peer:
    """needs_model: whether it looks through a classifier. open: takes classifier (if any), descent and device.

    Opening raises `MissingExtraError` where a package is not installed.
    """

    needs_model: bool
    open: "Callable[[Classifier | None, DescentConfig, str], PeerMaps]"


def find_peer(name: str) -> Peer:
    """Return a peer by name; an unknown name is a `UnseeError`."""
    if name not in PEERS:
        raise UnseeError(f"unknown peer {name!r}; known: {', '.join(PEERS)}")
    return PEERS[name]


def _plain(classifier: "Classifier | None", descent: DescentConfig, device: str) -> PeerMaps:
    require("skimage", "peers", "the plain script")
    from .plain import plain_network, plain_saliency

    network = plain_network(_given(classifier), device)
    preset = replace(PRESETS["reference"], descent=descent)
    return lambda images: np.stack([plain_saliency(network, image, preset, device) for image in images])


def _attribution(name: str, classifier: "Classifier | None", descent: DescentConfig, device: str) -> PeerMaps:
    require("captum.attr", "peers", "comparing with captum")
    from . import attributions
    from .plain import plain_network

    network = plain_network(_given(classifier), device)
    attribution = getattr(attributions, name)(network, descent.iterations)
    return partial(attributions.attribution_maps, network, attribution, device=device)


def _spectral_residual(classifier: "Classifier | None", descent: DescentConfig, device: str) -> PeerMaps:  # noqa: ARG001
    from .spectral_residual import check_installed, spectral_residual

    check_installed()
    return spectral_residual


def _given(classifier: "Classifier | None") -> "Classifier":
    if classifier is None:
        raise ValueError("this peer needs a classifier")
    return classifier


PEERS = {
    "plain-loop": Peer(True, _plain),
    "captum-saliency": Peer(True, partial(_attribution, "saliency")),
    "captum-smoothgrad": Peer(True, partial(_attribution, "smooth_gradient")),
    "captum-integrated-gradients": Peer(True, partial(_attribution, "integrated_gradients")),
    "spectral-residual": Peer(False, _spectral_residual),
}
"""What a user would pick instead. Captum's take as many passes as the descent has iterations, but Saliency, which is one."""
