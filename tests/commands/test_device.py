"""Where and how precisely a run computes: what is asked for is had or refused in one line, and belongs to the run."""

import json

import numpy as np
import pytest
from PIL import Image

from unsee.tests.commands.running import FAST, rows_of, unsee


@pytest.fixture
def run(tiny_model, photographs, tmp_path):
    """Run the tiny model on the photographs in a clean folder."""

    def ran(*words, model=tiny_model, expect=0, output="out"):
        options = ("--model", model, "--output-folder", output, *FAST, *words)
        return unsee("run", photographs, *options, cwd=tmp_path, expect=expect).err

    return ran


@pytest.mark.proof
def test_half_precision_is_said_and_is_part_of_the_run(run, tmp_path):
    said = run("--precision", "fp16", "--backend", "torch", "--device", "cpu")
    assert "on cpu (torch, fp16), preset best" in said
    assert {row["status"] for row in rows_of(tmp_path / "out")} == {"success"}
    refused = run("--backend", "torch", "--device", "cpu", expect=2)
    assert "precision" in refused
    assert "nothing left to do" in run("--precision", "fp16", "--backend", "torch", "--device", "cpu")


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (("--precision", "tf32"), 5, "precision tf32 is a rounding of NVIDIA GPUs, and this runs on a CPU: use fp32"),
        (("--precision", "bf16"), 2, "bf16"),
        (("--method", "rc", "--precision", "fp16"), 2, "method rc runs no model, on the CPU: leave --device"),
        (("--device", "cuda"), 5, "cuda was asked for"),
        (("--cleanup", "device"), 5, "--cleanup device needs a network that runs on a GPU"),
        (("--decoder", "nvjpeg"), 5, "--decoder nvjpeg needs a network that runs on a GPU, and this one runs on cpu"),
        (("--decoder", "turbo"), 2, "turbo"),
    ],
)
def test_what_cannot_be_had_is_one_line(words, code, reason, run, tmp_path):
    said = run(*words, expect=code)
    assert reason in said
    assert not (tmp_path / "out" / "00000.parquet").exists()


def test_a_bundle_keeps_the_precision_that_it_was_exported_in(run, tiny_bundle):
    said = run("--precision", "fp16", model=tiny_bundle, expect=2)
    assert "was exported in fp32 and cannot run in fp16: export it with --precision fp16" in said
    assert "on cpu (onnxruntime), preset" in run("--precision", "fp32", model=tiny_bundle)


def test_doctor_names_the_gpus_that_can_be_used(tmp_path):
    found = unsee("doctor", cwd=tmp_path, env={"CUDA_VISIBLE_DEVICES": ""}).out
    assert "CUDA devices" in found and "none" in found


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.proof
def test_the_benchmark_of_gpus_runs_to_its_end_where_there_is_none(tmp_path):
    said = unsee("bench", "gpu", "--device", "cpu", "--output", "gpu.json", cwd=tmp_path, timeout=800).out
    report = json.loads(said.strip().splitlines()[-1])
    assert report == json.loads((tmp_path / "gpu.json").read_text())
    sections = report["sections"]
    assert not {name: found["failed"] for name, found in sections.items() if "failed" in found}
    needing = {name for name, found in sections.items() if found.get("not_measured") == "needs a GPU"}
    assert needing == {"versions", "ceilings", "kernel_parity", "kernel_speeds", "jpeg_decoding", "out_of_memory"}
    assert sections["correctness"]["batch_mates_decide_nothing"] is True
    assert sections["correctness"]["error_of_3_turns"] < 1e-3
    assert sections["descent_ways"]["000"]["images_per_second"] > 0
    assert sections["file_runs"]["unsee-small cpu"]["failed_images"] == 0


def test_a_section_that_there_is_not_is_one_line_and_leaves_nothing(tmp_path):
    said = unsee("bench", "gpu", "--only", "versions,speed", cwd=tmp_path, expect=2).err
    assert "no section speed: choose from versions, ceilings" in said
    assert list(tmp_path.iterdir()) == []


def test_a_section_that_fails_or_hangs_costs_only_its_own_figures(tmp_path, monkeypatch):
    from unsee.bench import gpu

    monkeypatch.setattr(gpu, "GRACE", 0.1)
    assert "stopped after" in gpu.run_section("versions", "cpu", 0.0)["failed"]
    monkeypatch.setattr(gpu, "GRACE", 30.0)
    failed = gpu.run_section("no_such_section", "cpu", 5.0)
    assert "no_such_section" in failed["failed"] and failed["seconds"] > 0


@pytest.mark.proof
@pytest.mark.timeout(900)
def test_a_step_that_was_compiled_ahead_of_time_gives_the_maps_of_the_graph(tiny_model, photographs, tmp_path):
    options = ("--preset", "best", "--aot")
    unsee("export", tiny_model, "bundle", *options, cwd=tmp_path, timeout=800)
    maps = {}
    for backend in ("aot", "onnxruntime"):
        words = ("--model", "bundle", "--backend", backend, "--output-folder", backend)
        assert f"on cpu ({backend})" in unsee("run", photographs, *words, cwd=tmp_path).err
        paths = sorted((tmp_path / backend).rglob("*.png"))
        maps[backend] = [np.asarray(Image.open(path)).astype(int) for path in paths]
    assert len(maps["aot"]) == 12
    differences = [np.abs(one - other) for one, other in zip(*maps.values(), strict=True)]
    assert max((difference > 1).mean() for difference in differences) < 0.01
    package = tmp_path / "bundle" / "step.cpu.pt2"
    package.write_bytes(package.read_bytes()[:-1] + b"x")
    words = ("--model", "bundle", "--backend", "aot", "--output-folder", "again")
    assert "damaged or changed" in unsee("run", photographs, *words, cwd=tmp_path, expect=2).err


def test_packages_are_of_bundles_and_of_descents(run, tiny_model, tiny_bundle, tmp_path):
    assert "backend aot runs bundles" in run("--backend", "aot", expect=2)
    said = run("--backend", "aot", model=tiny_bundle, expect=2)
    assert "has no package for cpu and PyTorch" in said and "export it with --aot there" in said
    words = ("export", tiny_model, "bundle", "--what", "gradient", "--aot")
    assert "--aot compiles the descent of a classifier" in unsee(*words, cwd=tmp_path, expect=2).err
