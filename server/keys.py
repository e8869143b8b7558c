"""Named keys: API keys for back ends, site secrets for `/siteverify`; read again whenever their file changes."""

import logging
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path
from secrets import compare_digest

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from pool.errors import SettingsError
from pool.settings import Key, Settings, first_fault

log = logging.getLogger(__name__)
_CHECK_SECONDS = 1
_DEFAULT = "default"


class _File(BaseModel):
    """The content of the file."""

    model_config = ConfigDict(extra="forbid")

    api_keys: dict[str, Key] = {}
    site_secrets: dict[str, Key] = {}

    @field_validator("api_keys", "site_secrets")
    @classmethod
    def _check_names(cls, keys: dict[str, Key]) -> dict[str, Key]:
        if _DEFAULT in keys:
            raise ValueError(f"the name {_DEFAULT} is taken by the key of the environment; choose another")
        return keys


class Keys:
    """All keys by name: those from the settings are named `default`."""

    def __init__(self, settings: Settings) -> None:
        """Raises SettingsError when the file can't be read or its content is invalid."""
        self.error: str | None = None
        self._path = settings.keys_file
        self._api_keys = {_DEFAULT: settings.api_key} if settings.api_key else {}
        self._site_secrets = {_DEFAULT: settings.site_secret} if settings.site_secret else {}
        self._file, self._version, self._check_at = _File(), None, 0.0
        if self._path:
            self._version, self._file = _version(self._path), _read(self._path)

    @property
    def guards_api(self) -> bool:
        """Whether there is any API key."""
        self._read_if_changed()
        return bool(self._api_keys or self._file.api_keys)

    def api_key_name(self, given: str) -> str | None:
        """Return the name of this API key; None if it is unknown."""
        self._read_if_changed()
        return _name(given, self._api_keys | self._file.api_keys)

    def site_secret_name(self, given: str) -> str | None:
        """Return the name of this site secret; None if it is unknown."""
        self._read_if_changed()
        return _name(given, self._site_secrets | self._file.site_secrets)

    def _read_if_changed(self) -> None:
        if not self._path or time.monotonic() < self._check_at:
            return
        self._check_at = time.monotonic() + _CHECK_SECONDS
        try:
            version = _version(self._path)
            if version == self._version:
                self.error = None  # the file was missing for a while
                return
            file = _read(self._path)
            if self._file.api_keys and not (self._api_keys or file.api_keys):
                raise SettingsError(
                    f"CAPTCHA_KEYS_FILE {self._path} has no API key any more: restart the server to run without one"
                )
            self._file, self._version, self.error = file, version, None
            log.info("keys read again from %s", self._path)
        except SettingsError as error:  # a mistake in the file must not lock everyone out
            if str(error) != self.error:
                log.error("the keys stay as they were: %s", error)
            self.error = str(error)


def _name(given: str, keys: Mapping[str, Key]) -> str | None:
    # All keys are compared, so that the time taken reveals nothing.
    names = [name for name, key in keys.items() if compare_digest(given.encode(), key.get_secret_value().encode())]
    return names[0] if names else None


def _version(path: Path) -> tuple[int, ...]:
    try:
        status = path.stat()  # follows symbolic links: that is how secrets are mounted and replaced
    except OSError as error:
        raise SettingsError(f"CAPTCHA_KEYS_FILE {path} can't be read: {error.strerror}") from error
    return status.st_ino, status.st_mtime_ns, status.st_size


def _read(path: Path) -> _File:
    try:
        return _File.model_validate(tomllib.loads(path.read_text()))
    except OSError as error:
        raise SettingsError(f"CAPTCHA_KEYS_FILE {path} can't be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"CAPTCHA_KEYS_FILE {path} is not TOML: {error}") from error
    except ValidationError as error:
        where, reason = first_fault(error)
        raise SettingsError(f"CAPTCHA_KEYS_FILE {path}, {'.'.join(map(str, where))}: {reason}") from error
