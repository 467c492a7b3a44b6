"""The errors a user can cause, and the exit code each one ends the command with."""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of every command (documented in docs/cli.md)."""

    OK = 0
    CRASH = 1
    USAGE = 2
    FAILED_ROWS = 3
    MISMATCH = 4
    UNAVAILABLE = 5
    INTERRUPTED = 130


def first_line(error: BaseException) -> str:
    """Return the first line of what an exception says; the name of its type where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


class UnseeError(Exception):
    """A mistake the user can mend: shown as one line without a traceback."""

    exit_code: ExitCode = ExitCode.USAGE


class DeviceUnavailableError(UnseeError):
    """The device or backend that was asked for cannot be used."""

    exit_code = ExitCode.UNAVAILABLE


class MissingExtraError(UnseeError):
    """An optional package is not installed."""

    exit_code = ExitCode.UNAVAILABLE


class VerificationError(UnseeError):
    """Two results that must agree do not."""

    exit_code = ExitCode.MISMATCH


class OutputError(UnseeError):
    """Results cannot be written: full disk, missing rights."""

    exit_code = ExitCode.CRASH


class BadImageError(UnseeError):
    """An image failed in a run that was told to stop at the first failure."""

    exit_code = ExitCode.FAILED_ROWS


class FailedShardsError(UnseeError):
    """A run ended, but some of its shards could not be finished."""

    exit_code = ExitCode.CRASH


class FailedImageError(Exception):
    """What makes one image a failed row; `code` is the row's error code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class DecodingError(FailedImageError, ValueError):
    """An image that cannot be used."""
