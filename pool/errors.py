"""The pool's errors; each text is one line that names the cause and the cure."""

from gantcha.errors import GantchaError, StorageError


class SettingsError(GantchaError):
    """A CAPTCHA_ variable has a bad value, or nearly the name of a setting."""


class DatabaseError(GantchaError):
    """The database can't be reached, or has no schema yet."""


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
