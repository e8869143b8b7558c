"""The sounds of captchas: a short queue before the two that are spoken at once, and those that were spoken lately."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple

from fastapi import Request

from server import errors, espeak
from server.access.limits import Limits
from server.espeak import Language

_AT_ONCE = 2
_MOST_OPEN = 8  # being spoken or waiting: about three seconds of espeak-ng
_MOST_KEPT = 64  # some 250 KB each


class SoundKey(NamedTuple):
    """What a sound is of; the same key always gives the same bytes."""

    file_id: str
    language: Language


class Sounds:
    """Speaks each sound once, whoever asks for it and however often. Lives in one event loop."""

    def __init__(self, limits: Limits, speak: Callable[[SoundKey], bytes]) -> None:
        """`speak` is called in a thread."""
        self._limits, self._speak = limits, speak
        self._kept: OrderedDict[SoundKey, bytes] = OrderedDict()
        self._open: dict[SoundKey, asyncio.Task[bytes]] = {}
        self._asking: dict[SoundKey, int] = {}  # how many requests wait for a sound
        self._clients: set[str] = set()  # those whose sounds are open
        self._speakers = ThreadPoolExecutor(_AT_ONCE, "speaker")

    def close(self) -> None:
        """End what is being spoken, and what waits for it."""
        self._speakers.shutdown(wait=False, cancel_futures=True)
        espeak.stop()

    async def get(self, key: SoundKey, client: str, request: Request) -> bytes:
        """Return a sound; only the first request for it counts for the limit of this client.

        Raises:
            HTTPException: 429 over the limit; 503 if the queue is full, another sound for this client is open, or the
                client has gone; and what `speak` raises.
        """
        if sound := self._kept.get(key):
            return sound
        task = self._open.get(key)
        if task is None:
            if len(self._open) >= _MOST_OPEN or client in self._clients:
                raise errors.SPEAKING.error()
            self._limits.spend("issue", client)
            task = self._open[key] = asyncio.create_task(self._speak_in_turn(key))
            self._clients.add(client)
            task.add_done_callback(lambda _: self._note_end(key, client))
        return await self._wait(key, task, request)

    async def _wait(self, key: SoundKey, task: "asyncio.Task[bytes]", request: Request) -> bytes:
        """Wait as long as the client does; when nobody waits, nothing is spoken."""
        self._asking[key] = self._asking.get(key, 0) + 1
        gone = asyncio.create_task(_until_gone(request))
        try:
            await asyncio.wait([task, gone], return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            self._asking[key] -= 1
            if not self._asking[key]:
                del self._asking[key]
                task.cancel()  # no effect if it has ended
        if task.done():
            with suppress(asyncio.CancelledError):
                return task.result()
        raise errors.SPEAKING.error()

    async def _speak_in_turn(self, key: SoundKey) -> bytes:
        sound = await asyncio.get_running_loop().run_in_executor(self._speakers, self._speak, key)
        self._kept[key] = sound
        if len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)
        return sound

    def _note_end(self, key: SoundKey, client: str) -> None:
        del self._open[key]
        self._clients.discard(client)


async def _until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
