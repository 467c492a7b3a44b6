"""What the training of a promoter or an attentional network does, as one checked record. No torch needed."""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from ...errors import UnseeError
from ..data.catalogue import DATA_HELP
from ..networks.maps.mapper_metadata import PRESETS, AttentionalOptions, Kind, Options, Preset, PromoterOptions
from ..networks.model_names import DEFAULT_NAME
from .training_config import Schedule, TrainingConfig

INPUT_SIZES: dict[Kind, int] = {"promoter": 256, "attentional": 224}


@dataclass(frozen=True, kw_only=True)
class MapTrainingConfig(TrainingConfig):
    """The training of one network that makes or promotes maps.

    training, validation: data sets, see `catalogue.FORMS`; the papers validate on none. start: classifier whose
    convolutions it starts from, or random:NETWORK. options: constants that differ from `default_options`.
    learning_rate: of the new layers; backbone_rate: of the backbone, which 0 freezes. smallest_crop, largest_crop: part
    of each side that a training crop keeps. vary_colors: change brightness, contrast and saturation (not in the papers).
    flip: part of the labels that a promoter's regions get wrong. priors: folders of maps by the images' names, which a
    promoter is validated on; prior_share: part of the training samples whose regions come from them (not in the paper).
    first_stage_epochs: passes over the images in a promoter's first stage, see `first_stage`; the released code has 36.
    """

    kind: Kind
    training: Annotated[tuple[str, ...], f"{DATA_HELP}; several may be given"]
    validation: Annotated[str | None, "data set that is examined after each epoch"] = None
    preset: Preset | None = None
    start: Annotated[str, "classifier whose convolutions it starts from, or random:NETWORK"] = DEFAULT_NAME
    input_size: Annotated[int | None, "side of the input in pixels (default: the paper's)"] = None
    options: dict[str, Any] = field(default_factory=dict)
    batch: Annotated[int, "images a step, of all processes together"] = 8
    learning_rate: Annotated[float, "largest rate of the new layers"] = 1e-3
    backbone_rate: Annotated[float, "largest rate of the backbone; 0 freezes it"] = 1e-4
    schedule: Annotated[Schedule, "of the learning rates"] = "constant"
    augment: Annotated[bool, "crop and mirror by chance"] = True
    smallest_crop: Annotated[float, "least part of each side that a crop keeps"] = 0.9
    largest_crop: Annotated[float, "largest part of each side that a crop keeps"] = 0.9
    vary_colors: Annotated[bool, "change colours by chance (not in the papers)"] = False
    flip: Annotated[float, "part of the labels that regions get wrong"] = 0.05
    priors: Annotated[tuple[Path, ...], "folder of maps by the images' names; validation promotes the first"] = ()
    prior_share: Annotated[float, "part of the samples whose regions are priors, not labels (not in the paper)"] = 0.0
    first_stage_epochs: Annotated[
        int, "passes in which the features learn behind a decoder first (not in the paper)"
    ] = 0
    seed: Annotated[int, "seed of weights, order, augmentation and flipped labels"] = 0
    workers: Annotated[int, "processes that read images"] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kind not in INPUT_SIZES:
            raise UnseeError(f"kind must be one of {tuple(INPUT_SIZES)}, got {self.kind!r}")
        if self.preset is not None and self.preset not in PRESETS[self.kind]:
            raise UnseeError(f"preset of {self.kind} must be one of {PRESETS[self.kind]}, got {self.preset!r}")
        if not self.training or self.workers < 0 or self.backbone_rate < 0:
            raise UnseeError("a training needs data, workers and backbone_rate of at least 0")
        if not 0 < self.smallest_crop <= self.largest_crop <= 1:
            raise UnseeError("crops must be above 0 and at most 1, the smallest not above the largest")
        if not 0 <= self.flip < 0.5 or not 0 <= self.prior_share <= 1:
            raise UnseeError("flip must be at least 0 and below 0.5, prior_share in 0..1")
        if self.first_stage_epochs < 0 or (self.first_stage_epochs and self.kind != "promoter"):
            raise UnseeError("first_stage_epochs must be at least 0; only a promoter has a first stage")
        if self.prior_share and not self.priors:
            raise UnseeError("a share of samples with prior maps needs folders of priors")
        if self.priors and not self.prior_share and self.validation is None:
            raise UnseeError("priors are for --prior-share and --validation: add one, or leave --priors out")

    @property
    def preset_name(self) -> Preset:
        return self.preset or PRESETS[self.kind][0]  # pyright: ignore[reportReturnType]

    @property
    def side(self) -> int:
        """Return the side of the input in pixels: 256 for a promoter, 224 for an attentional network (papers C, D)."""
        return self.input_size or INPUT_SIZES[self.kind]


def default_options(kind: Kind, backbone: str, changes: dict[str, Any]) -> Options:
    """Return the constants of a network with some changed: those of the papers for vgg16, a coarser grid for others.

    Raises `UnseeError` on constants that the network does not have.
    """
    small = backbone != "vgg16"
    if kind == "promoter":
        options: Options = PromoterOptions(embedding=128, grid=4) if small else PromoterOptions()
    else:
        options = AttentionalOptions(grid=4) if small else AttentionalOptions()
    unknown = changes.keys() - asdict(options).keys()
    if unknown:
        raise UnseeError(f"{kind} has no {', '.join(sorted(unknown))}; it has {', '.join(asdict(options))}")
    return replace(options, **changes)
