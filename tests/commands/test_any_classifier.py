"""A user's own classifier, and those of libraries: by a factory's name on the command line, as a module in Python."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from unsee.tests.commands.running import FAST, rows_of, unsee
from unsee.tests.library_shim import import_timm, import_torchvision

CODE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, classes=3):
        super().__init__()
        torch.manual_seed(0)
        self.start, self.block = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 16, 3, 2, 1)
        self.act, self.head = nn.SiLU(inplace=True), nn.Linear(16, classes)

    def forward(self, image):
        return {"logits": self.head(self.act(self.block(self.act(self.start(image)))).mean((2, 3)))}

def make():
    return Net()

def number():
    return 3

class Depends(Net):
    def forward(self, image):
        return super().forward(image if image.sum() > 0 else -image)

class Single(Net):
    def __init__(self):
        super().__init__(1)

class Fixed(Net):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(16 * 8 * 8, 3)

    def forward(self, image):
        return self.head(self.act(self.block(self.act(self.start(image)))).flatten(1))

class Ranks(Net):
    def forward(self, image):
        return self.head(self.block(self.start(image)).mean((2, 3)).cummax(1)[0])
"""
INPUT = ("--input-size", "32")


@pytest.fixture
def place(photographs, tmp_path) -> Path:
    """A working folder with photos/, the user's module and the names of its classes."""
    shutil.copytree(photographs, tmp_path / "photos")
    (tmp_path / "nets.py").write_text(CODE)
    (tmp_path / "names.txt").write_text("cat\ndog\ncow\n")
    return tmp_path


@pytest.fixture
def own_cache(tmp_path) -> dict[str, str]:
    return {"XDG_CACHE_HOME": str(tmp_path / "cache")}


@pytest.mark.proof
def test_a_factory_runs_in_bulk_with_its_own_names_and_goes_on(place, own_cache):
    command = ("run", "photos", "-o", "maps", "--model", "nets:make", *INPUT, "--labels", "names.txt", *FAST)
    first = unsee(*command, cwd=place, env=own_cache)
    assert "exporting nets_make" in first.err.replace(":", "_")
    rows = rows_of(place / "maps")
    assert rows and {row["label_name"] for row in rows} <= {"cat", "dog", "cow"}
    again = unsee(*command, cwd=place, env=own_cache)
    assert "nothing left to do" in again.err and "exporting" not in again.err


@pytest.mark.proof
def test_changed_code_is_exported_anew(place, own_cache):
    command = ("run", "photos", "-o", "maps", "--model", "nets:make", *INPUT, *FAST)
    unsee(*command, cwd=place, env=own_cache)
    (place / "nets.py").write_text(CODE.replace("nn.SiLU(inplace=True)", "nn.GELU()"))
    assert "exporting" in unsee(*command, "--overwrite", cwd=place, env=own_cache).err


@pytest.mark.proof
def test_another_run_of_other_labels_is_not_gone_on_with(place):
    command = ("run", "photos", "-o", "maps", "--model", "nets:make", *INPUT, *FAST, "--backend", "torch")
    unsee(*command, "--labels", "names.txt", cwd=place)
    (place / "names.txt").write_text("a\nb\nc\n")
    assert "labels" in unsee(*command, "--labels", "names.txt", cwd=place, expect=2).err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--model", "nothere:make"), "no module nothere"),
        (("--model", "nets:nothing"), "nets has no function nothing"),
        (("--model", "nets:Single"), "makes a single logit"),
        (("--model", "nets:Fixed"), "does not take an image of 224 x 224"),
        (("--model", "nets:number"), "returned a int, not a torch.nn.Module"),
        (("--model", "nets:make", "--mean", "120,1,2"), "divide by 255"),
        (("--model", "nets:make", "--mean", "1,2"), "three numbers"),
        (("--model", "nets:make", "--labels", "nets.py"), "labels, but the network has 3 classes"),
        (("--model", "nets:make", "--labels", "missing.txt"), "no such file of labels"),
        (("--model", "hf:nowhere"), "no directory of a Hugging Face model"),
        (("--model", "torchvision:"), "behind the colon"),
        (("--method", "rc", "--input-size", "32"), "classifier's"),
    ],
)
def test_what_is_no_classifier_is_one_line_and_leaves_nothing(place, options, words):
    message = unsee("run", "photos", "-o", "maps", *options, *FAST, cwd=place, expect=2).err
    assert message.startswith("unsee: ") and message.count("\n") == 1 and words in message
    assert not (place / "maps").exists()


@pytest.mark.proof
def test_what_cannot_be_exported_is_named_and_runs_in_pytorch(place, own_cache):
    message = unsee("export", "nets:Ranks", "bundle", *INPUT, cwd=place, expect=2).err
    assert "cummax" in message and "nets.py" in message and not (place / "bundle").exists()
    ran = unsee("run", "photos", "-o", "maps", "--model", "nets:Ranks", *INPUT, *FAST, cwd=place, env=own_cache)
    assert "runs in PyTorch" in ran.err and len(rows_of(place / "maps"))
    said = unsee("export", "nets:Depends", "bundle", *INPUT, cwd=place, expect=2).err
    assert "one graph" in said and said.startswith("unsee: ") and said.count("\n") == 1


@pytest.mark.proof
def test_a_network_that_takes_one_size_only_is_looked_at_in_that_size(place):
    words = ("--model", "nets:Fixed", *INPUT, "--backend", "torch", *FAST)
    unsee("run", "photos", "-o", "maps", *words, cwd=place)
    assert {row["status"] for row in rows_of(place / "maps")} == {"success"}


@pytest.mark.proof
def test_a_bundle_of_a_factory_needs_the_factory_no_more(place):
    unsee("export", "nets:make", "bundle", *INPUT, "--labels", "names.txt", *FAST[:2], cwd=place)
    assert json.loads((place / "bundle/bundle.json").read_text())["network"] == "nets:make"
    (place / "nets.py").unlink()
    unsee("check", "bundle", cwd=place)
    unsee("run", "photos", "-o", "maps", "--model", "bundle", *FAST, cwd=place)
    assert {row["label_name"] for row in rows_of(place / "maps")} <= {"cat", "dog", "cow"}
    assert "in its graph" in unsee("run", "photos", "-o", "m", "--model", "bundle", *INPUT, cwd=place, expect=2).err


@pytest.mark.proof
def test_gradients_and_activation_maps_are_bundles(place):
    unsee("export", "nets:make", "gradient", "--what", "gradient", *INPUT, cwd=place)
    unsee("export", "nets:make", "cam", "--what", "cam", "--layer", "block", *INPUT, cwd=place)
    unsee("export", "nets:make", "layer", "--what", "cam", "--layer", "block", "--cam", "layer-cam", *INPUT, cwd=place)
    for bundle in ("gradient", "cam", "layer"):
        assert "relative L2 error" in unsee("check", bundle, cwd=place).out
    image = np.random.default_rng(0).uniform(0, 255, (2, 3, 32, 32)).astype(np.float32)
    session = onnxruntime.InferenceSession(place / "cam/attribution.onnx")
    logits, maps = session.run(["logits", "cam"], {"image": image, "target": np.array([-1, 2])})
    assert logits.shape == (2, 3) and maps.shape == (2, 8, 8) and (maps >= 0).all()
    assert "kind 'gradient'" in unsee("run", "photos", "-o", "m", "--model", "gradient", cwd=place, expect=2).err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--what", "cam"), "name one (--layer)"),
        (("--what", "cam", "--layer", "nope"), "no layer 'nope'; it has start, block, act, head"),
        (("--what", "cam", "--layer", "head"), "belong"),
        (("--layer", "block"), "a layer belongs to a cam"),
        (("--what", "gradient", "--precision", "fp16"), "exported in fp32"),
    ],
)
def test_a_wrong_layer_is_one_line(place, options, words):
    message = unsee("export", "nets:make", "bundle", *INPUT, *options, cwd=place, expect=2).err
    assert message.startswith("unsee: ") and message.count("\n") == 1 and words in message


PYTHON = """
import numpy as np, torch, unsee
from nets import Net

net = Net().train()
spec = unsee.InputSpec(32)
made = unsee.export(net, "bundle", input=spec, labels=["cat", "dog", "cow"])
unsee.export(net, "gradient", input=spec, what="gradient")
image = "photos/" + {photo!r}
own = unsee.Detector(net, input=spec, labels=["cat", "dog", "cow"])(image)
exported = unsee.Detector(net, input=spec, backend="onnxruntime")(image)
stored = unsee.Detector("bundle")(image)
assert own.label == stored.label and exported.label.startswith("class")
assert np.abs(own.map.astype(int) - stored.map).max() <= 1
chosen = unsee.InputChoice(32)
assert np.array_equal(unsee.Detector(net, input=chosen, labels=["cat", "dog", "cow"])(image).map, own.map)
assert np.array_equal(unsee.Detector("nets:make", input=chosen, backend="torch")(image).map, own.map)
first, second = unsee.gradient(net, image, 1, input=spec), unsee.gradient("gradient", [image, image], [1, 2])
assert np.linalg.norm(first - second[0]) < 1e-4 * np.linalg.norm(first)
assert net.training and next(net.parameters()).requires_grad
import unsee.export.bundles.bundle as still_a_package
print("done", made.contents.title)
"""


@pytest.mark.proof
def test_a_module_in_python(place):
    photo = next((place / "photos").iterdir()).name
    result = subprocess.run(
        [sys.executable, "-c", PYTHON.replace("{photo!r}", repr(photo))], cwd=place, capture_output=True, text=True
    )
    assert result.stdout == "done Net, preset best\n", result.stderr


@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_a_classifier_of_a_library_with_a_weight_file(library, place, monkeypatch):
    (import_timm if library == "timm" else import_torchvision)()
    import torch

    from unsee.train.networks.libraries import timm_models, torchvision_models
    from unsee.train.networks.model_names import load_classifier

    name, build = {
        "torchvision": ("mobilenet_v3_small", torchvision_models.build),
        "timm": ("mobilenetv3_small_050", timm_models.build),
    }[library]
    torch.manual_seed(0)
    torch.save(build(name, 7).state_dict(), place / "weights.pth")
    classifier = load_classifier(f"{library}:{name}", place / "weights.pth")
    assert (classifier.metadata.classes, classifier.metadata.input.size) == (7, 224)
    assert classifier.metadata.input.mean == pytest.approx((0.485, 0.456, 0.406))
    with pytest.raises(Exception, match="has no classifier 'nonsense'"):
        load_classifier(f"{library}:nonsense", place / "weights.pth")


def test_a_classifier_that_transformers_saved(place):
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32, patch_size=8,
        id2label={0: "cat", 1: "dog"},
    )  # fmt: skip
    transformers.ViTForImageClassification(config).save_pretrained(place / "vit")
    processor = {"size": {"height": 32, "width": 32}, "image_mean": [0.5] * 3, "image_std": [0.25] * 3}
    (place / "vit/preprocessor_config.json").write_text(json.dumps(processor))
    unsee("run", "photos", "-o", "maps", "--model", "hf:vit", *FAST, "--backend", "torch", cwd=place)
    assert {row["label_name"] for row in rows_of(place / "maps")} <= {"cat", "dog"}
    assert Image.open(next((place / "maps").glob("**/*.png"))).mode == "L"
