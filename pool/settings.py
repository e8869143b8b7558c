"""Settings: environment variables with the prefix CAPTCHA_, read once at the start of a program."""

import os
import re
from contextlib import suppress
from difflib import get_close_matches
from functools import cached_property
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    HttpUrl,
    SecretStr,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import Url
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from gantcha.characters import named_characters, to_characters, usual_alphabet
from gantcha.drawing.look import Difficulty, Kind, Look, Theme, choose_look
from gantcha.home import CHECKPOINTS
from gantcha.trained import drawn_characters, untrained
from pool.errors import SettingsError
from pool.models import Stock

PREFIX = "CAPTCHA_"
_DAY = 24 * 60 * 60


def _usual_alphabet(values: dict[str, Any]) -> str:
    return usual_alphabet(drawn_characters(values.get("checkpoints_dir", CHECKPOINTS)))


def _check_alphabet(value: str, info: ValidationInfo) -> str:
    alphabet, folder = to_characters(value), info.data.get("checkpoints_dir", CHECKPOINTS)
    drawn = drawn_characters(folder)
    if set(alphabet) - set(drawn) and (reason := untrained(alphabet, folder)):
        raise ValueError(reason)
    if len(alphabet) < 2 or len(set(alphabet)) != len(alphabet) or not set(alphabet) <= set(drawn):
        raise ValueError(f"must be two or more different characters of {named_characters(drawn)}")
    return alphabet


def _check_database_url(value: str) -> str:
    driver = None
    with suppress(ArgumentError, NoSuchModuleError, ValueError):
        driver = make_url(value).get_dialect().driver
    if driver == "psycopg" and value.count("@") > 1:
        driver = None  # what follows the first may be the rest of a password, which must not be shown
    if driver not in ("pysqlite", "psycopg"):
        raise ValueError(
            "must look like sqlite:///var/pool.db or postgresql+psycopg://user:password@host/name, "
            "with special characters of the password percent-encoded: %40 for @"
        )
    return value


def _check_key(value: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[!-~]{16,}", value.get_secret_value()):
        raise ValueError("must be 16 or more characters of ASCII without spaces")
    return value


def like(pattern: str, example: str) -> AfterValidator:
    """Return a validator: the whole value must match the pattern."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"must look like {example}")
        return value

    return AfterValidator(check)


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _check_network(value: str) -> str:
    if value == "unix":
        return value
    try:
        network = ip_network(value)
    except ValueError as error:
        raise ValueError("must be addresses and networks like 10.0.0.5,192.168.0.0/24, or unix for --uds") from error
    if not network.prefixlen:
        raise ValueError(f"{value} would trust everyone to name any address: list the addresses of your proxies")
    mapped = network.version == 6 and network.network_address.ipv4_mapped
    return f"{mapped}/{network.prefixlen - 96}" if mapped and network.prefixlen >= 96 else value


_USUAL_PORTS = {("http", 80), ("https", 443)}


def _check_origin(value: str) -> str:
    """Return an origin as browsers and apps send it: in lower case, in ASCII, without the usual port."""
    if value == "*":
        return value
    example = "must look like https://www.example.com,capacitor://localhost"
    try:
        url = Url(value)
    except ValueError as error:
        raise ValueError(example) from error
    host = (url.host or "").lower().removesuffix(".")
    if "*" in host:
        raise ValueError("takes no * in a host, which no browser sends: list each host, or allow all with *")
    if not host or url.path not in (None, "", "/") or url.query or url.fragment or url.username:
        raise ValueError(f"{example}: an origin has no path, no name of a user, and a host")
    port = f":{url.port}" if url.port and (url.scheme, url.port) not in _USUAL_PORTS else ""
    return f"{url.scheme}://{host}{port}"


def _check_public_url(value: HttpUrl) -> HttpUrl:
    if value.query or value.fragment:
        raise ValueError("must end with its path, without ? or #")
    return value


Key = Annotated[SecretStr, AfterValidator(_check_key)]
_LIMIT = r"[1-9][0-9]{0,8}/(second|minute|hour|day)"
Limit = Annotated[str, like(f"{_LIMIT}(;{_LIMIT})*", "60/minute or 30/minute;300/hour")]
Work = Literal["off", "light", "heavy"]
"""How much a visitor's browser computes for a challenge."""
LogAddresses = Literal["full", "network", "none"]
"""How much of a client's address log lines have."""
LogLevel = Literal["debug", "info", "warning", "error"]
_Origin = Annotated[str, AfterValidator(_check_origin)]
_FILES_URL = r"s3://[a-z0-9.-]+(/[\w./-]*)?|file:///.+"
_FilesUrl = Annotated[str, like(_FILES_URL, "s3://bucket/prefix or file:///srv/captchas")]
_Network = Annotated[str, AfterValidator(_check_network)]


class Settings(BaseSettings):
    """All settings with their defaults; use `load_settings` to read them with one-line errors."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    database_url: Annotated[str, AfterValidator(_check_database_url)] = "sqlite:///var/pool.db"
    files_dir: Path = Path("var/files")
    files_url: _FilesUrl | None = None
    files_redirect: bool = False
    checkpoints_dir: Path = CHECKPOINTS
    api_key: Key | None = None
    site_secret: Key | None = None
    keys_file: Path | None = None
    public_url: Annotated[HttpUrl, AfterValidator(_check_public_url)] | None = None
    trusted_proxies: Annotated[tuple[_Network, ...], NoDecode, BeforeValidator(_split)] = ()
    cors_origins: Annotated[tuple[_Origin, ...], NoDecode, BeforeValidator(_split)] = ()
    issue_limit: Limit = "60/minute"
    answer_limit: Limit = "30/minute"
    alphabet: Annotated[str, AfterValidator(_check_alphabet)] = Field(default_factory=_usual_alphabet)
    kind: Kind = "plain"
    challenge_kind: Kind = "plain"
    difficulty: Difficulty = "standard"
    doubt: bool = True
    work: Work = "off"
    theme: Theme = "light"
    pixel_ratio: int = Field(default=2, ge=1, le=2)
    length: int = Field(default=6, ge=4, le=8)
    audio: bool = True
    generate: bool = True
    demo: bool | Literal["none"] = False
    docs: bool = True
    testing: bool = False
    siteverify_query: bool = False
    log_addresses: LogAddresses = "full"
    log_level: LogLevel = "info"
    access_log: bool = True
    ttl_seconds: int = Field(default=600, ge=1, le=_DAY)
    keep_seconds: int = Field(default=600, ge=0, le=_DAY)
    low_water: int = Field(default=1000, ge=0)
    target: int = Field(default=2000, ge=0)
    refill_seconds: float = Field(default=10, gt=0, le=_DAY)

    @cached_property
    def characters(self) -> str:
        """Characters that the generators draw."""
        return drawn_characters(self.checkpoints_dir)

    @property
    def stock(self) -> Stock:
        """Stock of `/generate` unless it is asked for another; of single density: pages show it at its own size."""
        return Stock(self.kind, self.difficulty)

    @property
    def challenge_stock(self) -> Stock:
        """Stock of `/challenge`, except for sites with a difficulty of their own."""
        return Stock(self.challenge_kind, self.difficulty, self.pixel_ratio)

    @property
    def look(self) -> Look:
        """Look of the captchas of `stock`."""
        return self.look_of(self.stock)

    def look_of(self, stock: Stock) -> Look:
        """Return the look of the captchas of a stock."""
        kind, difficulty, pixel_ratio = stock
        return choose_look(kind, difficulty, self.theme, decoys=self.alphabet, pixel_ratio=pixel_ratio)

    @model_validator(mode="before")
    @classmethod
    def _strip(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Strip what surrounds values: those from files of secrets end with a newline."""
        return {name: value.strip() if isinstance(value, str) else value for name, value in values.items()}

    @model_validator(mode="after")
    def _check_combinations(self) -> Self:
        if self.target and self.low_water > self.target:
            raise ValueError(f"CAPTCHA_LOW_WATER ({self.low_water}) must not be above CAPTCHA_TARGET ({self.target})")
        if self.files_redirect and not (self.files_url or "").startswith("s3:"):
            raise ValueError("CAPTCHA_FILES_REDIRECT needs a CAPTCHA_FILES_URL of s3:// to redirect to")
        return self


def first_fault(error: ValidationError) -> tuple[tuple[int | str, ...], str]:
    """Return the place of the first invalid value and the reason; never the value itself, which may be a key."""
    first = error.errors(include_url=False, include_input=False)[0]
    return first["loc"], first["msg"].removeprefix("Value error, ")


def foreign_variables() -> list[str]:
    """Return the CAPTCHA_ variables that are other programs': no setting of ours has a similar name."""
    return [name for name, near in _unknown_variables().items() if not near]


def _unknown_variables() -> dict[str, str | None]:
    """Return the CAPTCHA_ variables that are no settings, each with the setting of a similar name if there is one."""
    known = [name.upper() for name in Settings.model_fields]
    found: dict[str, str | None] = {}
    for name in sorted(os.environ):
        given = name.upper().removeprefix(PREFIX)
        if name.upper().startswith(PREFIX) and given not in known:
            near = get_close_matches(given, known, n=1, cutoff=0.7)  # without the prefix, which all names share
            found[name] = f"{PREFIX}{near[0]}" if near else None
    return found


def load_settings(**instead: object) -> Settings:
    """Read the environment; values in `instead` that are not None take precedence.

    Raises:
        SettingsError: a value is invalid, or a CAPTCHA_ variable has nearly the name of a setting.
    """
    for name, near in _unknown_variables().items():
        if near:
            raise SettingsError(f"{name} is not a setting: did you mean {near}?")
    try:
        return Settings(**{name: value for name, value in instead.items() if value is not None})  # type: ignore[arg-type] # pydantic checks them
    except ValidationError as error:
        where, reason = first_fault(error)
        name = "".join(f"{PREFIX}{part}".upper() for part in where[:1])
        raise SettingsError(f"{name}: {reason}" if name else reason) from error
