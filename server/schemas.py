"""What the routes answer, as JSON."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

_EXAMPLE_ID = "5f0c2b7d9e1a4c3f8b6d7e2a1c9f4b30"
_EXAMPLE_URL = f"http://127.0.0.1:8000/{_EXAMPLE_ID}"


class Generated(BaseModel):
    """A captcha with its code, for a back end that compares the answer itself."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "code": "7k2h9m",
                "fileURL": _EXAMPLE_URL,
                "id": _EXAMPLE_ID,
                "expires_at": "2030-01-01T12:10:00Z",
            }
        }
    )

    code: str
    fileURL: str  # noqa: N815 - the name the API has had since its first version
    id: str
    expires_at: datetime


class Loaded(BaseModel):
    """Where an uploaded picture is served."""

    model_config = ConfigDict(json_schema_extra={"example": {"fileURL": _EXAMPLE_URL, "id": _EXAMPLE_ID}})

    fileURL: str  # noqa: N815 - as above
    id: str


class Refused(BaseModel):
    """Why a request was refused, in one sentence."""

    detail: str


class Healthy(BaseModel):
    """The process runs."""

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """Whether captchas can be handed out."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "ready": True,
                "problems": [],
                "level": 1893,
                "low_water": 1000,
                "target": 2000,
                "refill_error": None,
            }
        }
    )

    ready: bool
    problems: list[str]
    level: int | None
    """Ready captchas; None when the database does not say."""
    low_water: int
    target: int
    refill_error: str | None
    """Why the last refill failed; None when it did not."""
