"""All errors that a user may see; each text is one line that names the cause and the cure."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class GantchaError(Exception):
    """Base of all errors a user may see; its text is one line."""


class SettingsError(GantchaError):
    """A CAPTCHA_ variable is unknown or has a bad value."""


class DatabaseError(GantchaError):
    """The database can't be reached, or has no schema yet."""


class StorageError(GantchaError):
    """A file or folder can't be read or written."""


class AddingStoppedError(StorageError):
    """Only some of the captchas could be written; those are in the pool."""

    def __init__(self, reason: str, ids: list[str]) -> None:
        super().__init__(reason)
        self.ids = ids


class LeaseLostError(GantchaError):
    """The lease lapsed; another process may hold it."""


class UnknownCaptchaError(GantchaError):
    """There is no captcha with this id."""


class SpeechError(GantchaError):
    """A code could not be spoken."""


class UnknownTokenError(GantchaError):
    """There is no such token."""


class SpentTokenError(GantchaError):
    """The token was redeemed before, or has expired."""


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn a `GantchaError` into one line on stderr and exit code 1."""
    try:
        yield
    except GantchaError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from error
