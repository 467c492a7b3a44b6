"""A box without torch: the wheel and `unsee[cpu]` in a new environment run a bundle as PyTorch runs the checkpoint."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unsee.engine.cleanup.postprocess import finish
from unsee.engine.cleanup.presets import PRESETS
from unsee.engine.methods.models import open_descender
from unsee.export.parity.levels import within_one_level
from unsee.kernels.eight_bits import to_levels
from unsee.tests.export_models import SHARED, export_classifier

PRESET = PRESETS["reference"]
ON_THE_BOX = """
import importlib.util, json, sys
from dataclasses import replace
from pathlib import Path
import numpy as np
from unsee.engine.cleanup.postprocess import finish
from unsee.engine.cleanup.presets import PRESETS
from unsee.export.parity.checking import check_bundle
from unsee.engine.methods.models import open_descender

bundle, images, maps = sys.argv[1:]
assert not any(importlib.util.find_spec(name) for name in ("torch", "onnx", "onnxscript"))
preset = PRESETS["reference"]
parity = check_bundle(Path(bundle))
pixels = np.load(images)
session = open_descender(bundle, replace(preset.descent, iterations=1))
np.save(maps, finish(session.descend(pixels).delta, pixels, preset.post).final)
print(json.dumps({**parity.to_json(), "used": session.info.backend}))
"""


@pytest.mark.proof
@pytest.mark.timeout(600)
def test_bundle_runs_without_torch_as_the_checkpoint_does_with_it(bare_venv: Path, tmp_path: Path) -> None:
    if not SHARED.is_dir():
        pytest.skip("the folder of real models and data (../shared) is not here")
    model = str(SHARED / "models/squeezenet1_1")
    export_classifier(model, tmp_path / "bundle", replace(PRESET.descent, iterations=2))
    paths = sorted((SHARED / "data/ecssd-dev").rglob("*.jpg"))[:20]
    pixels = np.stack([np.asarray(Image.open(path).convert("RGB").resize((227, 227))) for path in paths])
    np.save(tmp_path / "images.npy", pixels)
    arguments = [bare_venv, "-c", ON_THE_BOX, tmp_path / "bundle", tmp_path / "images.npy", tmp_path / "maps.npy"]
    result = subprocess.run(arguments, check=True, capture_output=True, text=True, cwd=tmp_path)
    report = json.loads(result.stdout.splitlines()[-1])
    assert report["used"] == report["speed"]["backend"] == "onnxruntime"
    # One iteration: after several, two memory formats of PyTorch differ as much (docs/deploying.md).
    eager = open_descender(model, replace(PRESET.descent, iterations=1)).descend(pixels)
    expected = finish(eager.delta, pixels, PRESET.post).final
    assert within_one_level(to_levels(np.load(tmp_path / "maps.npy")), to_levels(expected)) >= 0.995
