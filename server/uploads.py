"""Request bodies: bounded in bytes and in time before they are read, pictures in pixels before they are decoded."""

import asyncio
import io
import struct
import threading
from collections.abc import Collection

from PIL import Image, UnidentifiedImageError
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.refusals import NO_PNG, TOO_LARGE, TOO_MANY_PIXELS, TOO_SLOW

MAX_FILE_BYTES = 1024 * 1024
_MAX_BODY_BYTES = MAX_FILE_BYTES + 16 * 1024  # the multipart frame and the other fields
_MAX_BODY_SECONDS = 10
_MAX_SIDE = 2048
# What Pillow raises; AssertionError for a palette that is missing.
_BROKEN = (UnidentifiedImageError, OSError, EOFError, SyntaxError, ValueError, IndexError, AssertionError, struct.error)
_decoders = threading.Semaphore(2)  # each may need some 50 MB, so they wait for one another


class BodyLimit:
    """ASGI middleware that answers 413 or 408 as soon as a body is known to be too long or too slow.

    The routes of `own_words` are told so by an HTTPException when they read, and answer themselves.
    """

    def __init__(self, app: ASGIApp, own_words: Collection[str]) -> None:
        self.app = app
        self._own_words = own_words

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a `receive` that counts and looks at the clock."""
        if scope["type"] != "http" or scope["method"] == "GET":  # whose bodies nobody reads
            await self.app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "")
        is_too_long = declared.isdecimal() and int(declared) > _MAX_BODY_BYTES
        if is_too_long and scope["path"] not in self._own_words:
            refusal = JSONResponse({"detail": TOO_LARGE.detail}, TOO_LARGE.status, TOO_LARGE.headers)
            await refusal(scope, receive, send)
            return
        received, is_whole = 0, False
        deadline = asyncio.get_running_loop().time() + _MAX_BODY_SECONDS

        async def guarded_receive() -> Message:
            nonlocal received, is_whole
            if is_too_long:
                raise TOO_LARGE.error()
            if is_whole:
                return await receive()  # for the end of the connection, however long that takes
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError as error:
                raise TOO_SLOW.error() from error
            received += len(message.get("body", b""))
            is_whole = not message.get("more_body", False)
            if received > _MAX_BODY_BYTES:
                raise TOO_LARGE.error()
            return message

        await self.app(scope, guarded_receive, send)


def clean_png(content: bytes) -> bytes:
    """Decode a PNG and encode it anew, so that only its pixels are kept.

    Raises:
        HTTPException: 413 over 1 MiB or 2048 pixels a side, 415 when the content is not a sound PNG.
    """
    if len(content) > MAX_FILE_BYTES:
        raise TOO_LARGE.error()
    with _decoders:
        return _clean(content)


def _clean(content: bytes) -> bytes:
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            if max(image.size) > _MAX_SIDE:
                raise TOO_MANY_PIXELS.error()
            image.load()
            mode = "RGBA" if image.has_transparency_data else "RGB" if image.mode == "P" else image.mode
            pixels = image.convert(mode)
    except Image.DecompressionBombError as error:
        raise TOO_MANY_PIXELS.error() from error
    except _BROKEN as error:
        raise NO_PNG.error() from error
    encoded = io.BytesIO()
    pixels.info.clear()  # the encoder would take profiles and the like from here
    pixels.save(encoded, "PNG")
    return encoded.getvalue()
