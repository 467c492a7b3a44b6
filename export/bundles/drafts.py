"""Putting a new directory in the place of an old one as a whole: whatever kills the process, one of the two is there."""

import ctypes
import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

from ...errors import OutputError, UnseeError
from ...files import removed_if_empty
from ...locks import alone
from .bundle import is_bundle

OURS = (
    "bundle.json",
    "labels.json",
    "probe.npz",
    "*.onnx",
    "*.weights",
    "*.plan",
    "*.plan.json",
    "*.timing.cache",
    "tensorrt",
    ".*.tmp",
)
"""What a bundle's directory holds, plans that were built on the box included."""
AT_CWD = -100
EXCHANGE = 2
NOT_SUPPORTED = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)


@contextmanager
def drafted(directory: Path, model: str | Path | None = None) -> Iterator[Path]:
    """Yield a new directory that takes the place of `directory`, an older bundle or nothing, when the block ends.

    model: what is exported; the bundle may not lie in its directory. Where the block fails nothing changes. Raises
    `UnseeError` where `directory` is or holds something else than a bundle, `OutputError` where it cannot be written.
    """
    try:
        target = checked_target(directory, model)
        lock = target.with_name(f".{target.name}.lock")
        busy = UnseeError(f"another export is writing {target}: wait for it, or name another directory")
        with removed_if_empty(target.parent), alone(lock, busy):
            try:
                yield from _drafted(target)
            finally:
                lock.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{error.filename or directory}: cannot be written ({error.strerror or error})") from error


def _drafted(target: Path) -> Iterator[Path]:
    """Yield a draft of a directory once, and put it in its place."""
    draft, old = (target.with_name(f".{target.name}.{word}") for word in ("tmp", "old"))
    _recover(target, old)
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        yield draft
        _put(draft, target, old)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def checked_target(directory: Path, model: str | Path | None = None) -> Path:
    """Return the real path of a directory that a bundle may be written to; raises `UnseeError` as `drafted` does."""
    target, here = directory.resolve(), Path.cwd()
    if target == here or target in here.parents:
        raise UnseeError(f"{directory} is the directory that the command runs in, or holds it: name one to be made")
    if target.exists() and not target.is_dir():
        raise UnseeError(f"{directory} exists and is no directory: name another")
    own = _directory_of(model)
    if own and own in (target, *target.parents):
        raise UnseeError(f"{directory} is, or lies in, the directory of the model itself: name another directory")
    if target.exists() and not is_bundle(target) and any(target.iterdir()):
        raise UnseeError(f"{directory} exists and is not a bundle: name another directory")
    strangers = [path.name for path in _entries(target) if not any(fnmatch(path.name, one) for one in OURS)]
    if strangers:
        raise UnseeError(
            f"{directory} holds {strangers[0]}, which no bundle does and which would be lost: move it away"
        )
    return target


def _directory_of(model: str | Path | None) -> Path | None:
    """Return the real path of a model that is a directory; None where it is a name."""
    try:
        path = Path(model).resolve() if model else None
        return path if path and path.is_dir() else None
    except (OSError, ValueError):
        return None


def _entries(directory: Path) -> list[Path]:
    return sorted(directory.iterdir()) if directory.is_dir() else []


def _recover(target: Path, old: Path) -> None:
    """Put back what a killed `_put_aside` took away."""
    if old.exists() and not target.exists():
        old.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def _put(draft: Path, target: Path, old: Path) -> None:
    """Give a draft its final name; what had that name is at `draft` afterwards, or gone."""
    if not _entries(target):
        draft.rename(target)
    elif not exchange(draft, target):
        _put_aside(draft, target, old)


def _put_aside(draft: Path, target: Path, old: Path) -> None:
    """As `exchange`, where a file system cannot: killed in between, the old directory is beside, under a hidden name."""
    target.rename(old)
    draft.rename(target)
    shutil.rmtree(old)


def exchange(first: Path, second: Path) -> bool:
    """Let two paths swap what they name, at once; False where the system or the file system cannot (renameat2(2))."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    if rename(AT_CWD, os.fsencode(first), AT_CWD, os.fsencode(second), EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in NOT_SUPPORTED:
        return False
    raise OSError(code, os.strerror(code), str(second))
