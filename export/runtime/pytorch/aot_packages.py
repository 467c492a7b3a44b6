"""Packages of PyTorch's ahead-of-time compiler beside a bundle: machine code for one kind of device and one PyTorch."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import __version__, cuda
from torch import device as Place

from ....errors import UnseeError
from ....files import sha256_of, write_json
from ...bundles.bundle import Bundle, Contents


@dataclass(frozen=True)
class PackageKey:
    """What a package depends on: it is used only where all of it is the same.

    device: cpu, or the GPU's name. torch: PyTorch's version. graph_sha256: of the bundle's ONNX file, whose step it is.
    """

    device: str
    torch: str
    graph_sha256: str

    @classmethod
    def of(cls, bundle: Bundle[Contents], place: Place) -> "PackageKey":
        """Return the key of a bundle's package on a device of this machine."""
        device = "cpu" if place.type == "cpu" else cuda.get_device_name(place)
        return cls(device, __version__, sha256_of(bundle.graph_path))


def package_path(bundle: Bundle[Contents], place: Place) -> Path:
    """Return the path of a package: <graph>.<cpu or cuda>.pt2."""
    return bundle.graph_path.with_name(f"{bundle.graph_path.stem}.{place.type}.pt2")


def describe_package(bundle: Bundle[Contents], place: Place) -> None:
    """Write the sidecar of a package that has been written."""
    path = package_path(bundle, place)
    write_json(_sidecar(path), {**asdict(PackageKey.of(bundle, place)), "sha256": sha256_of(path)})


def find_package(bundle: Bundle[Contents], place: Place) -> Path:
    """Return the package of a bundle that fits a device of this machine.

    Raises `UnseeError` where there is none, or one that is damaged: it is machine code and is not run.
    """
    path = package_path(bundle, place)
    try:
        described = json.loads(_sidecar(path).read_text())
    except (OSError, ValueError):
        described = {}
    key = asdict(PackageKey.of(bundle, place))
    if not path.exists() or {name: described.get(name) for name in key} != key:
        raise UnseeError(
            f"{bundle.directory} has no package for {key['device']} and PyTorch {key['torch']}: export it with --aot there"
        )
    if sha256_of(path) != described.get("sha256"):
        raise UnseeError(f"{path}: damaged or changed: export the bundle with --aot again")
    return path


def _sidecar(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")
