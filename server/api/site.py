"""For browsers: the widget, and a page that shows it in a form."""

import gzip
import hashlib
from html import escape
from pathlib import Path
from string import Template

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import ValidationError

from server.api.bodies import FORM, MULTIPART, parse_form, read_body
from server.api.captchas import NO_STORE, OWN_TYPE, file_url
from server.api.challenges import MOST_TOKEN_BYTES, failed, redeem
from server.auth import comes_from_this_machine
from server.limits import limit_answering
from server.schemas import Siteverified, SiteverifyRequest

router = APIRouter(tags=["site"])
_FOLDER = Path(__file__).parent.parent / "pages"
_DEMO = Template((_FOLDER / "demo.html").read_text())
_FILES = {"widget.js": "text/javascript", "demo.css": "text/css", "favicon.svg": "image/svg+xml"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)

_NOT_REDEEMED = (
    "The comment was not sent: this demo takes comments only from the machine it runs on. "
    "Its operator can open it to everyone with <code>CAPTCHA_DEMO=true</code>."
)


def _add_asset(name: str, media_type: str) -> None:
    """Serve a file of the site; it is read and compressed once."""
    plain = (_FOLDER / name).read_bytes()
    gzipped = gzip.compress(plain, mtime=0)
    etag = f'"{hashlib.sha256(plain).hexdigest()[:16]}"'
    headers = {"Cache-Control": "public, max-age=300", "ETag": etag, "Vary": "Accept-Encoding"} | OWN_TYPE

    async def asset(request: Request) -> Response:
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers=headers, media_type=media_type)
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(gzipped, headers=headers | {"Content-Encoding": "gzip"}, media_type=media_type)
        return Response(plain, headers=headers, media_type=media_type)

    router.add_api_route(
        f"/{name}",
        asset,
        include_in_schema=name == "widget.js",
        name=name,
        description="The widget: a script for pages with a form.",
        response_class=Response,
        responses={200: {"content": {media_type: {"schema": {"type": "string"}}}}},
    )


for _name, _media_type in _FILES.items():
    _add_asset(_name, _media_type)


@router.get("/", include_in_schema=False)
async def root() -> Response:
    """Redirect to the demo."""
    return RedirectResponse("demo")


@router.get("/demo", include_in_schema=False)
async def demo(request: Request) -> Response:
    """Show a form with the widget."""
    return _page(request)


@router.post("/demo", include_in_schema=False, dependencies=[Depends(limit_answering)])
async def send_demo(request: Request) -> Response:
    """Redeem the token as a form's back end does, and show the answer.

    This route needs no secret, so it works only for callers on this machine unless the settings allow others.
    """
    if not request.app.state.settings.demo and not comes_from_this_machine(request):
        return _page(request, _result("", _NOT_REDEEMED), 403)
    body = await read_body(request, MOST_TOKEN_BYTES, FORM, MULTIPART)
    fields, _ = parse_form(request.headers["content-type"], body)
    try:
        asked = SiteverifyRequest(response=fields.get("gantcha-response", ""))
    except ValidationError:  # too long
        return _page(request, _shown(failed("bad-request")))
    answer = await redeem(request, asked) if asked.response else failed("missing-input-response")
    return _page(request, _shown(answer))


def _shown(answer: Siteverified) -> str:
    kind, words = ("good", "Thank you: the comment was sent.") if answer.success else ("", "The comment was not sent.")
    return _result(kind, f"{words}<pre>{escape(answer.model_dump_json(by_alias=True, indent=1), quote=False)}</pre>")


def _result(kind: str, words: str) -> str:
    return f'<div class="result {kind}" role="status">{words}</div>'


def _page(request: Request, result: str = "", status: int = 200) -> Response:
    page = _DEMO.substitute(result=result, url=escape(file_url(request, "").rstrip("/")))
    headers = {"Content-Security-Policy": _POLICY, "Referrer-Policy": "same-origin"} | NO_STORE
    return HTMLResponse(page, status, headers)
