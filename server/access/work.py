"""Work: what a visitor's browser computes for a challenge while the visitor reads; ALTCHA's proof of work, version 2.

A try derives a key with PBKDF2, as fast in a browser as in an attacker's program. The right one of a known number of
tries is drawn at random, so nobody has to try more than these. What was done is checked by its signature alone.
"""

import asyncio
import hmac
import json
import logging
import secrets
import time
from base64 import b64decode
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, Literal, NamedTuple

from altcha import Challenge, ChallengeParameters, Payload, create_challenge, derive_key_pbkdf2

from pool.errors import DatabaseError
from pool.keys_file import Site
from pool.settings import Settings
from pool.work_keys import WorkKey
from server import metrics
from server.access.keys import Keys

log = logging.getLogger(__name__)
Use = Literal["picture", "sound", "quiet", "alternative", "plain"]
"""What work is for. `plain` needs none: it tells a challenge of the page without JavaScript from the others."""

TRIES = 2048
"""The most tries of weight 1; half of it in the mean: 0.3 s of a core."""
TRY_SECONDS = 0.0003
"""What one takes, in a browser as in an attacker's program."""
_ITERATIONS = 1000  # for each try
_WEIGHTS = {"off": 0, "light": 1, "heavy": 4}
_QUIET, _ALTERNATIVE = 3, 80
_IN_DOUBT, _FOR_SOUND = 16, 8  # times as much
_MOST_WEIGHT = 80  # 25 s in the mean, and a few times as much on an old phone
_READY = {1: 256}  # puzzles of each weight that are ready; of the rarer weights a few
_USUALLY_READY = 8
_REFRESH_SECONDS = 10.0
_LEAST_REFRESH_SECONDS = 1.0  # however many ask with the name of a key that is not known


class Done(NamedTuple):
    """Work that was done for a challenge, in time or not."""

    use: Any
    key_id: str
    expires_at: int
    """seconds since 1970"""
    sitekey: str | None


class _Puzzle(NamedTuple):
    """Work that nobody was asked to do yet."""

    parameters: ChallengeParameters
    solution: bytes


class Work:
    """Asks for work and checks it, without keeping anything of it; lives in one event loop."""

    def __init__(self, settings: Settings, keys: Keys, read_keys: Callable[[], Sequence[WorkKey]]) -> None:
        """`read_keys` returns the keys that sign, the newest first; it is called in a thread."""
        self._usual, self._sites, self._read_keys = settings.work, keys, read_keys
        self._keys: dict[str, WorkKey] = {}
        self._newest: WorkKey | None = None
        self._read_at = -_REFRESH_SECONDS
        self._reading: asyncio.Task[None] | None = None
        self._is_down = False
        self._ready: dict[int, deque[_Puzzle]] = {}
        self._maker = ThreadPoolExecutor(1, "work")
        self._making: set[int] = set()

    def close(self) -> None:
        """End the making of puzzles."""
        self._maker.shutdown(wait=False, cancel_futures=True)

    @property
    def needs_tickets(self) -> bool:
        """Whether anything asks for work that the page without JavaScript can't do."""
        return self.weight("sound", None) > 0

    def weight(self, use: Use, site: Site | None, *, in_doubt: bool = False) -> int:
        """Return the weight of work, 0 for none; without doubt it is the least that a check accepts.

        A sound does not tell its site, so that of the site that asks for most counts for all.
        """
        if use == "plain":
            return 0
        if use == "alternative":
            return _ALTERNATIVE
        levels = [self._usual, *self._sites.work_levels] if use == "sound" else [(site and site.work) or self._usual]
        weight = max(_WEIGHTS[level] for level in levels)
        if use == "quiet":
            weight = _QUIET * max(weight, 1)
        return min(weight * (_FOR_SOUND if use == "sound" else 1) * (_IN_DOUBT if in_doubt else 1), _MOST_WEIGHT)

    async def ask(
        self, use: Use, file_id: str, weight: int, until: datetime, sitekey: str | None = None
    ) -> dict[str, Any]:
        """Return work in ALTCHA's format, bound to a challenge and what it is for.

        Raises:
            DatabaseError: the keys that sign it were never read, and the database does not answer.
        """
        key = await self.key()
        parameters, solution = await self._take(weight)
        parameters.data = {"id": file_id, "use": use, "weight": weight, "tries": TRIES * weight}
        parameters.data |= {"key": key.id, "sitekey": sitekey}
        parameters.expires_at = int(until.timestamp())
        parameters.key_signature = _sign(key, solution)
        return Challenge(parameters, _sign(key, _text(parameters))).to_dict()

    async def check(self, given: str | None, file_id: str, least: Mapping[Use, int]) -> Done | None:
        """Return what was done for a challenge if it is of one of these uses, and at least as heavy; None if not.

        Raises:
            DatabaseError: as `ask` does.
        """
        done = await self._checked(given, file_id, least) if given else None
        metrics.WORK.labels(done.use if done else "refused" if given else "missing").inc()
        return done

    async def _checked(self, given: str, file_id: str, least: Mapping[Use, int]) -> Done | None:
        try:
            payload = Payload.from_dict(json.loads(b64decode(given, validate=True)))
            challenge, solution = payload.challenge, bytes.fromhex(payload.solution.derived_key)
            data, until = challenge.parameters.data, challenge.parameters.expires_at
            if data is None or until is None or data["id"] != file_id or data["weight"] < least[data["use"]]:
                return None
            key = await self._find_key(str(data["key"]))
            # ALTCHA's own check writes the parameters as any JavaScript would, which takes far longer.
            signed = (
                (challenge.signature, _text(challenge.parameters)),
                (challenge.parameters.key_signature, solution),
            )
            if not key or not all(hmac.compare_digest(str(one), _sign(key, text)) for one, text in signed):
                return None
            return Done(data["use"], key.id, until, data["sitekey"])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):  # no work of ours
            return None

    async def ticket(self, file_id: str) -> str:
        """Return what proves that a challenge was shown on the page without JavaScript; nothing where none is needed.

        Raises:
            DatabaseError: as `ask` does.
        """
        if not self.needs_tickets:
            return ""
        key = await self.key()
        return f"{key.id}.{_ticket(key, file_id)}"

    async def is_ticket(self, given: str, file_id: str) -> bool:
        """Return whether this is the ticket of the challenge. Raises as `ask` does."""
        key_id, _, proof = given.partition(".")
        key = await self._find_key(key_id)
        return key is not None and hmac.compare_digest(_ticket(key, file_id).encode(), proof.encode())

    async def key(self) -> WorkKey:
        """Return the key that signs. Raises as `ask` does."""
        if time.monotonic() - self._read_at > _REFRESH_SECONDS:
            reading = self._refresh()
            if self._newest is None:
                await asyncio.shield(reading)
        if self._newest is None:
            raise DatabaseError("the keys that sign work can't be read from the database")
        return self._newest

    async def _find_key(self, key_id: str) -> WorkKey | None:
        """Return a key; another server may have made it since the keys were read, even if that was a moment ago."""
        await self.key()
        if key_id not in self._keys:
            await asyncio.sleep(self._read_at + _LEAST_REFRESH_SECONDS - time.monotonic())
            if key_id not in self._keys:
                await asyncio.shield(self._refresh())
        return self._keys.get(key_id)

    def _refresh(self) -> "asyncio.Task[None]":
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
        return self._reading

    async def _read(self) -> None:
        try:
            keys = await asyncio.to_thread(self._read_keys)
        except DatabaseError as error:
            if not self._is_down:  # logged once, not every second of an outage
                log.error("the keys that sign work can't be read: %s", error)
            self._is_down = True
            self._read_at = time.monotonic() - _REFRESH_SECONDS + _LEAST_REFRESH_SECONDS  # again soon
            return
        self._is_down = False
        self._keys, self._newest = {key.id: key for key in keys}, keys[0]
        self._read_at = time.monotonic()

    async def _take(self, weight: int) -> _Puzzle:
        """Take a puzzle that is ready; make one if there is none."""
        ready, most = self._ready.setdefault(weight, deque()), _READY.get(weight, _USUALLY_READY)
        if len(ready) <= most // 2 and weight not in self._making:
            self._making.add(weight)
            made = asyncio.get_running_loop().run_in_executor(self._maker, _make_up_to, ready, most, weight)
            made.add_done_callback(lambda _: self._making.discard(weight))
        return ready.popleft() if ready else await asyncio.to_thread(_make, weight)


def _make_up_to(ready: "deque[_Puzzle]", most: int, weight: int) -> None:
    """Make puzzles until so many are ready; the event loop takes them from the other end."""
    while len(ready) < most:
        ready.append(_make(weight))


def _make(weight: int) -> _Puzzle:
    derived = b""

    def derive(parameters: ChallengeParameters, salt: bytes, password: bytes) -> bytes:
        nonlocal derived
        derived = derive_key_pbkdf2(parameters, salt, password)
        return derived

    counter = secrets.randbelow(TRIES * weight)
    challenge = create_challenge("PBKDF2/SHA-256", _ITERATIONS, counter=counter, derive_key=derive)
    return _Puzzle(challenge.parameters, derived)


def _text(parameters: ChallengeParameters) -> bytes:
    """Return what is signed: as JavaScript writes it, which is the same for what we put in."""
    return json.dumps(parameters.to_dict(), sort_keys=True, separators=(",", ":")).encode()


def _sign(key: WorkKey, text: bytes) -> str:
    return hmac.digest(key.secret, text, "sha256").hex()


def _ticket(key: WorkKey, file_id: str) -> str:
    return _sign(key, f"plain {file_id}".encode())
