"""A folder of an object store, through fsspec: whole objects by name, each request tried again where it fails.

No rename, no lock and no appending is asked of the store. What it needs to let somebody in is fsspec's business: nothing
of it is kept here, and what a URL says of it is never shown.
"""

import random
import re
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import fsspec

from ...errors import OutputError, UnseeError, first_line
from ...files import temporary_of
from ...names import printable
from ..remote.filesystems import require_protocols
from ..workers.daemon_threads import Workers

R = TypeVar("R")

TRIES = 6
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0
"""Seconds before the second try, which double with each further one."""
AT_ONCE = 16
"""Requests that are made side by side."""
MULTIPART = 50 * 2**20
"""Bytes above which an object is sent in parts."""
LASTING = (FileNotFoundError, FileExistsError, PermissionError, NotImplementedError, IsADirectoryError, TypeError)
"""What another try does not mend."""
WITHOUT_KEYS = ("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "ProfileNotFound")
"""Errors of botocore that say the same, by their names: it need not be installed."""
USER_INFO = re.compile(r"(?<=://)[^/@]*@")


class ObjectFolder:
    """The objects whose names begin with a URL. Raises `OutputError` where the store refuses, or fails again and again.

    Names are relative to the URL; those that are not valid UTF-8 are escaped. May be sent to another process.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.shown = USER_INFO.sub("", self.url)
        try:
            require_protocols(url, "keeping results at")
        except ValueError as error:
            raise UnseeError(f"{self.shown}: {error}") from None

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        system, root = self._patiently("", lambda: fsspec.core.url_to_fs(self.url, use_listings_cache=False))
        return system, root.rstrip("/")

    def __getstate__(self) -> dict[str, Any]:
        """Leave out connections: another process makes its own."""
        return {name: value for name, value in vars(self).items() if name != "_opened"}

    def get(self, name: str) -> bytes | None:
        """Return an object, None where there is none."""
        return self._asked(name, self._opened[0].cat_file, missing=None)

    def put(self, name: str, data: bytes) -> None:
        """Write an object, in place of an earlier one."""
        self._asked(name, lambda path: self._opened[0].pipe_file(path, data))

    def create(self, name: str, data: bytes) -> bool:
        """Write an object unless there is one; tell whether it is ours.

        The condition is the store's where it knows one. Elsewhere the last of several that write at once has it.
        """
        system = self._opened[0]

        def create(path: str) -> None:
            with suppress(FileExistsError):  # ours, too, where only the answer was lost
                try:
                    system.pipe_file(path, data, mode="create")
                except (NotImplementedError, TypeError):
                    if not system.exists(path):
                        system.pipe_file(path, data)

        self._asked(name, create)
        return self.get(name) == data

    def exists(self, name: str) -> bool:
        """Tell whether there is an object of that name."""
        return self._asked(name, self._opened[0].info, missing=None) is not None

    def names(self) -> list[str]:
        """Return the names of the objects and folders right below the URL."""
        root = self._opened[1]
        found = self._asked("", lambda path: self._opened[0].ls(path, detail=False), missing=[])
        return sorted(path.removeprefix(root).strip("/") for path in found if path.strip("/") != root.strip("/"))

    def below(self, name: str) -> list[str]:
        """Return the names of all objects below one of the folders."""
        root = self._opened[1]
        found = self._asked(name, self._opened[0].find, missing=[])
        return sorted(path.removeprefix(root).strip("/") for path in found)

    def upload(self, folder: Path, names: Iterable[str]) -> None:
        """Write files of a folder as objects of the same names."""
        self._each(names, lambda name: self._upload(folder / name, name))

    def download(self, folder: Path, names: Iterable[str]) -> None:
        """Write objects as files of the same names; one that is not there makes none."""
        self._each(names, lambda name: self._download(name, folder / name))

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects, those that are not there too."""
        self._each(names, lambda name: self._asked(name, self._opened[0].rm_file, missing=None))

    def _upload(self, path: Path, name: str) -> None:
        system = self._opened[0]

        def send(place: str) -> None:
            if path.stat().st_size > MULTIPART:
                drop_parts(system, place)
            system.put_file(str(path), place)

        self._asked(name, send)

    def _download(self, name: str, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = temporary_of(path)
        try:
            if self._asked(name, lambda place: self._opened[0].get_file(place, str(temporary)) or True, missing=False):
                temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def _each(self, names: Iterable[str], action: Callable[[str], Any]) -> None:
        with Workers(AT_ONCE, "store") as pool:
            for future in [pool.submit(action, name) for name in names]:
                future.result()

    def _asked(self, name: str, action: Callable[[str], R], **missing: R) -> R:
        """Call an action with an object's place; missing: what one that is not there gives."""
        place = "/".join(filter(None, (self._opened[1], printable(name))))
        return self._patiently(name, lambda: action(place), **missing)

    def _patiently(self, name: str, action: Callable[[], R], **missing: R) -> R:
        """Call an action until it succeeds, or fails in a way that no other try mends."""
        pauses = iter([min(LONGEST_PAUSE, FIRST_PAUSE * 2**number) for number in range(TRIES - 1)])
        while True:
            try:
                return action()
            except Exception as error:  # file systems raise what their libraries do
                if isinstance(error, FileNotFoundError) and "missing" in missing:
                    return missing["missing"]
                lasting = isinstance(error, LASTING) or type(error).__name__ in WITHOUT_KEYS
                pause = None if lasting else next(pauses, None)
                if pause is None:
                    raise self._refusal(name, error) from None
            time.sleep(pause * random.uniform(0.5, 1.0))

    def _refusal(self, name: str, error: Exception) -> OutputError:
        reason = first_line(error).replace(self.url, self.shown)
        where = "/".join(filter(None, (self.shown, printable(name))))
        return OutputError(f"{where}: the store does not answer as it should ({type(error).__name__}: {reason})")


def drop_parts(system: Any, place: str) -> None:
    """Drop what a killed process has sent of an object in parts; stores without such parts have nothing to drop."""
    if "s3" not in (system.protocol if isinstance(system.protocol, tuple) else (system.protocol,)):
        return
    bucket, key, _ = system.split_path(place)
    found = system.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=key).get("Uploads", [])
    for part in found:
        if part["Key"] == key:
            system.call_s3("abort_multipart_upload", Bucket=bucket, Key=key, UploadId=part["UploadId"])
