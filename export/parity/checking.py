"""Checking a bundle where it will run. No torch needed."""

from pathlib import Path
from typing import Any

from ..bundles.attribution_contents import AttributionContents
from ..bundles.bundle import Bundle, read_bundle
from ..bundles.bundle_files import PROBE_FILE
from ..bundles.descent_config import DescentConfig
from ..bundles.descent_contents import DescentContents
from ..runtime.attributor import Attributor
from ..runtime.descender import Descender
from ..runtime.mapper import Mapper
from .attribution_parity import AttributionProbe, measure_attribution, sizes_of
from .descent_parity import Finish, Probe, measure, raw_map
from .map_parity import MapProbe, measure_maps
from .report import Parity


def check_bundle(
    directory: Path, device: str = "cpu", backend: str = "auto", finish: Finish = raw_map, threads: int | None = None
) -> Parity:
    """Run a bundle on its probe and compare with what eager PyTorch made of it.

    finish: the one that a classifier's bundle was exported with. Raises `UnseeError` on a damaged bundle,
    `VerificationError` where the results differ.
    """
    bundle: Bundle[Any] = read_bundle(directory)
    if isinstance(bundle.contents, DescentContents):
        parity = _check_descent(bundle, device, backend, finish, threads)
    elif isinstance(bundle.contents, AttributionContents):
        attributor = Attributor.of_bundle(bundle, device, backend, threads)
        probe = AttributionProbe.load(directory / PROBE_FILE, sizes_of(bundle.contents))
        parity = measure_attribution(probe, attributor)
        attributor.close()
    else:
        with_size = {"S": bundle.contents.metadata.input.size}
        mapper = Mapper.of_bundle(bundle, device, backend, threads)
        parity = measure_maps(MapProbe.load(directory / PROBE_FILE, with_size), mapper)
        mapper.close()
    parity.require(directory)
    return parity


def _check_descent(
    bundle: Bundle[DescentContents], device: str, backend: str, finish: Finish, threads: int | None
) -> Parity:
    contents, opened = bundle.contents, []

    def open_with(config: DescentConfig) -> Descender:
        opened.append(Descender.of_bundle(bundle, config, device, backend, threads))
        return opened[-1]

    sizes = {"S": contents.input.size, "N": len(contents.labels)}
    probe = Probe.load(bundle.directory / PROBE_FILE, sizes)
    parity = measure(probe, contents.descent, open_with, finish, bundle.precision)
    for descender in opened:
        descender.close()
    return parity
