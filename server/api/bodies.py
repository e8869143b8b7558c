"""Request bodies: each route reads its own after its checks, with limits on bytes, seconds, parts and charset."""

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from python_multipart.multipart import Field, File, create_form_parser
from starlette.requests import ClientDisconnect

from server import errors

JSON, FORM, MULTIPART = "application/json", "application/x-www-form-urlencoded", "multipart/form-data"
MOST_ANSWER_BYTES, MOST_TOKEN_BYTES = 4 * 1024, 32 * 1024
_MOST_SECONDS = 10
_MOST_PARTS = 20
_MOST_TYPE_BYTES = 1024  # length of a Content-Type with its parameters
_CHARSET = re.compile(r"charset[^=;]*=[\s\"']*([^\s\"';]*)", re.IGNORECASE)


def documented_body(schema: dict[str, Any], *types: str) -> dict[str, Any]:
    """Describe a body for the OpenAPI document, for routes that read it themselves."""
    return {"requestBody": {"required": True, "content": {name: {"schema": schema} for name in types}}}


async def read_body(request: Request, most: int, *types: str, too_long: str | None = None) -> bytes:
    """Read a body of at most `most` bytes whose type is one of `types`, or any type if none is given.

    Raises:
        HTTPException: 415 for a charset other than UTF-8, before anything is read, or for another type; 413 or 408 as
            soon as the body is too long or too slow; 400 if it ends early.
    """
    declared = request.headers.get("content-type", "")
    if len(declared) > _MOST_TYPE_BYTES or not _charsets(declared) <= {"utf-8", "utf8"}:
        raise errors.NO_CHARSET.error()  # some of Python's codecs take minutes for a mebibyte
    too_long_error = errors.TOO_LONG.error(too_long or f"The body is larger than {most // 1024} KiB.")
    if int(request.headers.get("content-length", "0")) > most:  # the parser has checked that it is a number
        raise too_long_error
    body = bytearray()
    try:
        async with asyncio.timeout(_MOST_SECONDS):
            async for piece in request.stream():
                body += piece
                if len(body) > most:
                    raise too_long_error
    except TimeoutError as error:
        raise errors.TOO_SLOW.error() from error
    except ClientDisconnect as error:
        raise errors.MALFORMED.error() from error
    if types and declared.partition(";")[0].strip().lower() not in types:
        raise errors.WRONG_TYPE.error(f"The body must be {' or '.join(types)}.")
    return bytes(body)


def _charsets(declared: str) -> set[str]:
    """Return the charsets that a Content-Type names; the time taken is quadratic, so limit its length first."""
    return {name.lower() for name in _CHARSET.findall(declared)}


def parse_form(content_type: str, body: bytes) -> tuple[dict[str, str], dict[str, bytes]]:
    """Return the fields and the files of a form by name; the last one of each name counts; all text is UTF-8.

    Args:
        content_type: the whole Content-Type, including the boundary of a multipart form.
        body: its bytes; 32 KiB take a few milliseconds, so parse larger ones in a thread.

    Raises:
        HTTPException: 400 if it is malformed, or has too many parts.
    """
    try:
        if content_type.lower().startswith(MULTIPART):
            return _parse_multipart(content_type, body)
        if body.count(b"%") > len(body) // 3:  # some begin no escape; decoding takes time for each
            raise errors.MALFORMED.error()
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MOST_PARTS)), {}
    except ValueError as error:
        raise errors.MALFORMED.error() from error


def _parse_multipart(content_type: str, body: bytes) -> tuple[dict[str, str], dict[str, bytes]]:
    names: list[str] = []
    fields: dict[str, str] = {}
    files: dict[str, bytes] = {}

    def name(part: Field | File) -> str:
        names.append((part.field_name or b"").decode())
        if len(names) > _MOST_PARTS:
            raise ValueError("too many parts")
        return names[-1]

    def on_field(field: Field) -> None:
        fields[name(field)] = (field.value or b"").decode()

    def on_file(file: File) -> None:
        file.file_object.seek(0)
        files[name(file)] = file.file_object.read()

    in_memory = {"MAX_MEMORY_FILE_SIZE": len(body)}  # the whole body is in memory already, and is bounded
    parser = create_form_parser({"Content-Type": content_type.encode("latin-1")}, on_field, on_file, in_memory)
    parser.write(body)
    parser.finalize()
    return fields, files


@contextmanager
def fields_checked() -> Iterator[None]:
    """Turn a ValidationError of fields that the caller sent into a 422."""
    try:
        yield
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False, include_input=False)) from error
