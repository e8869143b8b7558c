"""For browsers: the widget, and a page that shows it in a form."""

import gzip
import hashlib
from html import escape
from pathlib import Path
from string import Template

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from server.api.captchas import file_url
from server.api.challenges import MOST_TOKEN_BYTES, redeem
from server.auth import comes_from_this_machine
from server.bodies import FORM, MULTIPART, parse_form, read_body
from server.errors import MALFORMED
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


class _Asset:
    """A file of the site, compressed once."""

    def __init__(self, name: str, media_type: str) -> None:
        self._plain = (_FOLDER / name).read_bytes()
        self._gzipped = gzip.compress(self._plain, mtime=0)
        self._headers = {
            "Content-Type": f"{media_type}; charset=utf-8",
            "Cache-Control": "public, max-age=300",
            "ETag": f'"{hashlib.sha256(self._plain).hexdigest()[:16]}"',
            "Vary": "Accept-Encoding",
            "X-Content-Type-Options": "nosniff",
            "Cross-Origin-Resource-Policy": "cross-origin",
        }

    async def __call__(self, request: Request) -> Response:
        """Answer with the file, or 304 if the ETag matches."""
        if request.headers.get("if-none-match") == self._headers["ETag"]:
            return Response(status_code=304, headers=self._headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(self._gzipped, headers=self._headers | {"Content-Encoding": "gzip"})
        return Response(self._plain, headers=self._headers)


for _name, _media_type in _FILES.items():
    router.add_api_route(
        f"/{_name}",
        _Asset(_name, _media_type).__call__,
        include_in_schema=_name == "widget.js",
        name=_name,
        description="The widget: a script for pages with a form.",
        response_class=Response,
        responses={200: {"content": {_media_type: {"schema": {"type": "string"}}}}},
    )


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
    try:
        fields, _ = parse_form(request.headers["content-type"], body)
    except ValueError as error:
        raise MALFORMED.error() from error
    if not fields.get("gantcha-response"):
        return _page(request, _shown(Siteverified(success=False, error_codes=["missing-input-response"])))
    try:
        asked = SiteverifyRequest(response=fields["gantcha-response"])
    except ValidationError:  # too long
        return _page(request, _shown(Siteverified(success=False, error_codes=["bad-request"])))
    return _page(request, _shown(await run_in_threadpool(redeem, request, asked)))


def _shown(answer: Siteverified) -> str:
    kind, words = ("good", "Thank you: the comment was sent.") if answer.success else ("", "The comment was not sent.")
    return _result(kind, f"{words}<pre>{escape(answer.model_dump_json(by_alias=True, indent=1), quote=False)}</pre>")


def _result(kind: str, words: str) -> str:
    return f'<div class="result {kind}" role="status">{words}</div>'


def _page(request: Request, result: str = "", status: int = 200) -> Response:
    page = _DEMO.substitute(result=result, url=escape(file_url(request, "").rstrip("/")))
    headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-store", "Referrer-Policy": "same-origin"}
    return HTMLResponse(page, status, headers)
