"""A server whose work costs as much to make and to check as ever, but is solved already: the load does none of it."""

from altcha import ChallengeParameters, derive_key_pbkdf2

from server import app
from server.access import work


def _derive(parameters: ChallengeParameters, salt: bytes, password: bytes) -> bytes:
    """Derive a key, and return the one that every client of this server knows."""
    derive_key_pbkdf2(parameters, salt, password)
    return bytes(parameters.key_length)


work.derive_key_pbkdf2 = _derive  # type: ignore[attr-defined] # imported there
application = app.application
