"""The presets of papers A and B, and a better one: constants of descent and post-processing (spec 1.9, 2.5, 2.9, 10)."""

from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

from ...errors import UnseeError
from ...export.bundles.descent_config import DescentConfig
from ...fields import Limits, check_fields

Pruning = Literal["otsu", "soft", "none"]
FinalPruning = Literal["hard", "soft", "sigmoid", "none"]
Normalization = Literal["minmax", "linf", "l2", "l1"]
Cleanup = Literal["auto", "device", "cpu"]

MOST_SEGMENTS = 2000
"""Superpixels an image: the background weights solve a dense system of as many equations."""
POST_LIMITS: dict[str, Limits] = {
    "otsu_factor": (0, 1000),
    "theta": (0, 1),
    "segments": (0, MOST_SEGMENTS),
    "compactness": (0, 1e6),
    "smallest_superpixel": (0, 100),
    "alpha": (0, 1e6),
    "distribution_k": (-1000, 1000),
    "color_sigma": (0, 1e6),
    "affinity_floor": (0, 1e6),
    "gain": (-1000, 1000),
    "final_threshold": (0, 1),
    "steepness": (0, 1e6),
    "middle": (0, 1),
    "closing": (0, 224),
}
"""From and to which constant a clean-up is sane; what is beyond is a slip or a hostile file."""


@dataclass(frozen=True)
class PostConfig:
    """Constants of the way from the descended difference D to the finished map (spec sections 2.3 to 2.7)."""

    channel_normalization: Annotated[bool, "scale each channel of the difference to 0..1 before their mean"] = True
    prune: Annotated[Pruning, "otsu keeps values above a level, soft subtracts one"] = "otsu"
    otsu_factor: Annotated[float, "factor on Otsu's level"] = 1.3
    theta: Annotated[float, "soft level as a fraction of the map's maximum"] = 0.1
    normalization: Annotated[Normalization, "how pruned, refined and finished maps are scaled"] = "minmax"
    segments: Annotated[int, "superpixels an image; 0 turns the smoothing off"] = 100
    compactness: Annotated[float, "compactness of superpixels"] = 10.0
    smallest_superpixel: Annotated[float, "components up to this share of the mean superpixel join a neighbour"] = 0.25
    low_level: Annotated[bool, "weigh the map by low-level colour contrast"] = True
    alpha: Annotated[float, "weight of the map where the colour contrast is zero"] = 0.2
    distribution_k: Annotated[float, "exponent of the colour distribution"] = 6.0
    color_sigma: Annotated[float, "width of the colour distribution in Lab units"] = 20.0
    background: Annotated[bool, "hold the map against robust background detection instead"] = False
    affinity_floor: Annotated[float, "pull of neighbouring superpixels of unlike colours, with --background"] = 0.03
    final_prune: Annotated[FinalPruning, "hard brightens, clips and cuts; soft is as above; sigmoid parts"] = "hard"
    gain: Annotated[float, "brightening of the refined map"] = 1.7
    final_threshold: Annotated[float, "values of the brightened map up to this become 0"] = 0.2
    steepness: Annotated[float, "of the final sigmoid"] = 15.0
    middle: Annotated[float, "value that the final sigmoid parts at"] = 0.6
    closing: Annotated[int, "radius of the final dilation and erosion in pixels of a 224-pixel map; 0 is none"] = 0

    def __post_init__(self) -> None:
        check_fields(self, POST_LIMITS)
        if self.background and (self.low_level or not self.segments):
            raise UnseeError(
                "background takes the place of low_level and needs superpixels: have low_level off and segments above 0, "
                "or turn background off (--no-background), or name another preset (--preset reference)"
            )
        if self.steepness <= 0 or not 0 < self.middle < 1:
            raise UnseeError("steepness must be above 0, middle between 0 and 1")
        if self.theta >= 1 or self.final_threshold >= 1:
            raise UnseeError("theta and final_threshold must be below 1")
        if self.compactness <= 0 or self.color_sigma <= 0:
            raise UnseeError("compactness and color_sigma must be above 0")


@dataclass(frozen=True)
class Preset:
    """A named choice of every constant."""

    name: str
    descent: DescentConfig = field(default_factory=DescentConfig)
    post: PostConfig = field(default_factory=PostConfig)


PLAIN = PostConfig(segments=0, low_level=False, final_prune="none", closing=5)
"""Paper A's way from the difference to the map: pruned, scaled, dilated and eroded."""

PRESETS = {
    # What paper B's authors ran (spec 2.5).
    "reference": Preset("reference"),
    # Paper B as printed: B1 to B6. The paper leaves the step size open; how this one was chosen: docs/log.md.
    "paper": Preset(
        "paper",
        DescentConfig(gradient="raw", step=0.03, step_decay=1.0, iterations=10),
        PostConfig(channel_normalization=False, prune="soft", normalization="linf", final_prune="soft"),
    ),
    # Better and 35 times less work than what either paper did; how it was found: docs/log.md.
    "best": Preset(
        "best",
        DescentConfig(cost="log-prob", iterations=1),
        PostConfig(
            prune="none", segments=300, compactness=20.0, low_level=False, background=True, final_prune="sigmoid"
        ),
    ),
    # Paper A with the constants that B's authors ran.
    "a-reference": Preset("a-reference", DescentConfig(cost="log-prob", iterations=15), PLAIN),
    # Paper A as printed. The step size, which it leaves open, is as large as B's.
    "a-paper": Preset(
        "a-paper",
        DescentConfig(cost="log-prob", gradient="raw", step=0.03, step_decay=1.0, iterations=15),
        replace(PLAIN, channel_normalization=False, prune="soft", normalization="linf"),
    ),
}

DEFAULT_PRESET = "best"
METHOD_PRESETS = {"a": "a-reference"}
"""The presets of methods with another default."""


def preset(name: str) -> Preset:
    """Return a preset by name; an unknown name is a `UnseeError`."""
    if name not in PRESETS:
        raise UnseeError(f"unknown preset {name!r}; known: {', '.join(PRESETS)}")
    return PRESETS[name]


def default_preset(method: str = "b") -> Preset:
    """Return the preset of a method for which none was named."""
    return PRESETS[METHOD_PRESETS.get(method, DEFAULT_PRESET)]
