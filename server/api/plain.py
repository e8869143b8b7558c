"""A page for visitors without JavaScript: a challenge in a plain form, and its token to copy or to go back with."""

from html import escape
from string import Template
from typing import Annotated, Literal, NamedTuple, get_args
from urllib.parse import SplitResult, urlsplit

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import BaseModel, Field, HttpUrl
from starlette.exceptions import HTTPException

from pool.errors import DatabaseError
from server import errors, speech
from server.access.limits import limit_answering, limit_issuing
from server.api.assets import FOLDER
from server.api.bodies import FORM, MULTIPART, parse_form, read_body
from server.api.captchas import NO_STORE, file_url
from server.api.challenges import (
    MOST_ANSWER_BYTES,
    Place,
    check,
    check_hostname,
    fields_checked,
    find_place,
    hand_out,
    name_of,
)
from server.api.texts import RIGHT_TO_LEFT, TEXTS, choose_language
from server.schemas import Action, Answer, CData, Sitekey

router = APIRouter(tags=["challenges"])
_PAGE = Template((FOLDER / "plain.html").read_text())
_FIELD = "gantcha-response"
_PROMPTS = {"plain": "plain", "crossed-out": "crossedOut"}
"""Names of the texts, by kind."""
_FAULTS = {429: "busy", 503: "failed"}
"""Names of the texts, by status; the other errors tell the site's author what to change."""
_Text = Literal["", "empty", "wrong", "expired", "busy", "failed"]


class Asked(BaseModel):
    """What a site asks for in the URL of the page."""

    sitekey: Sitekey | None = None
    action: Action | None = None
    cdata: CData | None = None
    language: str = ""
    """by default that of the browser"""
    back: Annotated[HttpUrl | None, Field(alias="return")] = None
    """where the visitor goes with the token; by default the page shows it"""


class _Visit(NamedTuple):
    """A request for the page."""

    request: Request
    place: Place
    back: SplitResult | None
    language: str

    @classmethod
    def of(cls, request: Request, asked: Asked) -> "_Visit":
        """Read what the site asks for.

        Raises:
            HTTPException: 400 for a sitekey that `find_place` refuses, or a URL to which nothing allows a return.
        """
        own = urlsplit(file_url(request, ""))
        back = urlsplit(str(asked.back)) if asked.back else None
        place = find_place(request, asked.sitekey)._replace(hostname=name_of((back or own).geturl()))
        if back:
            origins = {_origin(own), *request.app.state.settings.cors_origins}
            is_listed = place.site and place.site.names(place.hostname)
            if "@" in back.netloc or not (is_listed or _origin(back) in origins):
                raise errors.NO_RETURN.error()
            check_hostname(place)
        accepted = request.headers.get("accept-language", "").split(",")
        return cls(request, place, back, choose_language([asked.language, *accepted]))

    def page(self, content: str, title: str = "", status: int = 200) -> Response:
        """Make the page; `content` is HTML."""
        settings, site = self.request.app.state.settings, self.place.site
        framing = " ".join(settings.cors_origins)
        if site and site.hostnames:
            framing = " ".join(f"{host}:* *.{host}:*" for host in site.hostnames if ":" not in host)  # no IPv6 there
        pictures = "*" if settings.files_redirect else "'self'"
        policy = (
            f"default-src 'none'; style-src 'self'; img-src {pictures}; media-src 'self'; base-uri 'none'; "
            f"form-action 'self' {_origin(self.back) if self.back else ''}; frame-ancestors 'self' {framing}"
        )
        html = _PAGE.substitute(
            language=self.language,
            direction="rtl" if self.language in RIGHT_TO_LEFT else "ltr",
            title=escape(" - ".join(filter(None, [title, self.say("name")]))),
            name=escape(self.say("name")),
            content=content,
        )
        headers = {"Content-Security-Policy": policy, "Referrer-Policy": "same-origin"} | NO_STORE
        if status == 503:
            headers["Retry-After"] = str(errors.RETRY_SECONDS)
        return HTMLResponse(html, status, headers)

    def say(self, text: str) -> str:
        """Return a text in the visitor's language."""
        return TEXTS[self.language][text]

    @property
    def url(self) -> str:
        """Of the page, for the attributes of HTML."""
        query = self.request.url.query
        return escape(f"plain?{query}" if query else "plain")


def _origin(url: SplitResult) -> str:
    return f"{url.scheme}://{url.netloc}"


@router.get("/plain", include_in_schema=False)
async def ask(request: Request, asked: Annotated[Asked, Query()]) -> Response:
    """Show a challenge."""
    request.app.state.advice.look_at(request)
    return await _show_challenge(_Visit.of(request, asked))


@router.head("/plain", include_in_schema=False)
async def ask_nothing(request: Request, asked: Annotated[Asked, Query()]) -> Response:
    """Answer as `GET` does, without a challenge."""
    return _Visit.of(request, asked).page("")


@router.post("/plain", include_in_schema=False)
async def answer(request: Request, asked: Annotated[Asked, Query()]) -> Response:
    """Check the answer: show its token or go back with it, or show another challenge."""
    visit = _Visit.of(request, asked)
    try:
        await limit_answering(request)
        body = await read_body(request, MOST_ANSWER_BYTES, FORM, MULTIPART)
        fields, _ = parse_form(request.headers["content-type"], body)
        with fields_checked():
            given = Answer.model_validate({"id": "", "answer": "", **fields, **asked.model_dump()})
        if not given.answer.strip():
            return await _show_challenge(visit, "empty")
        verified = await check(request, given, visit.place)
    except (HTTPException, DatabaseError) as error:
        return _show_fault(visit, error)
    if not verified.token:
        return await _show_challenge(visit, verified.reason or "")
    if visit.back:
        return RedirectResponse(_with_token(visit.back, verified.token), 303, NO_STORE)
    return _show_token(visit, verified.token)


def _with_token(url: SplitResult, token: str) -> str:
    others = [part for part in url.query.split("&") if part and part.partition("=")[0] != _FIELD]
    return url._replace(query="&".join([*others, f"{_FIELD}={token}"])).geturl()


async def _show_challenge(visit: _Visit, message: _Text = "") -> Response:
    try:
        await limit_issuing(visit.request)
        challenge = await hand_out(visit.request, visit.place)
    except (HTTPException, DatabaseError) as error:
        return _show_fault(visit, error)
    file_id, kind = str(challenge["id"]), str(challenge["kind"])
    names = ("label", "placeholder", "check", "refresh", "listen", "image", _PROMPTS[kind])
    texts = {name: escape(visit.say(name)) for name in names}
    prompt = texts[_PROMPTS[kind]]
    said = f'<p class="bad" id="said" role="alert">{escape(visit.say(message))}</p>' if message else ""
    marks = ' aria-invalid="true" aria-describedby="said prompt"' if message else ' aria-describedby="prompt"'
    sound = ""
    if challenge["audioURL"]:
        spoken = visit.language if visit.language in get_args(speech.Language) else "en"
        source = f'"{file_id}.wav?lang={spoken}"'
        sound = f"""<audio controls preload="none" src={source} aria-label="{texts["listen"]}">
<a href={source}>{texts["listen"]}</a></audio>
"""
    return visit.page(
        f"""<form method="post" action="{visit.url}">
<img class="picture" src="{file_id}" alt="{prompt} {texts["image"]}">
<input type="hidden" name="id" value="{file_id}">
{said}
<p id="prompt">{prompt}</p>
{sound}<label for="answer">{texts["label"]}</label>
<input id="answer" name="answer" dir="ltr" autocomplete="off" autocapitalize="none" spellcheck="false" maxlength="256"
 placeholder="{texts["placeholder"]}"{marks}>
<button>{texts["check"]}</button>
<a href="{visit.url}">{texts["refresh"]}</a>
</form>""",
        visit.say(message) if message else "",
    )


def _show_token(visit: _Visit, token: str) -> Response:
    done, paste, refresh = (escape(visit.say(name)) for name in ("verified", "paste", "refresh"))
    return visit.page(
        f"""<p class="good" role="status">{done}</p>
<label for="token">{paste}</label>
<input id="token" dir="ltr" readonly value="{escape(token)}">
<a href="{visit.url}">{refresh}</a>""",
        visit.say("verified"),
    )


def _show_fault(visit: _Visit, error: HTTPException | DatabaseError) -> Response:
    """Tell the visitor what failed. Raises what only the site's author can mend."""
    status = error.status_code if isinstance(error, HTTPException) else errors.OUT_OF_REACH.status
    if status not in _FAULTS:
        raise error
    message = visit.say(_FAULTS[status])
    content = f"""<p class="bad" role="alert">{escape(message)}</p>
<a href="{visit.url}">{escape(visit.say("retry"))}</a>"""
    return visit.page(content, message, status)
