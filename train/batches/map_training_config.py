"""What the training of a promoter or an attentional network does, as one checked record. No torch needed."""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ...errors import UnseeError
from ...files import digest_of
from ..networks.mapper_metadata import PRESETS, AttentionalOptions, Kind, Options, Preset, PromoterOptions
from ..networks.model_names import DEFAULT_NAME
from .classifier_config import Schedule

INPUT_SIZES: dict[Kind, int] = {"promoter": 256, "attentional": 224}


@dataclass(frozen=True)
class MapTrainingConfig:
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
    training: tuple[str, ...]
    output: Path
    validation: str | None = None
    preset: Preset | None = None
    start: str = DEFAULT_NAME
    input_size: int | None = None
    options: dict[str, Any] = field(default_factory=dict)
    epochs: int = 20
    batch: int = 8
    learning_rate: float = 1e-3
    backbone_rate: float = 1e-4
    schedule: Schedule = "constant"
    augment: bool = True
    smallest_crop: float = 0.9
    largest_crop: float = 0.9
    vary_colors: bool = False
    flip: float = 0.05
    priors: tuple[Path, ...] = ()
    prior_share: float = 0.0
    first_stage_epochs: int = 0
    seed: int = 0
    workers: int = 0
    threads: int | None = None
    save_every: int = 200
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.kind not in INPUT_SIZES:
            raise UnseeError(f"kind must be one of {tuple(INPUT_SIZES)}, got {self.kind!r}")
        if self.preset is not None and self.preset not in PRESETS[self.kind]:
            raise UnseeError(f"preset of {self.kind} must be one of {PRESETS[self.kind]}, got {self.preset!r}")
        if not self.training or min(self.epochs, self.batch, self.save_every) < 1 or self.workers < 0:
            raise UnseeError("a training needs data, epochs, batch and save_every of at least 1, workers of at least 0")
        if self.learning_rate <= 0 or self.backbone_rate < 0:
            raise UnseeError("learning_rate must be above 0, backbone_rate at least 0")
        if not 0 < self.smallest_crop <= self.largest_crop <= 1:
            raise UnseeError("crops must be above 0 and at most 1, the smallest not above the largest")
        if not 0 <= self.flip < 0.5 or not 0 <= self.prior_share <= 1:
            raise UnseeError("flip must be at least 0 and below 0.5, prior_share in 0..1")
        if self.first_stage_epochs < 0 or (self.first_stage_epochs and self.kind != "promoter"):
            raise UnseeError("first_stage_epochs must be at least 0; only a promoter has a first stage")
        if self.prior_share and not self.priors:
            raise UnseeError("a share of samples with prior maps needs folders of priors")

    @property
    def preset_name(self) -> Preset:
        return self.preset or PRESETS[self.kind][0]  # pyright: ignore[reportReturnType]

    @property
    def side(self) -> int:
        """Return the side of the input in pixels: 256 for a promoter, 224 for an attentional network (papers C, D)."""
        return self.input_size or INPUT_SIZES[self.kind]

    def settings(self) -> dict[str, Any]:
        """Return, as JSON, what decides the weights: all but places, workers and how often to save."""
        free = {"output", "workers", "threads", "save_every", "device"}
        values = asdict(self) | {"priors": [str(path) for path in self.priors]}
        return {name: value for name, value in values.items() if name not in free}

    def digest(self) -> str:
        """Return what a resumed training must agree in."""
        return digest_of(self.settings())


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
