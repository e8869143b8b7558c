"""What the widget says in each of its languages: part of its script, and on pages that the server writes."""

import json
import re
from collections.abc import Iterable
from typing import Any

from server.api.responses import PAGES

TEXTS: dict[str, dict[str, str]] = {
    file.stem: json.loads(file.read_text("utf-8")) for file in sorted((PAGES / "languages").glob("*.json"))
}
"""Texts by name, by language."""
TAGS: dict[str, Any] = json.loads((PAGES / "language_tags.json").read_text("utf-8"))
"""Which languages are written from right to left, and other codes for some of them."""


def choose_language(wanted: Iterable[str]) -> str:
    """Return the first of the wanted languages (tags such as `pt-BR`) that there is; English if there is none."""
    codes = (re.split("[-_;]", tag.strip().lower())[0] for tag in wanted)
    return next((code for code in (TAGS["otherCodes"].get(code, code) for code in codes) if code in TEXTS), "en")
