"""Making a bundle of a promoter or an attentional network, and checking one where it will run."""

from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .bundle_files import PROBE_FILE
from .drafts import drafted
from .exporting import TOOLS, require_tools
from .map_bundle import IMAGE, MAP, MAP_FILE, PRIOR, MapBundle, read_map_bundle, write_map_bundle
from .map_parity import MapParity, MapProbe, make_map_probe, measure_maps
from .map_sessions import open_map_bundle
from .parity import synthetic_images

if TYPE_CHECKING:
    from ..train.map_networks import LoadedMapNetwork

TRACED_BATCH = 2


def export_map_bundle(
    model: str,
    directory: Path,
    iterations: int | None = None,
    probes: np.ndarray | None = None,
    priors: np.ndarray | None = None,
) -> MapBundle:
    """Export a promoter's or attentional network's checkpoint as a bundle and verify it against eager PyTorch.

    iterations: passes T of a promoter, its own where None; they are in the graph. probes: uint8 [B,S,S,3], images to
    verify on, synthetic where None; priors: float32 [B,S,S], the maps to promote in them, the images' red where None. An
    older bundle at `directory` is replaced once the new one is verified. Raises `UnseeError` where `directory` holds
    something else, `VerificationError` where the parity fails.
    """
    require_tools()
    import torch

    from .torch_map_session import TorchMapSession, load_with_iterations

    with drafted(directory, model) as draft:
        loaded = load_with_iterations(Path(model), iterations)
        images = synthetic_images(loaded.metadata.input.size) if probes is None else probes
        if loaded.metadata.kind == "promoter" and priors is None:
            priors = images[..., 0].astype(np.float32) / 255
        bundle = write_map_network(loaded, draft)
        eager, exact = TorchMapSession(loaded), TorchMapSession(loaded, dtype=torch.float64)
        make_map_probe(eager, exact, images, priors).save(draft / PROBE_FILE)
        write_map_bundle(bundle)
        write_map_bundle(replace(bundle, parity=check_map_bundle(draft).to_json()))
    return read_map_bundle(directory)


def check_map_bundle(
    directory: Path, device: str = "cpu", backend: str = "auto", threads: int | None = None
) -> MapParity:
    """Run a bundle on its probe and compare with what eager PyTorch made of it. No torch needed.

    Raises `UnseeError` on a damaged bundle, `VerificationError` where the results differ.
    """
    session = open_map_bundle(read_map_bundle(directory), device, backend, threads)
    parity = measure_maps(MapProbe.load(directory / PROBE_FILE, {"S": session.info.input_size}), session)
    parity.require(directory)
    return parity


def write_map_network(loaded: "LoadedMapNetwork", directory: Path) -> MapBundle:
    """Write a network's map.onnx, and return the bundle that it becomes with a probe."""
    import torch

    from ..train.map_networks import fingerprint
    from .onnx import OPSET, tensors, write_graph

    metadata, model_id = loaded.metadata, fingerprint(loaded)
    names = [IMAGE, PRIOR] if metadata.kind == "promoter" else [IMAGE]
    size = metadata.input.size
    inputs = tuple(torch.rand(TRACED_BATCH, 3 if name == IMAGE else 1, size, size) for name in names)
    batch = torch.export.Dim("batch", min=1)
    with torch.no_grad():
        program = torch.export.export(loaded.mapper, inputs, dynamic_shapes=[{0: batch} for _ in inputs])
    write_graph(program, directory / MAP_FILE, names, [MAP], {"model": model_id, "kind": metadata.kind})
    return MapBundle(
        directory=directory,
        model_id=model_id,
        metadata=metadata,
        opset=OPSET,
        tensors=tensors(directory / MAP_FILE),
        versions={tool: version(tool) for tool in TOOLS},
    )
