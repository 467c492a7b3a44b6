"""What else a network's gradient is used for, as functions of tensors: the gradient itself, and class activation maps."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, fx, nn
from torch.fx.graph import CodeGen

from ..bundles.attribution_contents import CAM_INPUTS, CAM_OUTPUTS, GRADIENT_INPUTS, GRADIENT_OUTPUTS, CamKind
from .forward import functional_forward
from .layers import Tapped, activation_map
from .step import FROM_LOGITS, PixelClassifier
from .tracing import TRACED_BATCH, check_live, exported, traced


def export_gradient(network: nn.Module, size: int, classes: int) -> torch.export.ExportedProgram:
    """Return (image, cotangent) -> (logits, gradient) as an exported program with dynamic batch size.

    network: in eval mode with frozen parameters, pixels [B,3,size,size] to logits [B,classes]. cotangent: [B,classes],
    what the gradient of the logits is multiplied by. Raises `UnseeError` as `export_step` does.
    """
    forward = functional_forward(network, size)

    def differentiate(image: Tensor, cotangent: Tensor) -> tuple[Tensor, Tensor]:
        logits, pull_back = torch.func.vjp(forward, image)  # pyright: ignore[reportAssignmentType]  # has_aux is off
        return logits, pull_back(cotangent)[0]

    inputs = torch.rand(TRACED_BATCH, 3, size, size), torch.rand(TRACED_BATCH, classes)
    graph = traced(differentiate, forward, inputs)
    check_live(graph, GRADIENT_OUTPUTS, sources=len(GRADIENT_INPUTS))
    return exported(graph, inputs)


def export_cam(network: PixelClassifier, size: int, layer: str, kind: CamKind) -> torch.export.ExportedProgram:
    """Return (image, target) -> (logits, cam) as an exported program with dynamic batch size; see `cam_function`.

    target: int64 [B]; a `FROM_LOGITS` is the top-1. layer: see `Tapped`.
    """
    forward = functional_forward(Tapped(network, layer), size)
    inputs = torch.rand(TRACED_BATCH, 3, size, size), torch.full((TRACED_BATCH,), FROM_LOGITS)
    graph = traced(cam_function(*_parts(forward), kind), forward, inputs)
    check_live(graph, CAM_OUTPUTS, sources=len(CAM_INPUTS))
    return exported(graph, inputs)


def cam_function(
    until: Callable[[Tensor], Tensor], behind: Callable[[Tensor, Tensor], Tensor], kind: CamKind
) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return what makes class activation maps [B,h,w]; see `activation_map`.

    until: image to the layer's output. behind: image and that output to logits.
    """

    def map_of(image: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        values = until(image)
        logits, pull_back = torch.func.vjp(lambda layer: behind(image, layer), values)  # pyright: ignore
        target = torch.where(target == FROM_LOGITS, logits.argmax(1), target)
        (gradient,) = pull_back(torch.nn.functional.one_hot(target, logits.shape[1]).to(logits.dtype))
        return logits, activation_map(values, gradient, kind)

    return map_of


def _parts(forward: fx.GraphModule) -> tuple[fx.GraphModule, fx.GraphModule]:
    """Return image -> the second output, and image and that output -> the first one, of a graph with two."""
    until, behind = copy.deepcopy(forward), copy.deepcopy(forward)
    for graph, kept in ((until, 1), (behind, 0)):
        (output,) = graph.graph.find_nodes(op="output")
        logits, values = output.args[0]  # pyright: ignore
        if kept == 0:
            with graph.graph.inserting_after(next(iter(graph.graph.find_nodes(op="placeholder")))):
                given = graph.graph.placeholder("layer")
            values.replace_all_uses_with(given)
        output.args = ((logits, values)[kept],)
        graph.graph.eliminate_dead_code()
        graph.graph.set_codegen(CodeGen())
        graph.recompile()
    return until, behind
