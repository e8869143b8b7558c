"""What the answers of several routes have in common: URLs of pictures, headers, and JSON."""

from functools import lru_cache
from pathlib import Path

from fastapi import Request, Response
from pydantic_core import to_json
from starlette.datastructures import URL

from server.services import services_of

PAGES = Path(__file__).parents[1] / "pages"
NO_STORE = {"Cache-Control": "no-store"}
OWN_TYPE = {"X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "cross-origin"}
"""Headers of files that pages of other origins may show, as the type that they are sent as."""
_LONGEST_HOST = 260  # characters: a name and a port
_JSON_HEADERS = {"Content-Type": "application/json"} | NO_STORE


def json_answer(content: object, status: int = 200, **headers: str) -> Response:
    """Answer with JSON that nobody may store."""
    return Response(to_json(content, by_alias=True), status, headers=_JSON_HEADERS | headers)


async def hand_out_nothing() -> Response:
    """Answer clients that only check with `HEAD` whether a route exists; the length of a body is not known."""
    response = Response(headers=_JSON_HEADERS)
    del response.headers["content-length"]
    return response


def file_url(request: Request, file_id: str) -> str:
    """Return the URL of a picture."""
    host = request.headers.get("host", "")[:_LONGEST_HOST]
    base = services_of(request).public_url or _base(request["scheme"], host, request["root_path"])
    return f"{base}/{file_id}"


@lru_cache(256)
def _base(scheme: str, host: str, root_path: str) -> str:
    headers = [(b"host", host.encode("latin-1"))] if host else []
    asked = {"scheme": scheme, "path": f"{root_path}/", "headers": headers, "query_string": b"", "server": None}
    return str(URL(scope=asked)).rstrip("/")


def picture_sources(request: Request) -> str:
    """Return where a page of this server gets pictures from, for its Content-Security-Policy."""
    return "*" if services_of(request).settings.files_redirect else "'self'"  # the bucket may be anywhere
