"""A cut-down network of every family that people have: its gradient exported, against double precision."""

from functools import partial

import pytest
import torch
from torch import nn

from unsee.tests.library_shim import import_timm, import_torchvision

CLASSES = 10
QUICK = ("efficientnet_v2",)
"""Families that every run of the tests takes; the others are proofs."""


def resnet(block: str, **options) -> nn.Module:
    from torchvision.models import resnet as module

    return module.ResNet(getattr(module, block), [1, 1, 1, 1], num_classes=CLASSES, **options)


def regnet() -> nn.Module:
    from torchvision.models.regnet import BlockParams, RegNet

    return RegNet(BlockParams.from_init_params(6, 16, 16.0, 2.0, 8, se_ratio=0.25), num_classes=CLASSES)


def efficientnet(version: int) -> nn.Module:
    from torchvision.models.efficientnet import EfficientNet, FusedMBConvConfig, MBConvConfig

    if version == 2:
        settings = [FusedMBConvConfig(2, 3, 2, 8, 8, 1), MBConvConfig(4, 3, 2, 8, 16, 1)]
        return EfficientNet(settings, 0.1, num_classes=CLASSES, last_channel=32)
    settings = [MBConvConfig(1, 3, 1, 32, 16, 1, 1.0, 1.0), MBConvConfig(6, 5, 2, 16, 24, 1, 1.0, 1.0)]
    return EfficientNet(settings, 0.1, num_classes=CLASSES)


def convnext() -> nn.Module:
    from torchvision.models.convnext import CNBlockConfig, ConvNeXt

    return ConvNeXt([CNBlockConfig(16, 32, 1), CNBlockConfig(32, None, 1)], num_classes=CLASSES)


def vit() -> nn.Module:
    from torchvision.models import VisionTransformer

    return VisionTransformer(64, 16, 2, 2, 32, 64, num_classes=CLASSES)


def swin(version: int) -> nn.Module:
    from torchvision.models import swin_transformer as module

    options = (
        {"block": module.SwinTransformerBlockV2, "downsample_layer": module.PatchMergingV2} if version == 2 else {}
    )
    return module.SwinTransformer([4, 4], 16, [2, 2], [2, 2], [4, 4], num_classes=CLASSES, **options)


def maxvit() -> nn.Module:
    from torchvision.models import MaxVit

    return MaxVit((64, 64), 16, 2, [16, 32], [1, 1], 8, 0.0, num_classes=CLASSES)


def densenet() -> nn.Module:
    from torchvision.models import DenseNet

    return DenseNet(8, (2, 2), 16, num_classes=CLASSES)


def named(name: str, **options) -> nn.Module:
    import torchvision

    return torchvision.models.get_model(name, weights=None, num_classes=CLASSES, **options)


def convmixer() -> nn.Module:
    from timm.models.convmixer import ConvMixer

    return ConvMixer(32, 2, num_classes=CLASSES)


def timm_model(name: str, **options) -> nn.Module:
    import timm

    return timm.create_model(name, num_classes=CLASSES, **options)


TORCHVISION = {
    "alexnet": (partial(named, "alexnet"), 64),
    "vgg_bn": (partial(named, "vgg11_bn"), 32),
    "resnet": (partial(resnet, "BasicBlock"), 64),
    "resnext": (partial(resnet, "Bottleneck", groups=4, width_per_group=4), 64),
    "wide_resnet": (partial(resnet, "Bottleneck", width_per_group=96), 64),
    "densenet": (densenet, 64),
    "googlenet": (partial(named, "googlenet", init_weights=False), 64),
    "inception_v3": (partial(named, "inception_v3", init_weights=False), 107),
    "squeezenet": (partial(named, "squeezenet1_0"), 64),
    "mobilenet_v2": (partial(named, "mobilenet_v2", width_mult=0.25), 64),
    "mobilenet_v3": (partial(named, "mobilenet_v3_small"), 64),
    "mnasnet": (partial(named, "mnasnet0_5"), 64),
    "shufflenet": (partial(named, "shufflenet_v2_x0_5"), 64),
    "regnet": (regnet, 64),
    "efficientnet": (partial(efficientnet, 1), 64),
    "efficientnet_v2": (partial(efficientnet, 2), 64),
    "convnext": (convnext, 64),
    "vit": (vit, 64),
    "swin": (partial(swin, 1), 64),
    "swin_v2": (partial(swin, 2), 64),
    "maxvit": (maxvit, 64),
}
SMALL_VIT = {"embed_dim": 32, "depth": 2, "num_heads": 2}
TIMM = {
    "efficientnet_lite": ("tf_efficientnet_lite0", {}, 64),
    "mobilenetv4": ("mobilenetv4_conv_small", {}, 64),
    "resnet_d": ("resnet18d", {"layers": [1, 1, 1, 1]}, 64),
    "repvgg": ("repvgg_a0", {}, 64),
    "mobileone": ("mobileone_s0", {}, 64),
    "convnextv2": ("convnextv2_atto", {"depths": (1, 1, 1, 1)}, 64),
    "deit": ("deit_tiny_distilled_patch16_224", {"img_size": 64, **SMALL_VIT}, 64),
    "fastvit": ("fastvit_t8", {"layers": (1, 1, 1, 1)}, 64),
    "mobilevit": ("mobilevit_xxs", {}, 64),
    "eva with rotary positions": ("vit_small_patch16_rope_224", {"img_size": 64, **SMALL_VIT}, 64),
    "DINOv2 with registers": ("vit_small_patch14_reg4_dinov2", {"img_size": 56, **SMALL_VIT}, 56),
    "ghostnet": ("ghostnet_050", {}, 64),
    "hrnet": ("hrnet_w18_small", {}, 64),
    "xcit": ("xcit_nano_12_p16_224", {"depth": 2, "embed_dim": 32, "num_heads": 2}, 64),
    "edgenext": ("edgenext_xx_small", {}, 64),
}


def families():
    for name in [*TORCHVISION, "convmixer", *(f"timm {name}" for name in TIMM)]:
        yield pytest.param(name, marks=() if name in QUICK else pytest.mark.proof)


@pytest.mark.parametrize("family", families())
def test_a_family_of_classifiers_exports(family: str) -> None:
    if family in TORCHVISION:
        import_torchvision()
        build, size = TORCHVISION[family]
    elif family == "convmixer":
        import_timm()
        build, size = convmixer, 64
    else:
        import_timm()
        name, options, size = TIMM[family.removeprefix("timm ")]
        build = partial(timm_model, name, **options)
    from unsee.bench.zoo.one_model import measured_module

    torch.manual_seed(0)
    row = measured_module(build(), family, size, rounds=0)
    assert row["status"] == "exported", row
