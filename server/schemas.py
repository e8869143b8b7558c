"""What the routes accept and return, as JSON."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from gantcha.drawing.look import Difficulty, Kind
from pool.models import Mode

PROMPTS: dict[Kind, str] = {
    "plain": "Type the characters.",
    "crossed-out": "Type the characters not crossed out by two strokes.",
}
_ID = "5f0c2b7d9e1a4c3f8b6d7e2a1c9f4b30"
_URL = f"http://127.0.0.1:8000/{_ID}"
_TOKEN = "Zq3v1mXo7Y0a9sLr5bWc2dKe8fTg4hUj6iNkPlQmRno"  # noqa: S105 - an example
_LONGEST_ID = 64
_LONGEST_ANSWER = 256  # copied text may have a dozen invisible characters for each visible one
LONGEST_WORK = 2048
_IF_GIVEN = Field(exclude_if=lambda value: value is None)
_Text = Annotated[str, Field(max_length=4096)]  # a limit also rejects invalid Unicode
Sitekey = Annotated[str, Field(max_length=64)]
Action = Annotated[str, Field(max_length=32, pattern="^[A-Za-z0-9_/-]*$")]
CData = Annotated[str, Field(max_length=255, pattern="^[A-Za-z0-9_/-]*$")]


def _example(**values: JsonValue) -> ConfigDict:
    return ConfigDict(json_schema_extra={"example": values})


class Generated(BaseModel):
    """A captcha with its code, for a back end that compares the answer itself."""

    model_config = _example(
        code="7k2h9m", fileURL=_URL, kind="plain", prompt=PROMPTS["plain"], id=_ID, expires_at="2030-01-01T12:10:00Z"
    )

    code: str
    fileURL: str  # noqa: N815 - the name the API has had since its first version
    kind: Kind
    prompt: str
    """sentence that tells the visitor what to type, in English"""
    id: str
    expires_at: datetime


_WORK: dict[str, JsonValue] = {
    "parameters": {
        "algorithm": "PBKDF2/SHA-256",
        "cost": 1000,
        "nonce": "8f0d2c64f3b1a79e5d20c9b84e6f7a13",
        "salt": "c1e2a3b4d5f60718293a4b5c6d7e8f90",
        "keyLength": 32,
        "keyPrefix": "3a7d9f0b1c2e4d5f6a7b8c9d0e1f2a3b",
        "keySignature": "5d41402abc4b2a76b9719d911017c592ae1f3c5b7d9e0f1a2b3c4d5e6f708192",
        "expiresAt": 1_893_499_800,
        "data": {"id": _ID, "use": "picture", "weight": 1, "tries": 2048, "key": "9" * 32, "sitekey": None},
    },
    "signature": "7c211433f02071597741e6ff5a8ea34789abbf43af0d1e2c3b4a596877665544",
}


class WorkParameters(BaseModel):
    """What is to be found: the counter whose derived key begins with the prefix. The format is ALTCHA's, version 2."""

    algorithm: str
    cost: int
    """iterations of PBKDF2 for each try"""
    nonce: str
    salt: str
    keyLength: int  # noqa: N815 - ALTCHA's names
    keyPrefix: str  # noqa: N815
    keySignature: str  # noqa: N815
    expiresAt: int  # noqa: N815
    data: dict[str, JsonValue]
    """what the work is for, and `tries`: the right counter is less than this"""


class Work(BaseModel):
    """Work for the visitor's browser; send the solution with the answer."""

    parameters: WorkParameters
    signature: str


class Challenge(BaseModel):
    """A captcha whose code stays with the server, or work alone."""

    model_config = _example(
        id=_ID,
        fileURL=_URL,
        pixel_ratio=2,
        kind="crossed-out",
        prompt=PROMPTS["crossed-out"],
        audioURL=f"{_URL}.wav",
        expires_at="2030-01-01T12:10:00Z",
        expires_in=600,
        work=_WORK,
        alternative=False,
    )

    id: str
    fileURL: str | None  # noqa: N815 - as above
    """URL of the picture; null where there is nothing to read"""
    pixel_ratio: int | None
    """pixels of the picture for each pixel of the page, each way; null where there is no picture"""
    kind: Kind | Literal["quiet"]
    """`quiet`: the work is enough"""
    prompt: str | None
    """sentence that tells the visitor what to type, in English"""
    audioURL: str | None  # noqa: N815 - as above
    """URL of the spoken code; null where the server can't speak"""
    expires_at: datetime
    expires_in: int
    """seconds until then, for clients whose clock is wrong"""
    work: Work | None = None
    """what the browser computes meanwhile; null where the server asks for none"""
    alternative: bool = False
    """whether the visitor may ask for work instead of the picture: `mode=alternative`"""


class NeedsWork(BaseModel):
    """Work that is needed first."""

    model_config = _example(detail="Solve the work, and send its solution as `work`.", work=_WORK)

    detail: str
    work: Work


class Answer(BaseModel):
    """The only answer that a challenge allows, or the work of one that asks nothing."""

    model_config = _example(id=_ID, answer="7k2h9m", sitekey="shop-5f0c2b7d9e1a4c3f", action="login", cdata="form-3")

    id: Annotated[str, Field(max_length=_LONGEST_ID)]
    answer: Annotated[str | None, Field(max_length=_LONGEST_ANSWER)] = None
    work: Annotated[str | None, Field(max_length=LONGEST_WORK)] = None
    """`{"challenge": work, "solution": {"counter", "derivedKey"}}`: as JSON in Base64, where the challenge has work"""
    sitekey: Sitekey | None = None
    """sitekey of the page, whose site alone redeems the token; without one, a secret of no site does"""
    action: Action | None = None
    """what the visitor is about to do, for the form's back end"""
    cdata: CData | None = None
    """anything else for the form's back end"""


class Verified(BaseModel):
    """The result of an answer."""

    model_config = _example(success=True, token=_TOKEN, reason=None)

    success: bool
    token: str | None = None
    """proof for the form's back end, which redeems it once, within 300 seconds"""
    reason: Literal["wrong", "expired", "work"] | None = None
    """why it failed: `expired` also for a challenge that was answered before or never existed; `work`: the work is
    missing or wrong, and the attempt is not used up"""


class TokenInquiry(BaseModel):
    """A token that a page has had for a while."""

    model_config = _example(token=_TOKEN)

    token: _Text


class TokenState(BaseModel):
    """Whether a token can still be redeemed."""

    model_config = _example(open=True)

    open: bool


class SiteverifyRequest(BaseModel):
    """What a form's back end asks, as form or JSON; fields of other products are ignored."""

    model_config = _example(secret="a-secret-of-sixteen-or-more", response=_TOKEN)  # noqa: S106 - an example

    secret: _Text = ""
    response: _Text = ""
    remoteip: str | None = None
    """address of the visitor; ignored, since it may change between the answer and the form"""
    idempotency_key: str | None = None
    """UUID: a repeated call with the same one gets the same answer"""


ErrorCode = Literal[
    "missing-input-secret",
    "invalid-input-secret",
    "missing-input-response",
    "invalid-input-response",
    "bad-request",
    "timeout-or-duplicate",
    "internal-error",
]


class Siteverified(BaseModel):
    """Whether the visitor solved a challenge; the answer that reCAPTCHA, hCaptcha and Turnstile give."""

    model_config = _example(
        success=True, challenge_ts="2030-01-01T12:00:00Z", hostname="www.example.com", **{"error-codes": []}
    )

    success: bool
    challenge_ts: str | None = None
    """time of the right answer, UTC, to the second"""
    hostname: str | None = None
    """host of the page where it was solved, as the browser sent it"""
    action: Annotated[str | None, _IF_GIVEN] = None
    """action that the page sent to `/verify`"""
    cdata: Annotated[str | None, _IF_GIVEN] = None
    """data that the page sent to `/verify`"""
    mode: Annotated[Mode | None, _IF_GIVEN] = None
    """how it was earned: with the picture, its sound, or work alone"""
    detail: Annotated[str | None, _IF_GIVEN] = None
    """what to send instead, if the fields are in the query"""
    error_codes: Annotated[list[ErrorCode], Field(serialization_alias="error-codes")] = []


class Loaded(BaseModel):
    """Where an uploaded picture is served."""

    model_config = _example(fileURL=_URL, id=_ID)

    fileURL: str  # noqa: N815 - as above
    id: str


class Refused(BaseModel):
    """Why a request failed, in one sentence."""

    detail: str


class Healthy(BaseModel):
    """The process runs."""

    status: Literal["ok"] = "ok"


class StockLevel(BaseModel):
    """How full a stock is: the captchas of one kind, difficulty and density."""

    kind: Kind
    difficulty: Difficulty
    pixel_ratio: int
    level: int | None
    """ready captchas; null when the database does not answer"""
    low_water: int
    target: int


class Readiness(BaseModel):
    """Whether captchas of each usual stock can be handed out."""

    model_config = _example(
        ready=True,
        problems=[],
        warnings=[],
        stocks=[
            {
                "kind": "plain",
                "difficulty": "standard",
                "pixel_ratio": 2,
                "level": 1893,
                "low_water": 1000,
                "target": 2000,
            }
        ],
        refill_error=None,
        keys_error=None,
    )

    ready: bool
    problems: list[str]
    warnings: list[str]
    """what needs attention but stops nothing, such as a lease held for very long, or no captchas for those in doubt"""
    stocks: list[StockLevel]
    refill_error: str | None
    """why the last refill failed; null if it did not"""
    keys_error: str | None
    """why the keys file could not be read again; null if it could"""
