"""What the widget says in each of its languages: part of its script, and on pages that the server writes."""

import json
import re
from typing import Any

from server.api.responses import PAGES

TEXTS: dict[str, dict[str, str]] = {
    file.stem: json.loads(file.read_text("utf-8")) for file in sorted((PAGES / "languages").glob("*.json"))
}
"""Texts by name, by language."""
TAGS: dict[str, Any] = json.loads((PAGES / "language_tags.json").read_text("utf-8"))
"""Which languages are written from right to left, and other codes for some of them."""


_LONGEST_TAG, _LONGEST_LIST = 40, 1024  # characters; browsers send some dozens


def choose_language(wanted: str, accepted: str) -> str:
    """Return the language that is wanted (a tag such as `pt-BR`), or the first accepted one that there is, or English.

    `accepted` is an Accept-Language header, in the order of preference, as browsers send it.
    """
    tags = [wanted, *accepted[:_LONGEST_LIST].split(",")]
    codes = (re.split("[-_;]", tag[:_LONGEST_TAG].strip().lower(), maxsplit=1)[0] for tag in tags)
    return next((code for code in (TAGS["otherCodes"].get(code, code) for code in codes) if code in TEXTS), "en")
