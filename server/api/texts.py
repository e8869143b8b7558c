"""What the widget says in each of its languages, for pages that the server writes."""

import json
import re
from collections.abc import Iterable

from server.api.responses import PAGES

_SCRIPT = (PAGES / "widget" / "texts.js").read_text()


def _literal(name: str) -> str:
    """Return what is inside the object or the list of this name in the widget's script."""
    (found,) = re.findall(rf"\b{name} = [{{\[](.*?)[}}\]];", _SCRIPT, re.DOTALL)
    return str(found)


_PAIR = re.compile(r'(\w+): "(.*?)"')
_OTHER_CODES = dict(_PAIR.findall(_literal("otherCodes")))
RIGHT_TO_LEFT = frozenset(re.findall(r"\w+", _literal("rightToLeft")))
TEXTS: dict[str, dict[str, str]] = {"en": dict(_PAIR.findall(_literal("english")))}
"""Texts by name, by language."""
for _file in (PAGES / "languages").glob("*.json"):
    TEXTS[_file.stem] = json.loads(_file.read_text())


def choose_language(wanted: Iterable[str]) -> str:
    """Return the first of the wanted languages (tags such as `pt-BR`) that there is; English if there is none."""
    codes = (re.split("[-_;]", tag.strip().lower())[0] for tag in wanted)
    return next((code for code in (_OTHER_CODES.get(code, code) for code in codes) if code in TEXTS), "en")
