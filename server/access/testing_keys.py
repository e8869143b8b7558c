"""Keys for the test suites of sites, accepted with CAPTCHA_TESTING=true only; they touch no captcha and no token."""

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from gantcha.characters import is_right
from server.schemas import Siteverified, Verified


class Outcome(StrEnum):
    """The result that a key for tests gives to answers, or to tokens."""

    PASSES = "passes"  #: any is right
    FAILS = "fails"  #: none is right
    SPENT = "spent"  #: any answer is right, and its token counts as redeemed before
    CODE = "code"  #: only the code of the picture is right, which is always the same


SITEKEYS = {f"testing-{outcome}": outcome for outcome in Outcome} | {
    "6LeIxAcTAAAAAJcZVRqyHh71UMIEGNQ_MXjiZKhI": Outcome.PASSES,  # reCAPTCHA's
    "10000000-ffff-ffff-ffff-000000000001": Outcome.PASSES,  # hCaptcha's
    "1x00000000000000000000AA": Outcome.PASSES,  # Turnstile's, as are the rest
    "1x00000000000000000000BB": Outcome.PASSES,
    "2x00000000000000000000AB": Outcome.FAILS,
    "2x00000000000000000000BB": Outcome.FAILS,
    "3x00000000000000000000FF": Outcome.CODE,
}
SECRETS = {f"testing-{outcome}-secret": outcome for outcome in Outcome} | {
    "6LeIxAcTAAAAAGG-vFI1TnRWxMZNFuojJ4WifJWe": Outcome.PASSES,  # reCAPTCHA's
    "0x0000000000000000000000000000000000000000": Outcome.PASSES,  # hCaptcha's
    "1x0000000000000000000000000000000AA": Outcome.PASSES,  # Turnstile's, as are the rest
    "2x0000000000000000000000000000000AA": Outcome.FAILS,
    "3x0000000000000000000000000000000AA": Outcome.SPENT,
}
ID = "0" * 32
CODE = "24d7kx"
PICTURE = (Path(__file__).parents[1] / "pages" / "testing.png").read_bytes()
"""Picture of the code."""
TOKEN = "XXXX.DUMMY.TOKEN.XXXX"  # noqa: S105 - Turnstile's; no real secret redeems it


def verified(outcome: Outcome, answer: str) -> Verified:
    """Return the result of an answer to a challenge with a sitekey for tests."""
    if outcome is Outcome.FAILS or (outcome is Outcome.CODE and not is_right(answer, CODE)):
        return Verified(success=False, reason="wrong")
    return Verified(success=True, token=TOKEN)


def siteverified(outcome: Outcome) -> Siteverified:
    """Return what any token is worth with a secret for tests."""
    if outcome is Outcome.FAILS:
        return Siteverified(success=False, error_codes=["invalid-input-response"])
    if outcome is Outcome.SPENT:
        return Siteverified(success=False, error_codes=["timeout-or-duplicate"])
    return Siteverified(success=True, challenge_ts=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", hostname="example.com")
