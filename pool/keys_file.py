"""The content of CAPTCHA_KEYS_FILE: API keys, secrets, and sites."""

import errno
import os
import stat
import tomllib
from collections import Counter
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from gantcha.drawing.look import Difficulty
from pool.errors import SettingsError
from pool.models import Mode
from pool.settings import Key, Limit, Work, first_fault, like

_MOST_BYTES = 2**20
DEFAULT = "default"
"""The name of the keys in the environment, which no key in the file may have."""
_Hostname = Annotated[str, like(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*|[0-9a-f:.]+", "shop.example.com, in lower case")]
_WORD = r"[A-Za-z0-9_.-]{1,64}"
_SiteName = Annotated[str, like(_WORD, "shop: at most 64 letters, digits, or _ . -")]
_Sitekey = Annotated[str, like(_WORD, "shop-5f0c2b7d9e1a4c3f: at most 64 letters, digits, or _ . -")]
_Named = TypeVar("_Named")


Right = Literal["generate", "load", "metrics"]
"""What an API key may do; `metrics` includes the details of `/readyz`, and `/operator`."""
RIGHTS: frozenset[Right] = frozenset(get_args(Right))


def _as_api_key(value: object) -> object:
    return {"key": value, "may": RIGHTS} if isinstance(value, str | SecretStr) else value


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


class ApiKey(BaseModel):
    """An API key that may do only some of what API keys may."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: Key
    may: Annotated[frozenset[Right], Field(min_length=1)]


class Site(BaseModel):
    """Pages that share a sitekey, and the back end that redeems their tokens."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sitekey: _Sitekey
    secret: Annotated[tuple[Key, ...], BeforeValidator(_as_list), Field(min_length=1)]
    """secrets of its back end; several while one replaces another"""
    hostnames: tuple[_Hostname, ...] = ()
    """hosts of its pages, each with its subdomains; empty: any"""
    difficulty: Difficulty | None = None
    """least difficulty of its captchas; None: CAPTCHA_DIFFICULTY"""
    issue_limit: Limit | None = None
    answer_limit: Limit | None = None
    work: Work | None = None
    """work of its visitors' browsers for a challenge; None: CAPTCHA_WORK"""
    mode: Literal["picture", "quiet"] = "picture"
    """quiet: pages may ask for work alone, and visitors without doubt see no picture"""
    quiet_limit: Limit = "60/minute"
    """how many visitors may pass without a picture; the others see one"""
    alternative: Literal["work"] | None = None
    """work: visitors who can neither see nor hear may let their device work for some 20 s instead"""

    @property
    def passes(self) -> frozenset[Mode]:
        """How its tokens may be earned without a picture."""
        modes: dict[Mode, bool] = {"quiet": self.mode == "quiet", "alternative": self.alternative == "work"}
        return frozenset(mode for mode, is_allowed in modes.items() if is_allowed)

    def names(self, hostname: str) -> bool:
        """Return whether this host, or one that it is a subdomain of, is listed."""
        return any(hostname == one or hostname.endswith(f".{one}") for one in self.hostnames)

    def allows(self, hostname: str) -> bool:
        """Return whether pages of this host may use the sitekey."""
        return not self.hostnames or self.names(hostname)


class KeysFile(BaseModel):
    """The keys and sites by name."""

    model_config = ConfigDict(extra="forbid")

    api_keys: dict[str, Annotated[ApiKey, BeforeValidator(_as_api_key)]] = {}
    site_secrets: dict[str, Key] = {}
    """secrets that redeem tokens of pages without a sitekey"""
    sites: dict[_SiteName, Site] = {}

    @field_validator("api_keys", "site_secrets", "sites")
    @classmethod
    def _check_names(cls, keys: dict[str, _Named]) -> dict[str, _Named]:
        if DEFAULT in keys:
            raise ValueError(f"the name {DEFAULT} is taken by the key of the environment; choose another")
        return keys

    @model_validator(mode="after")
    def _check_differences(self) -> Self:
        secrets = [*self.site_secrets.values(), *(one for site in self.sites.values() for one in site.secret)]
        for what, values in {
            "name": [*self.site_secrets, *self.sites],
            "sitekey": [site.sitekey for site in self.sites.values()],
            "secret": [secret.get_secret_value() for secret in secrets],
        }.items():
            if len(set(values)) < len(values):
                shown = "" if what == "secret" else f" {Counter(values).most_common(1)[0][0]}"
                raise ValueError(f"two sites or secrets have the same {what}{shown}; give each its own")
        return self


def read_keys_file(path: Path | None) -> KeysFile:
    """Read the file; without one there are no keys. Raises SettingsError if it can't be read or is invalid."""
    if path is None:
        return KeysFile()
    try:
        return KeysFile.model_validate(tomllib.loads(_read(path)))
    except OSError as error:
        raise SettingsError(f"CAPTCHA_KEYS_FILE {path} can't be read: {error.strerror}") from error
    except RecursionError as error:
        raise SettingsError(f"CAPTCHA_KEYS_FILE {path} is not TOML: too many brackets in each other") from error
    except ValidationError as error:
        where, reason = first_fault(error)
        place = ", ".join(filter(None, [str(path), ".".join(map(str, where)).removesuffix(".key")]))
        raise SettingsError(f"CAPTCHA_KEYS_FILE {place}: {reason}") from error
    except ValueError as error:  # also of a number with thousands of digits
        raise SettingsError(f"CAPTCHA_KEYS_FILE {path} is not TOML: {str(error).splitlines()[0]}") from error


def _read(path: Path) -> str:
    """Read a file; a pipe or a device would keep the server waiting."""
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise OSError(errno.EFBIG, "it is larger than 1 MiB")
    return content.decode("utf-8-sig")
