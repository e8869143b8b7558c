"""A page that shows the widget in a form."""

from html import escape
from string import Template

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import ValidationError

from server.access.auth import comes_from_this_machine
from server.api.bodies import FORM, MOST_TOKEN_BYTES, MULTIPART, parse_form, read_body
from server.api.checks import limit_answering
from server.api.journey import failed, redeem
from server.api.responses import NO_STORE, PAGES, file_url, picture_sources
from server.schemas import Siteverified, SiteverifyRequest
from server.services import services_of

router = APIRouter(tags=["site"])
_DEMO = Template((PAGES / "demo.html").read_text("utf-8"))
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'; img-src "
)

_NOT_REDEEMED = (
    "The comment was not sent: this demo takes comments only from the machine it runs on. "
    "Its operator can open it to everyone with <code>CAPTCHA_DEMO=true</code>."
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
    settings = services_of(request).settings
    if not settings.demo and not comes_from_this_machine(request, settings):
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
    style, words = ("good", "Thank you: the comment was sent.") if answer.success else ("", "The comment was not sent.")
    return _result(style, f"{words}<pre>{escape(answer.model_dump_json(by_alias=True, indent=1), quote=False)}</pre>")


def _result(style: str, words: str) -> str:
    return f'<div class="result {style}" role="status">{words}</div>'


def _page(request: Request, result: str = "", status: int = 200) -> Response:
    page = _DEMO.substitute(result=result, url=escape(file_url(request, "").rstrip("/")))
    headers = {
        "Content-Security-Policy": _POLICY + picture_sources(request),
        "Referrer-Policy": "same-origin",
    } | NO_STORE
    return HTMLResponse(page, status, headers)
