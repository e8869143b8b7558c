"""Everything the product refuses or fails at, each error one sentence that names the cause and the cure."""

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
    """The disk took only some of the captchas; those are in the pool."""

    def __init__(self, reason: str, ids: list[str]) -> None:
        super().__init__(reason)
        self.ids = ids


class LeaseLostError(GantchaError):
    """What only one process may do is another's by now."""


class UnknownCaptchaError(GantchaError):
    """There is no captcha with this id."""


class SpeechError(GantchaError):
    """A code could not be spoken."""


class UnknownTokenError(GantchaError):
    """There is no such token."""


class SpentTokenError(GantchaError):
    """The token has been used, or is too old."""


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End the program with a single line on stderr and exit code 1 when a `GantchaError` gets this far."""
    try:
        yield
    except GantchaError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from error
