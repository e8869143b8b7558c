"""A page for visitors without JavaScript: a challenge in a plain form, and its token to copy or to go back with."""

import re
from collections.abc import Mapping
from html import escape
from string import Template
from types import MappingProxyType
from typing import Annotated, Literal, NamedTuple, get_args
from urllib.parse import SplitResult, unquote_plus, urlsplit

import structlog
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import BaseModel, Field, HttpUrl
from starlette.exceptions import HTTPException

from pool.errors import DatabaseError
from server import errors, espeak
from server.access.visits import Visit, name_of, visit_of
from server.api.bodies import FORM, MOST_ANSWER_BYTES, MULTIPART, fields_checked, parse_form, read_body
from server.api.checks import limit_answering, limit_issuing
from server.api.journey import check, hand_out
from server.api.responses import NO_STORE, PAGES, file_url, picture_sources
from server.api.texts import TAGS, TEXTS, choose_language
from server.schemas import Action, Answer, CData, Sitekey
from server.services import services_of

log = structlog.get_logger("gantcha.plain")
router = APIRouter(tags=["challenges"])
_TEMPLATES = {file.stem: Template(file.read_text("utf-8")) for file in (PAGES / "plain").glob("*.html")}
_FIELD = "gantcha-response"
_NAMES_FIELD = re.compile(rf"\s*{_FIELD}\s*(?:$|[=\[\0])", re.IGNORECASE)  # PHP and others make a list of `name[]`
_PROMPTS = {"plain": "plain", "crossed-out": "crossedOut"}
"""Names of the texts, by kind."""
_FAULTS = {429: "busy", 503: "failed"}
"""Names of the texts, by status; the other errors tell the site's author what to change."""
_Fault = Literal["", "empty", "wrong", "expired"]
"""Names of the texts on what was wrong with an answer."""


class Asked(BaseModel):
    """What a site asks for in the URL of the page."""

    sitekey: Sitekey | None = None
    action: Action | None = None
    cdata: CData | None = None
    language: str = ""
    """language of the page; by default that of the browser"""
    back: Annotated[HttpUrl | None, Field(alias="return")] = None
    """URL to which the visitor returns with the token; by default the page shows it"""


class _Page(NamedTuple):
    """The page for one request."""

    request: Request
    visit: Visit
    back: SplitResult | None
    language: str

    @classmethod
    def of(cls, request: Request, asked: Asked) -> "_Page":
        """Read what the site asks for.

        Raises:
            HTTPException: 400 for a sitekey that `visit_of` refuses, or a URL to which nothing allows a return.
        """
        services, own = services_of(request), urlsplit(file_url(request, ""))
        back = urlsplit(str(asked.back)) if asked.back else None
        visit = visit_of(request, asked.sitekey, services.keys)._replace(hostname=name_of((back or own).geturl()))
        if back:
            origins = {_origin(own), *services.settings.cors_origins}
            is_listed = visit.site and visit.site.names(visit.hostname)
            if "@" in back.netloc or not (is_listed or _origin(back) in origins):
                raise errors.NO_RETURN.error()
            visit.check_hostname()
        accepted = request.headers.get("accept-language", "")
        return cls(request, visit, back, choose_language(asked.language, accepted))

    def response(
        self, content: str, title: str = "", status: int = 200, headers: Mapping[str, str] = MappingProxyType({})
    ) -> Response:
        """Answer with the page; `content` is HTML, `title` says what happened."""
        site = self.visit.site
        framing = " ".join(services_of(self.request).settings.cors_origins)
        if site and site.hostnames:
            framing = " ".join(f"{host}:* *.{host}:*" for host in site.hostnames if ":" not in host)  # no IPv6 there
        policy = (
            f"default-src 'none'; style-src 'self'; img-src {picture_sources(self.request)}; media-src 'self'; "
            "base-uri 'none'; "
            f"form-action 'self' {_origin(self.back) if self.back else ''}; frame-ancestors 'self' {framing}"
        )
        html = self.fill(
            "page",
            language=self.language,
            direction="rtl" if self.language in TAGS["rightToLeft"] else "ltr",
            title=escape(" - ".join(filter(None, [title, self.say("name")]))),
            content=content,
        )
        own_headers = {"Content-Security-Policy": policy, "Referrer-Policy": "same-origin"} | NO_STORE
        return HTMLResponse(html, status, {**headers, **own_headers})

    def fill(self, template: str, **values: str) -> str:
        """Fill in a template with the visitor's texts, the URL of the page, and `values`, which are HTML."""
        texts = {name: escape(text) for name, text in TEXTS[self.language].items()}
        query = self.request.url.query
        return _TEMPLATES[template].substitute(texts, url=escape(f"plain?{query}" if query else "plain"), **values)

    def say(self, text: str) -> str:
        """Return a text in the visitor's language; empty for none."""
        return TEXTS[self.language][text] if text else ""


def _origin(url: SplitResult) -> str:
    return f"{url.scheme}://{url.netloc}"


@router.get("/plain", include_in_schema=False)
async def ask(request: Request, asked: Annotated[Asked, Query()]) -> Response:
    """Show a challenge."""
    services_of(request).advice.look_at(request)
    return await _show_challenge(_Page.of(request, asked))


@router.head("/plain", include_in_schema=False)
async def ask_nothing(request: Request, asked: Annotated[Asked, Query()]) -> Response:
    """Answer as `GET` does, without a challenge."""
    return _Page.of(request, asked).response("")


@router.post("/plain", include_in_schema=False)
async def answer(request: Request, asked: Annotated[Asked, Query()]) -> Response:
    """Check the answer: show its token or go back with it, or show another challenge."""
    page = _Page.of(request, asked)
    try:
        await limit_answering(request)
        body = await read_body(request, MOST_ANSWER_BYTES, FORM, MULTIPART)
        fields, _ = parse_form(request.headers["content-type"], body)
        with fields_checked():
            given = Answer.model_validate({"id": "", "answer": "", **fields, **asked.model_dump()})
        if not (given.answer or "").strip():
            return await _show_challenge(page, "empty" if given.id else "")  # no id: from a form of the site
        verified = await check(request, given, page.visit, fields.get("ticket", ""))
    except (HTTPException, DatabaseError) as error:
        return _show_fault(page, error)
    if not verified.token:
        return await _show_challenge(page, "wrong" if verified.reason == "wrong" else "expired")
    if page.back:
        return RedirectResponse(_with_token(page.back, verified.token), 303, NO_STORE)
    return page.response(page.fill("token", token=escape(verified.token)), page.say("verified"))


def _with_token(url: SplitResult, token: str) -> str:
    others = [part for part in url.query.split("&") if part and not _NAMES_FIELD.match(unquote_plus(part))]
    return url._replace(query="&".join([*others, f"{_FIELD}={token}"])).geturl()


async def _show_challenge(page: _Page, fault: _Fault = "") -> Response:
    try:
        await limit_issuing(page.request)
        challenge = await hand_out(page.request, page.visit, "plain")
    except (HTTPException, DatabaseError) as error:
        return _show_fault(page, error)
    file_id, message, ticket = str(challenge["id"]), page.say(fault), str(challenge["ticket"])
    spoken = page.language if page.language in get_args(espeak.Language) else "en"
    content = page.fill(
        "challenge",
        id=file_id,
        prompt=escape(page.say(_PROMPTS[str(challenge["kind"])])),
        message=escape(message),
        is_invalid=str(bool(message)).lower(),
        ticket=ticket,
        sound=page.fill("sound", id=file_id, spoken=spoken, ticket=ticket) if challenge["audioURL"] else "",
    )
    return page.response(content, message)


def _show_fault(page: _Page, error: HTTPException | DatabaseError) -> Response:
    """Tell the visitor what failed. Raises what only the site's author can mend."""
    if isinstance(error, DatabaseError):
        log.error("no visitor without JavaScript can be served", reason=str(error))
        error = errors.OUT_OF_REACH.error()
    if error.status_code not in _FAULTS:
        raise error
    message = page.say(_FAULTS[error.status_code])
    content = page.fill("fault", message=escape(message))
    return page.response(content, message, error.status_code, error.headers or {})
