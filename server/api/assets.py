"""Files for browsers: the widget, its languages, and style sheets."""

import gzip
import hashlib
import json
import re

from fastapi import APIRouter, Request, Response
from rjsmin import jsmin

from gantcha import __version__
from server.api.responses import OWN_TYPE, PAGES
from server.api.texts import TAGS, TEXTS
from server.errors import UNKNOWN

router = APIRouter(tags=["site"])
_SCRIPT, _JSON = "text/javascript", "application/json"
_PARTS = (
    "words",
    "style",
    "view",
    "texts",
    "options",
    "pause",
    "form",
    "sound",
    "work",
    "captcha",
    "script",
    "widgets",
)
_SCRIPTS = {
    "widget.js": (*_PARTS, "element", "gantcha"),
    "recaptcha/api.js": (*_PARTS, "recaptcha"),
    "recaptcha/enterprise.js": (*_PARTS, "recaptcha"),
    "1/api.js": (*_PARTS, "hcaptcha"),
    "turnstile/v0/api.js": (*_PARTS, "turnstile"),
}
"""Modules of each script, in order: the widget with its own API, and with those of other products."""

_LONGEST_LIST = 1024  # characters of a header; what follows is ignored


def join(*parts: str) -> bytes:
    """Join modules of the widget into one script; only the names of its API reach the page.

    Each import and each export of the modules is a line of its own, and no name is defined in two of them.
    """
    lines = "".join(map(_module, parts)).splitlines()
    source = "\n".join(line.removeprefix("export ") for line in lines if not line.startswith("import "))
    return bytes(jsmin(f'(() => {{"use strict";\n{source}\n}})();\n'.encode()))


def _module(name: str) -> str:
    if name != "words":
        source = (PAGES / "widget" / f"{name}.js").read_text("utf-8")
        return (
            source if name != "style" else re.sub(r"(?<=[:;{},]) +|\n +| (?={)|(?<=})\n|; (?=})|\b0(?=\.)", "", source)
        )  # the CSS needs none of these
    english = {name: text for name, text in TEXTS["en"].items() if name != "paste"}  # which is for another page
    words = {"english": english, "version": __version__} | TAGS
    return "".join(f"const {name}={json.dumps(value, separators=(',', ':'))};\n" for name, value in words.items())


def _names_etag(header: str, etag: str) -> bool:
    """Return whether an If-None-Match names this ETag, alone or in a list, strong or weak as proxies make it."""
    tags = (tag.strip().removeprefix("W/") for tag in header[:_LONGEST_LIST].split(","))
    return any(tag in ("*", etag) for tag in tags)


def _accepts_gzip(header: str) -> bool:
    """Return whether an Accept-Encoding takes gzip: named, or by `*`, and not with a weight of 0."""
    weights = {}
    for one in header[:_LONGEST_LIST].lower().split(","):
        name, _, parameter = one.partition(";")
        weights[name.strip()] = parameter.replace(" ", "").removeprefix("q=")
    weight = weights.get("gzip", weights.get("*", "0"))
    return not weight or weight.strip("0.") != ""


def _add_asset(path: str, content: bytes, media_type: str, cache: str = "max-age=300") -> None:
    """Serve a file; it is compressed once."""
    gzipped = gzip.compress(content, mtime=0)
    etag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
    headers = {"Cache-Control": f"public, {cache}", "ETag": etag, "Vary": "Accept-Encoding"} | OWN_TYPE

    async def asset(request: Request) -> Response:
        if _names_etag(request.headers.get("if-none-match", ""), etag):
            return Response(status_code=304, headers=headers, media_type=media_type)
        if _accepts_gzip(request.headers.get("accept-encoding", "")):
            return Response(gzipped, headers=headers | {"Content-Encoding": "gzip"}, media_type=media_type)
        return Response(content, headers=headers, media_type=media_type)

    router.add_api_route(
        f"/{path}",
        asset,
        include_in_schema=path == "widget.js",
        name=path,
        description="The widget: a script for pages with a form.",
        response_class=Response,
        responses={200: {"content": {media_type: {"schema": {"type": "string"}}}}},
    )


def _refuse_other_versions(name: str) -> None:
    """Say which version there is: other bytes under an old name would not have the digest that a page asks for."""

    async def other_version() -> None:
        raise UNKNOWN.error(f"This server has {name}.v{__version__}.js only: name it in your page, with its digest.")

    router.add_api_route(f"/{name}.v{{version}}.js", other_version, include_in_schema=False)


for _path, _parts in _SCRIPTS.items():
    _content, _name = join(*_parts), _path.removesuffix(".js")
    _add_asset(_path, _content, _SCRIPT)
    # The same for ever under the name of this version, so that a page can say its digest.
    _add_asset(f"{_name}.v{__version__}.js", _content, _SCRIPT, "max-age=31536000, immutable")
    _refuse_other_versions(_name)
_add_asset("pbkdf2.js", jsmin((PAGES / "widget/pbkdf2.js").read_bytes()), _SCRIPT)
for _file in sorted((PAGES / "languages").glob("*.json")):
    _add_asset(f"languages/{_file.name}", _file.read_bytes(), _JSON)
for _name in ("demo.css", "operator.css", "plain.css"):
    _add_asset(_name, (PAGES / _name).read_bytes(), "text/css")
_add_asset("favicon.svg", (PAGES / "favicon.svg").read_bytes(), "image/svg+xml")
