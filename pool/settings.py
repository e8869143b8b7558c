"""Settings: environment variables with the prefix CAPTCHA_, read once at the start of a program."""

import os
import re
from difflib import get_close_matches
from functools import cached_property
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self, get_args

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
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from pool.answers import CHARACTERS, drawn_characters, named_characters, to_characters
from pool.errors import SettingsError

PREFIX = "CAPTCHA_"
CONFUSABLE = "01abcefghilnoqrstuvyz"
"""Left out of codes by default: in distorted handwriting these look like others (0 o, 2 a, 4 h, 6 b, 7 r, c e, f p)."""
DEFAULT_CHECKPOINTS_DIR = Path(__file__).parent.parent / "checkpoints"
_DAY = 24 * 60 * 60
Kind = Literal["plain", "crossed-out"]
Difficulty = Literal["easy", "standard", "hard"]
Theme = Literal["light", "dark"]
DIFFICULTIES: tuple[Difficulty, ...] = get_args(Difficulty)
"""The easiest first."""


class Stock(NamedTuple):
    """Names the captchas of one kind and one difficulty: a pop takes from one stock, and a fill adds to one."""

    kind: Kind
    difficulty: Difficulty

    def __str__(self) -> str:
        """For messages."""
        return f"{self.kind} ({self.difficulty})"


def _usual_alphabet(values: dict[str, Any]) -> str:
    drawn = drawn_characters(values.get("checkpoints_dir", DEFAULT_CHECKPOINTS_DIR))
    return "".join(c for c in drawn if c not in CONFUSABLE) if drawn == CHARACTERS else drawn


def _check_alphabet(value: str, info: ValidationInfo) -> str:
    alphabet = to_characters(value)
    drawn = drawn_characters(info.data.get("checkpoints_dir", DEFAULT_CHECKPOINTS_DIR))
    if len(alphabet) < 2 or len(set(alphabet)) != len(alphabet) or not set(alphabet) <= set(drawn):
        raise ValueError(f"must be two or more different characters of {named_characters(drawn)}")
    return alphabet


def _check_database_url(value: str) -> str:
    try:
        driver = make_url(value).get_dialect().driver
    except (ArgumentError, NoSuchModuleError):
        driver = None
    if driver not in ("pysqlite", "psycopg"):
        raise ValueError("must look like sqlite:///var/pool.db or postgresql+psycopg://user:password@host/name")
    return value


def _check_key(value: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[!-~]{16,}", value.get_secret_value()):
        raise ValueError("must be 16 or more characters of ASCII without spaces")
    return value


def like(pattern: str, example: str) -> AfterValidator:
    """Check that the whole value matches the pattern."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"must look like {example}")
        return value

    return AfterValidator(check)


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _check_network(value: str) -> str:
    try:
        ip_network(value)
    except ValueError as error:
        raise ValueError("must be addresses and networks like 10.0.0.5,192.168.0.0/24") from error
    return value


def _check_public_url(value: HttpUrl) -> HttpUrl:
    if value.query or value.fragment:
        raise ValueError("must end with its path, without ? or #")
    return value


Key = Annotated[SecretStr, AfterValidator(_check_key)]
_LIMIT = r"[1-9]\d*/(second|minute|hour|day)"
Limit = Annotated[str, like(f"{_LIMIT}(;{_LIMIT})*", "60/minute or 30/minute;300/hour")]
_Origin = Annotated[str, like(r"\*|https?://[^/\s]+", "* or https://www.example.com,https://shop.example.com")]
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
    checkpoints_dir: Path = DEFAULT_CHECKPOINTS_DIR
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
    theme: Theme = "light"
    pixel_ratio: int = Field(default=1, ge=1, le=2)
    length: int = Field(default=6, ge=4, le=8)
    audio: bool = True
    demo: bool | Literal["none"] = False
    docs: bool = True
    testing: bool = False
    ttl_seconds: int = Field(default=600, ge=1, le=_DAY)
    keep_seconds: int = Field(default=600, ge=0, le=_DAY)
    low_water: int = Field(default=1000, ge=0)
    target: int = Field(default=2000, ge=0)
    refill_seconds: float = Field(default=10, gt=0, le=_DAY)

    @cached_property
    def characters(self) -> str:
        """All that the generators draw."""
        return drawn_characters(self.checkpoints_dir)

    @property
    def stock(self) -> Stock:
        """What `/generate` hands out unless asked otherwise, and what `batch.fill --count` adds to."""
        return Stock(self.kind, self.difficulty)

    @property
    def challenge_stock(self) -> Stock:
        """What `/challenge` hands out, except to sites with a difficulty of their own."""
        return Stock(self.challenge_kind, self.difficulty)

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


def load_settings(**instead: object) -> Settings:
    """Read the environment; values in `instead` that are not None take precedence.

    Raises:
        SettingsError: a CAPTCHA_ variable is not a setting, or its value is invalid.
    """
    known = sorted(name.upper() for name in Settings.model_fields)
    for name in sorted(os.environ):
        if name.upper().startswith(PREFIX) and (given := name.upper().removeprefix(PREFIX)) not in known:
            near = get_close_matches(given, known, n=1, cutoff=0.7)  # without the prefix, which all names share
            hint = (
                f"did you mean {PREFIX}{near[0]}?"
                if near
                else f"the settings are {', '.join(map(PREFIX.__add__, known))}"
            )
            raise SettingsError(f"{name} is not a setting: {hint}")
    try:
        return Settings(**{name: value for name, value in instead.items() if value is not None})  # type: ignore[arg-type] # pydantic checks them
    except ValidationError as error:
        where, reason = first_fault(error)
        name = "".join(f"{PREFIX}{part}".upper() for part in where[:1])
        raise SettingsError(f"{name}: {reason}" if name else reason) from error
