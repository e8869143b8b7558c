"""For trusted callers: pictures of their own."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from gantcha.characters import named_characters, to_characters
from pool.models import Stock
from pool.pool import Drawn
from server import errors
from server.api.bodies import MULTIPART, documented_body, parse_form, read_body
from server.api.checks import require_trusted_caller
from server.api.responses import file_url
from server.api.uploads import MAX_FILE_BYTES, clean_png
from server.errors import documented
from server.schemas import Loaded
from server.services import services_of

router = APIRouter(tags=["captchas"])
_MOST_UPLOAD_BYTES = MAX_FILE_BYTES + 16 * 1024  # the multipart frame and the other fields
_MOST_PER_CHARACTER = 16  # code points of a letter and its accents before they are composed: seldom more than three
_UPLOAD = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {"type": "string", "format": "binary", "description": "A PNG of at most 1 MiB and 2048 pixels a side"},
        "code": {
            "type": "string",
            "description": "With its code, the picture joins the plain captchas of pixel_ratio 1",
        },
    },
}


async def _read_upload(request: Request) -> bytes:
    return await read_body(request, _MOST_UPLOAD_BYTES, MULTIPART, too_long=errors.TOO_LARGE.detail)


@router.post(
    "/load",
    dependencies=[Depends(require_trusted_caller)],
    responses=documented(
        *errors.UNTRUSTED, *errors.UNREADABLE, *errors.BAD_UPLOAD, errors.INVALID, errors.OUT_OF_REACH
    ),
    openapi_extra=documented_body(_UPLOAD, MULTIPART),
)
def load(request: Request, body: Annotated[bytes, Depends(_read_upload)]) -> Loaded:
    """Register your own picture."""
    fields, files = parse_form(request.headers["content-type"], body)
    if "file" not in files:
        raise errors.INVALID.error("file: Field required.")
    services = services_of(request)
    settings, code = services.settings, fields.get("code")
    if code is not None:
        drawn, is_long = settings.characters, len(code) > settings.length * _MOST_PER_CHARACTER
        code = "" if is_long else to_characters(code)  # which takes quadratic time
        if len(code) != settings.length or not set(code) <= set(drawn):
            raise errors.BAD_CODE.error(f"The code must be {settings.length} characters of {named_characters(drawn)}.")
    (file_id,) = services.pool.add([Drawn(code, clean_png(files["file"]))], Stock("plain", settings.difficulty))
    return Loaded(fileURL=file_url(request, file_id), id=file_id)
