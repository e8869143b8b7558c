"""Settings: environment variables with the prefix CAPTCHA_, read once at the start of a program."""

import os
import re
import string
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, HttpUrl, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from pool.errors import SettingsError

PREFIX = "CAPTCHA_"
CHARACTERS = string.digits + string.ascii_lowercase
CONFUSABLE = "01abcgilnoqrstuvyz"
"""Left out of codes by default: handwritten, turned and bent, these pass for others (0 o, 2 a, 6 b, 7 r, c e, m n)."""
DEFAULT_CHECKPOINTS_DIR = Path(__file__).parent.parent / "checkpoints"
Difficulty = Literal["easy", "standard", "hard"]
_DAY = 24 * 60 * 60


def _check_alphabet(value: str) -> str:
    folded = value.lower()
    if len(folded) < 2 or len(set(folded)) != len(folded) or not set(folded) <= set(CHARACTERS):
        raise ValueError("must be two or more different characters of 0-9 and a-z")
    return folded


def _check_database_url(value: str) -> str:
    try:
        driver = make_url(value).get_dialect().driver
    except (ArgumentError, NoSuchModuleError):
        driver = None
    if driver not in ("pysqlite", "psycopg"):
        raise ValueError("must look like sqlite:///var/pool.db or postgresql+psycopg://user:password@host/name")
    return value


def _check_api_key(value: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[!-~]{16,}", value.get_secret_value()):
        raise ValueError("must be 16 or more characters of ASCII without spaces")
    return value


def _check_public_url(value: HttpUrl) -> HttpUrl:
    if value.query or value.fragment:
        raise ValueError("must end with its path, without ? or #")
    return value


class Settings(BaseSettings):
    """All settings with their defaults; use `load_settings` to read them with one-line errors."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    database_url: Annotated[str, AfterValidator(_check_database_url)] = "sqlite:///var/pool.db"
    files_dir: Path = Path("var/files")
    checkpoints_dir: Path = DEFAULT_CHECKPOINTS_DIR
    api_key: Annotated[SecretStr, AfterValidator(_check_api_key)] | None = None
    public_url: Annotated[HttpUrl, AfterValidator(_check_public_url)] | None = None
    alphabet: Annotated[str, AfterValidator(_check_alphabet)] = "".join(c for c in CHARACTERS if c not in CONFUSABLE)
    difficulty: Difficulty = "standard"
    theme: Literal["light", "dark"] = "light"
    pixel_ratio: int = Field(default=1, ge=1, le=2)
    length: int = Field(default=6, ge=4, le=8)
    ttl_seconds: int = Field(default=600, ge=1, le=_DAY)
    keep_seconds: int = Field(default=600, ge=0, le=_DAY)
    low_water: int = Field(default=1000, ge=0)
    target: int = Field(default=2000, ge=0)
    refill_seconds: float = Field(default=10, gt=0, le=_DAY)

    @model_validator(mode="after")
    def _check_marks(self) -> Self:
        if self.target and self.low_water > self.target:
            raise ValueError(f"CAPTCHA_LOW_WATER ({self.low_water}) must not be above CAPTCHA_TARGET ({self.target})")
        return self


def load_settings() -> Settings:
    """Read the environment.

    Raises:
        SettingsError: a CAPTCHA_ variable is not a setting, or its value does not fit.
    """
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    for name in sorted(os.environ):
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            near = get_close_matches(name.upper(), known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"the settings are {', '.join(sorted(known))}"
            raise SettingsError(f"{name} is not a setting: {hint}")
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        reason = first["msg"].removeprefix("Value error, ")
        name = "".join(f"{PREFIX}{part}".upper() for part in first["loc"][:1])
        raise SettingsError(f"{name}: {reason}" if name else reason) from error
