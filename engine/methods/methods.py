"""Every method by its name: the one door to maps, for the command line and for a `Detector`."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ...export.bundles.descent_config import DescentConfig
from ...export.runtime.descender import Descender
from ..cleanup.device_cleanup import DeviceCleanup, cleans_up_on_device
from .descents import GRADIENT_STEP, DescentMethod, DeviceDescentMethod, GradientMethod, MaskedMethod
from .image_methods import IMAGE_METHODS, ImageMethod
from .method import Method
from .method_config import MAP_METHODS, MethodConfig
from .mirrored import MirroredMethod
from .models import open_mapper
from .networks import GivenMethod, MapMethod, Promoter

Opener = Callable[..., Descender]


def open_method(config: MethodConfig, open_descender: Opener, promoter: Promoter | None = None) -> Method[Any]:
    """Open the method of a configuration, its classifiers by `open_descender` (see there).

    promoter: of the configuration, on whose grid given maps are read.
    """
    method = _opened(config, open_descender, promoter)
    return MirroredMethod(method) if config.mirror else method


def _opened(config: MethodConfig, open_descender: Opener, promoter: Promoter | None) -> Method[Any]:
    if promoter and config.method == "given":
        return GivenMethod(promoter)
    if config.method in MAP_METHODS:
        own = {"choice": config.input, "network": config.network} if config.method == "network" else {}
        mapper = open_mapper(config.model, config.device, config.backend, precision=config.precision, **own)
        return MapMethod(mapper, config.method, config.batch_size)
    if config.method in IMAGE_METHODS:
        return ImageMethod(config.method, IMAGE_METHODS[config.method], config.batch_size)

    def opened(model: str, descent: DescentConfig, *own: Any) -> Descender:
        return open_descender(model, descent, config.device, config.backend, *own, precision=config.precision)

    descent, post = config.preset.descent, config.preset.post
    if config.method == "gradient":
        once = DescentConfig(gradient="raw", gradient_floor=-np.inf, step=GRADIENT_STEP, step_decay=1.0, iterations=1)
        return GradientMethod(opened(config.model, once, config.weights, config.input), post, config.batch_size)
    if config.method == "b":
        descender = opened(config.model, descent, config.weights, config.input)
        if cleans_up_on_device(config.cleanup, descender):
            cleanup = DeviceCleanup(descender, post, config.keeps_raw)
            return DeviceDescentMethod(descender, cleanup, config.batch_size)
        return DescentMethod(descender, post, config.batch_size)
    masked = replace(descent, cost="masked")
    cnn2, cnn3 = (opened(model, masked) if model else None for model in (config.cnn2, config.cnn3))
    return MaskedMethod(opened(config.model, descent, config.weights, config.input), cnn2, cnn3, config)
