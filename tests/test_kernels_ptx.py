"""Every CUDA kernel compiles for the devices we name, without one: numba to PTX, and ptxas on to machine code."""

import importlib.util
import re
import shutil
import subprocess
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
from numba import types

from unsee import kernels

CAPABILITIES = [(7, 5), (8, 0), (9, 0)]
REGISTERS = 96  # a thread, at most
FOLDER = Path(kernels.__file__).parent

INT, FLOAT, SINGLE = types.int64, types.float64, types.float32


def array_of(dtype):
    return lambda axes: types.Array(dtype, axes, "C")


b1, u8, i32, i64, f32, f64 = (
    array_of(dtype) for dtype in (types.bool_, types.uint8, types.int32, types.int64, types.float32, types.float64)
)

# One line a kernel: what it is launched with. A number in brackets is a count of axes.
SIGNATURES = {
    "background_on_device._across_kernel": (f32(3), INT, INT),
    "background_on_device._affinity_kernel": (f32(3), b1(3), b1(2), b1(2), f64(2), f64(2), FLOAT, f64(3), f64(2)),
    "background_on_device._edge_kernel": (f32(3), b1(3), b1(2), b1(2), f64(1), f32(3)),
    "background_on_device._solve_kernel": (f64(3), f64(2)),
    "background_on_device._usual_kernel": (f32(3), b1(2), f64(1)),
    "background_on_device._weigh_kernel": (f32(3), b1(2), b1(2), f64(2)),
    "background_on_device._within_kernel": (f32(3), INT),
    "change._extent_kernel": (f32(3), types.bool_, f64(2), f64(2), b1(2)),
    "change._raw_kernel": (f32(3), f64(2), f64(2), b1(2), f32(2), f32(1), b1(1)),
    "color._lab_kernel": (u8(4), f64(1), f32(4)),
    "connectivity._accumulate_kernel": (i32(2),),
    "connectivity._count_large_kernel": (i32(2), i32(2), INT, i32(2)),
    "connectivity._flatten_kernel": (i32(2), i32(2)),
    "connectivity._join_kernel": (i32(3), i32(2)),
    "connectivity._number_kernel": (i32(2), i32(2), INT, i32(2)),
    "connectivity._relabel_kernel": (i32(2), i32(2), i32(2), i32(3)),
    "connectivity._singletons_kernel": (i32(2),),
    "connectivity._target_kernel": (i32(2), i32(2), i32(2), INT, INT),
    "contrast._combine_kernel": (f64(2), f64(2), f32(3), FLOAT, FLOAT, f64(2)),
    "contrast._contrast_kernel": (f64(3), i32(2), f64(2)),
    "contrast._distance_kernel": (f32(3), i32(2), f64(3)),
    "contrast._distribution_kernel": (f64(3), i32(2), f32(3), FLOAT, f64(2)),
    "contrast._rescale_kernel": (f64(2), i32(2)),
    "contrast._smooth_kernel": (f64(3), i32(2), f64(2), f64(2)),
    "device._fill_kernel": (i32(1), INT),
    "eight_bits._level_kernel": (f32(1), u8(1)),
    "morphology._extreme_kernel": (f32(3), INT, types.bool_, SINGLE, f32(3)),
    "pooling._bounds_kernel": (i32(3), i32(1)),
    "pooling._extent_kernel": (i32(3), i32(3)),
    "pooling._mean_kernel": (f32(3), i32(3), i32(3), f32(2)),
    "pooling._paint_kernel": (f32(2), i32(3), f32(3)),
    "pooling._rescale_kernel": (f64(2), b1(2), f64(2)),
    "pooling._single_row_kernel": (f64(2), f32(3)),
    "pooling._statistics_kernel": (f32(4), i32(3), i32(3), f32(3), f32(3), i32(2), i32(1)),
    "pooling._weigh_kernel": (f32(3), f64(2), i32(3), SINGLE, f32(3)),
    "prune._brighten_kernel": (f32(2), SINGLE, SINGLE, f32(2)),
    "prune._normalize_kernel": (f32(2), f64(2), f32(2)),
    "prune._otsu_kernel": (f32(2), f64(1), f64(1)),
    "prune._prune_hard_kernel": (f32(2), FLOAT, f64(1), f64(1), f32(2)),
    "prune._prune_soft_kernel": (f32(2), f32(1), f32(2)),
    "prune._scale_kernel": (f32(2), INT, f64(2)),
    "prune._share_kernel": (f32(2), SINGLE, f32(1)),
    "prune._sigmoid_kernel": (f32(2), SINGLE, SINGLE, f32(2)),
    "region_graph._color_distance_kernel": (f32(3), f64(3)),
    "region_graph._on_border_kernel": (i32(3), b1(2)),
    "region_graph._present_kernel": (i32(2), b1(2)),
    "region_graph._touching_kernel": (i32(3), b1(3)),
    "resampling_on_device._pass_kernel": (u8(1), i64(3), INT, i32(1), u8(1)),
    "slic._assign_kernel": (i32(4), i32(3), INT, SINGLE, i32(3)),
    "slic._fix_kernel": (f32(4), i32(4)),
    "slic._move_kernel": (i64(3), i32(3)),
    "slic._place_kernel": (i32(4), i32(2), i32(3)),
    "slic._sum_kernel": (i32(4), i32(3), i64(3)),
    "sweep._clear_kernel": (i64(2),),
    "sweep._histogram_kernel": (u8(2), u8(2), INT, INT, i64(2)),
}

# A thread a pixel: no divisions of 64 bits.
PER_PIXEL = {
    "color._lab_kernel",
    "connectivity._flatten_kernel",
    "connectivity._join_kernel",
    "connectivity._relabel_kernel",
    "connectivity._singletons_kernel",
    "eight_bits._level_kernel",
    "morphology._extreme_kernel",
    "pooling._paint_kernel",
    "pooling._weigh_kernel",
    "prune._brighten_kernel",
    "prune._normalize_kernel",
    "prune._prune_hard_kernel",
    "prune._prune_soft_kernel",
    "prune._sigmoid_kernel",
    "slic._assign_kernel",
    "slic._fix_kernel",
}


def kernels_here():
    """Names of all kernels, as module.function."""
    found = []
    for file in sorted(FOLDER.glob("*.py")):
        found += [f"{file.stem}.{name}" for name in re.findall(r"^def (\w+_kernel)\(", file.read_text(), re.MULTILINE)]
    return found


@pytest.fixture(scope="module")
def cuda():
    """numba.cuda, where what it compiles with is installed."""
    numba_cuda = pytest.importorskip("numba.cuda", reason="numba-cuda is not installed")
    pathfinder = pytest.importorskip("cuda.pathfinder", reason="numba-cuda is not installed")
    for library, wheel in (("nvvm", "nvidia-nvvm"), ("nvrtc", "nvidia-cuda-nvrtc")):
        try:
            pathfinder.load_nvidia_dynamic_lib(library)
        except (pathfinder.DynamicLibNotFoundError, RuntimeError) as error:
            pytest.skip(f"{wheel} is not installed: {error}".splitlines()[0])
    return numba_cuda


def compiled_to_ptx(cuda, name, capability):
    module, function = name.split(".")
    kernel = getattr(importlib.import_module(f"{kernels.__name__}.{module}"), function)
    kernel.__globals__["cuda"] = cuda
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ptx, _ = cuda.compile(
            kernel, types.void(*SIGNATURES[name]), cc=capability, device=False, abi="numba", output="ptx"
        )
    return ptx.decode() if isinstance(ptx, bytes) else ptx


def test_every_kernel_has_a_signature_here():
    assert sorted(kernels_here()) == sorted(SIGNATURES)


@pytest.mark.parametrize("capability", CAPABILITIES, ids=lambda pair: f"{pair[0]}.{pair[1]}")
@pytest.mark.parametrize("name", SIGNATURES)
def test_kernel_compiles(name, capability, cuda, monkeypatch, tmp_path):
    device = SimpleNamespace(compute_capability=capability)
    for module in ("dispatcher", "compiler"):  # they ask the device, and there is none
        monkeypatch.setattr(f"numba.cuda.{module}.get_current_device", lambda: device)
    ptx = compiled_to_ptx(cuda, name, capability)
    assert f".target sm_{capability[0]}{capability[1]}" in ptx
    if name in PER_PIXEL:
        assert not re.search(r"(?:div|rem)\.[su]64", ptx), "64-bit divisions are slow: see row_of"
    assembled(ptx, capability, tmp_path)


def assembled(ptx, capability, folder):
    """Check registers and spills, where ptxas is found and knows this version of PTX."""
    ptxas = find_ptxas()
    if ptxas is None:
        return
    file = folder / "kernel.ptx"
    file.write_text(ptx)
    command = [ptxas, f"--gpu-name=sm_{capability[0]}{capability[1]}", "--verbose", str(file), "-o", "/dev/null"]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if "Unsupported .version" in finished.stderr:
        return
    assert finished.returncode == 0, finished.stderr
    assert int(re.search(r"Used (\d+) registers", finished.stderr)[1]) <= REGISTERS
    assert set(re.findall(r"(\d+) bytes spill", finished.stderr)) <= {"0"}


def find_ptxas():
    """The ptxas of the wheel nvidia-cuda-nvcc, or else of the system."""
    spec = importlib.util.find_spec("nvidia")
    wheels = [] if spec is None else [Path(place) for place in spec.submodule_search_locations]
    for place in wheels:
        for found in place.glob("*/bin/ptxas"):
            return str(found)
    return shutil.which("ptxas")
