"""Which map belongs to which mask: two folders matched by name, or PySODEvalToolkit's JSON files."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..engine.priors import MAP_SUFFIXES
from ..errors import UnseeError


@dataclass(frozen=True)
class FilePair:
    """A mask and the map that is scored against it."""

    key: str
    prediction: Path
    mask: Path


@dataclass(frozen=True)
class PairList:
    """Pairs in the order of their keys; keys of masks without a map; number of maps without a mask."""

    pairs: tuple[FilePair, ...]
    missing: tuple[str, ...]
    extra: int


def pair_folders(predictions: Path, masks: Path) -> PairList:
    """Match the images of two folders, sub-folders included, by name without suffix.

    Where a name occurs twice in a folder tree, names are taken with their sub-folder. Raises UnseeError for a folder
    that is not there, for two images of the same name in one folder, and where nothing matches.
    """
    found, wanted = _images(predictions), _images(masks)
    by_stem = all(len({path.stem for path in paths}) == len(paths) for paths in (found, wanted))
    return _matched(_keyed(found, predictions, by_stem), _keyed(wanted, masks, by_stem), predictions, masks)


def pair_toolkit(
    dataset_json: Path, method_json: Path, datasets: tuple[str, ...] = (), methods: tuple[str, ...] = ()
) -> dict[tuple[str, str], PairList]:
    """Pairs of every method and data set that both JSON files name, or of those asked for.

    The files are PySODEvalToolkit's: {dataset: {"mask": {path, prefix, suffix}}} and {method: {dataset: {path, prefix,
    suffix}}}. Relative paths are tried from the working folder, then from the JSON file's.
    """
    masks, maps = _read_json(dataset_json), _read_json(method_json)
    _check_names(datasets, masks, dataset_json)
    _check_names(methods, maps, method_json)
    lists = {}
    for method, entries in maps.items():
        for dataset, entry in entries.items():
            if dataset in masks and dataset in (datasets or masks) and method in (methods or maps):
                lists[method, dataset] = _pair_entries(entry, masks[dataset], dataset_json, method_json)
    if not lists:
        raise UnseeError(f"{method_json} names no data set of {dataset_json}")
    return lists


def _pair_entries(entry: Any, dataset: Any, dataset_json: Path, method_json: Path) -> PairList:
    if "mask" not in dataset:
        raise UnseeError(f"{dataset_json}: a data set has no 'mask' entry, it has {sorted(dataset)}")
    found, found_in = _entry_files(entry, method_json)
    wanted, wanted_in = _entry_files(dataset["mask"], dataset_json)
    return _matched(found, wanted, found_in, wanted_in)


def _entry_files(entry: Any, source: Path) -> tuple[dict[str, Path], Path]:
    """Files of one folder by the part of their name between prefix and suffix."""
    if not isinstance(entry, dict) or "path" not in entry:
        raise UnseeError(f"{source}: expected an entry with a 'path', got {entry!r}")
    folder = Path(entry["path"])
    if not folder.is_dir():
        folder = source.parent / folder
    prefix, suffix = entry.get("prefix") or "", entry.get("suffix") or ""
    files = {}
    for path in _images(folder, "*"):
        if path.name.startswith(prefix) and path.name.endswith(suffix):
            name = path.name[len(prefix) :]
            files[name[: -len(suffix)] if suffix else Path(name).stem] = path
    return files, folder


def _images(folder: Path, pattern: str = "**/*") -> list[Path]:
    if not folder.is_dir():
        raise UnseeError(f"{folder} is not a folder")
    return sorted(path for path in folder.glob(pattern) if path.suffix.lower() in MAP_SUFFIXES and path.is_file())


def _keyed(paths: list[Path], folder: Path, by_stem: bool) -> dict[str, Path]:
    keyed: dict[str, Path] = {}
    for path in paths:
        key = path.stem if by_stem else path.relative_to(folder).with_suffix("").as_posix()
        if key in keyed:
            raise UnseeError(f"{keyed[key]} and {path} have the same name: which one is meant?")
        keyed[key] = path
    return keyed


def _matched(found: dict[str, Path], wanted: dict[str, Path], found_in: Path, wanted_in: Path) -> PairList:
    pairs = tuple(FilePair(key, found[key], wanted[key]) for key in sorted(wanted) if key in found)
    if not pairs:
        names = f"{sorted(found)[:3]} in {found_in}, {sorted(wanted)[:3]} in {wanted_in}"
        raise UnseeError(f"no map has the name of a mask: {names}")
    missing = tuple(key for key in sorted(wanted) if key not in found)
    return PairList(pairs, missing, len(found.keys() - wanted.keys()))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UnseeError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict) or not all(isinstance(entry, dict) for entry in content.values()):
        raise UnseeError(f"{path} must hold an object of objects, as PySODEvalToolkit's files do")
    return content


def _check_names(names: tuple[str, ...], known: dict[str, Any], path: Path) -> None:
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UnseeError(f"{path} does not name {', '.join(unknown)}; it names {', '.join(known)}")
