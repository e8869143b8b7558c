"""Uploads: bounded in bytes before they are read, and in pixels before they are decoded."""

import io
import struct

from fastapi import HTTPException, status
from PIL import Image, UnidentifiedImageError
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_FILE_BYTES = 1024 * 1024
_MAX_BODY_BYTES = MAX_FILE_BYTES + 16 * 1024  # the multipart frame and the other fields
_MAX_SIDE = 2048
_TOO_LARGE = "The upload is larger than 1 MiB."
_TOO_MANY_PIXELS = f"The picture is more than {_MAX_SIDE} pixels wide or high."


class BodyLimit:
    """ASGI middleware that answers 413 as soon as a body is known to be too long, whoever sends it and however."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a `receive` that counts."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and int(declared) > _MAX_BODY_BYTES:
            await JSONResponse({"detail": _TOO_LARGE}, status.HTTP_413_CONTENT_TOO_LARGE)(scope, receive, send)
            return
        received = 0

        async def counting_receive() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > _MAX_BODY_BYTES:
                raise HTTPException(status.HTTP_413_CONTENT_TOO_LARGE, _TOO_LARGE)
            return message

        await self.app(scope, counting_receive, send)


def clean_png(content: bytes) -> bytes:
    """Decode a PNG and encode it anew, so that only its pixels are kept.

    Raises:
        HTTPException: 413 over 1 MiB or 2048 pixels a side, 415 when the content is not a sound PNG.
    """
    if len(content) > MAX_FILE_BYTES:
        raise HTTPException(status.HTTP_413_CONTENT_TOO_LARGE, _TOO_LARGE)
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            if max(image.size) > _MAX_SIDE:
                raise HTTPException(status.HTTP_413_CONTENT_TOO_LARGE, _TOO_MANY_PIXELS)
            image.load()
            mode = "RGBA" if image.has_transparency_data else "RGB" if image.mode == "P" else image.mode
            pixels = image.convert(mode)
    except Image.DecompressionBombError as error:
        raise HTTPException(status.HTTP_413_CONTENT_TOO_LARGE, _TOO_MANY_PIXELS) from error
    except (UnidentifiedImageError, OSError, EOFError, SyntaxError, ValueError, IndexError, struct.error) as error:
        raise HTTPException(status.HTTP_415_UNSUPPORTED_MEDIA_TYPE, "The file is not a sound PNG.") from error
    encoded = io.BytesIO()
    pixels.info.clear()  # the encoder would take profiles and the like from here
    pixels.save(encoded, "PNG")
    return encoded.getvalue()
