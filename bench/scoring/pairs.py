"""Which map belongs to which mask: two folders matched by name, or PySODEvalToolkit's JSON files."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...errors import UnseeError
from .image_folders import ImageFolder, flat_folder, map_folder, mask_folder
from .remarks import Remark, Tally

LONGEST_EXCERPT = 100


@dataclass(frozen=True)
class FilePair:
    """A mask and the map that is scored against it."""

    key: str
    prediction: Path
    mask: Path


@dataclass(frozen=True)
class PairList:
    """Pairs in the order of their keys; keys of masks without a map; number of maps without a mask; files left out."""

    pairs: tuple[FilePair, ...]
    missing: tuple[str, ...]
    extra: int
    remarks: tuple[Remark, ...] = ()


def pair_folders(predictions: Path, masks: Path) -> PairList:
    """Match the images of two folders, sub-folders included, by name without suffix.

    Where a name occurs twice in a folder tree, names are taken with their sub-folder. See `image_folders` for what
    counts. Raises UnseeError for a folder that is not there, for two images of the same name in one folder, and where
    nothing matches.
    """
    found, wanted = map_folder(predictions, masks), mask_folder(masks, predictions)
    by_stem = all(len({path.stem for path in listed.images}) == len(listed.images) for listed in (found, wanted))
    pairs = _matched(_keyed(found, by_stem), _keyed(wanted, by_stem), predictions, masks)
    return replace(pairs, remarks=found.remarks + wanted.remarks + pairs.remarks)


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
    pairs = _matched(found, wanted, found_in.folder, wanted_in.folder)
    return replace(pairs, remarks=found_in.remarks + wanted_in.remarks + pairs.remarks)


def _entry_files(entry: Any, source: Path) -> tuple[dict[str, Path], ImageFolder]:
    """Files of one folder by the part of their name between prefix and suffix."""
    prefix, suffix = (_text(entry, name, source) for name in ("prefix", "suffix"))
    path = _text(entry, "path", source)
    if not path:
        raise UnseeError(f"{source}: expected an entry with a 'path', got {_excerpt(entry)}")
    folder = Path(path)
    listed = flat_folder(folder if folder.is_dir() else source.parent / folder)
    files: dict[str, Path] = {}
    for image in listed.images:
        if image.name.startswith(prefix) and image.name.endswith(suffix):
            name = image.name[len(prefix) :]
            key = name[: -len(suffix)] if suffix else Path(name).stem
            if key in files:
                raise UnseeError(f"{files[key]} and {image} have the same name: give {source} a 'suffix'")
            files[key] = image
    return files, listed


def _text(entry: Any, name: str, source: Path) -> str:
    """Return a text of an entry, empty where it has none."""
    value = entry.get(name) if isinstance(entry, dict) else entry
    if not isinstance(entry, dict) or not isinstance(value, str | None):
        raise UnseeError(f"{source}: expected an entry of texts with a 'path', got {_excerpt(entry)}")
    return value or ""


def _excerpt(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST_EXCERPT else f"{text[:LONGEST_EXCERPT]}..."


def _keyed(listed: ImageFolder, by_stem: bool) -> dict[str, Path]:
    keyed: dict[str, Path] = {}
    for path in listed.images:
        key = path.stem if by_stem else path.relative_to(listed.folder).with_suffix("").as_posix()
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
    tally, extra = Tally(), sorted(found.keys() - wanted.keys())
    tally.add_all("maps without a mask of their name", extra)
    if found_in.samefile(wanted_in):
        same = (pair.key for pair in pairs if pair.prediction.resolve() == pair.mask.resolve())
        tally.add_all("maps that are their own masks", same, doubtful=True)
    return PairList(pairs, missing, len(extra), tally.remarks())


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes().decode("utf-8-sig"))
        json.dumps(content, ensure_ascii=False).encode()  # half of a surrogate pair is no text
    except (OSError, ValueError, RecursionError) as error:
        raise UnseeError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict) or not all(isinstance(entry, dict) for entry in content.values()):
        raise UnseeError(f"{path} must hold an object of objects, as PySODEvalToolkit's files do")
    return content


def _check_names(names: tuple[str, ...], known: dict[str, Any], path: Path) -> None:
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UnseeError(f"{path} does not name {', '.join(unknown)}; it names {', '.join(known)}")
