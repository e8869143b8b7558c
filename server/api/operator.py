"""A page for the operator, to look at: what is wrong, stocks, what was counted by hour, fills, sites and samples."""

import re
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from html import escape
from string import Template

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse
from starlette.concurrency import run_in_threadpool

from gantcha.errors import StorageError
from pool.errors import DatabaseError
from pool.filling.fills import last_fills
from pool.hourly import read_hours
from pool.models import Stock
from pool.pool import Pool
from server.api.checks import require_operator
from server.api.responses import NO_STORE, PAGES
from server.schemas import Readiness
from server.services import Services, services_of

router = APIRouter(tags=["operations"])
_PAGE = Template((PAGES / "operator.html").read_text("utf-8"))
_POLICY = "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'"
_HEADERS = {"Content-Security-Policy": f"{_POLICY}; form-action 'none'", "Referrer-Policy": "no-referrer"} | NO_STORE
_SAMPLE_SECONDS = 600
_COLUMNS = {
    "issued": "issued",
    "solved": "answers/solved",
    "failed": "answers/failed",
    "redeemed": "redeemed/success",
    "limited": "limited",
    "empty": "empty",
    "doubted": "doubted",
}
"""Columns, and the beginnings of the names of the sums in them."""
CURES = {
    "KEYS_FILE": 'the keys stay as they were until the file is right; docs/operations.md, "Keys"',
    "fill|lease": 'docs/operations.md, "What the pool promises", and docs/troubleshooting.md, "It does not start"',
    "": 'docs/troubleshooting.md, "Requests fail" and "It does not start"',
}
"""Where to read on, by a pattern of what is wrong: the first that fits."""


@router.get("/operator", include_in_schema=False, dependencies=[Depends(require_operator)])
async def operator(request: Request) -> HTMLResponse:
    """Show the page."""
    services = services_of(request)
    readiness = await services.readiness.latest()
    sections = await run_in_threadpool(lambda: "\n".join(_sections(services, readiness)))
    title, now = "Ready" if readiness.ready else "Not ready", f"{datetime.now(UTC):%F %T}"
    return HTMLResponse(_PAGE.substitute(title=title, now=now, sections=sections), headers=_HEADERS)


def _sections(services: Services, readiness: Readiness) -> Iterator[str]:
    """Give one section after the other; the first that can't be read says why, and is the last."""
    pool, stocks = services.pool, {Stock(one.kind, one.difficulty, one.pixel_ratio): one for one in readiness.stocks}
    wrong = [*readiness.problems, *readiness.warnings, readiness.refill_error, readiness.keys_error]
    for reason in filter(None, wrong):
        cure = next(cure for pattern, cure in CURES.items() if re.search(pattern, reason))
        yield f'<p class="wrong">{escape(reason)}<br><small>Read on: {escape(cure, quote=False)}</small></p>'
    levels = [[stock, one.level, one.low_water, one.target] for stock, one in stocks.items()]
    yield _table("Stocks", ["stock", "ready", "low-water mark", "target"], levels)
    try:
        latest, hours = last_fills(pool.engine, 5), read_hours(pool.engine)
        fills = ([f"{one.started_at:%a %R}", one.added, round(one.seconds), one.error] for one in latest)
        yield _table("Last fills", ["started", "added", "seconds", "error"], fills)
        total, names = sum(hours.values(), Counter[str]()), ("answers/{}/solved", "answers/{}/failed", "redeemed/{}")
        sites = ([site, *(total["site_" + name.format(site)] for name in names)] for site in services.keys.sites)
        yield _table("Sites, in two days", ["site", "solved", "failed", "redeemed"], sites)
        counts = {f"{hour:%a %H}": [_sum(sums, name) for name in _COLUMNS.values()] for hour, sums in hours.items()}
        rows = ([hour, *row] for hour, row in reversed(counts.items()) if any(row))
        yield _table("By hour (bars: issued)", ["hour", *_COLUMNS], rows, _chart([row[0] for row in counts.values()]))
        yield "<h2>Samples</h2>"
        period, theme = int(time.monotonic()) // _SAMPLE_SECONDS, services.settings.theme
        # What is left of a stock that is low is for visitors.
        spare = (stock for stock, one in stocks.items() if (one.level or 0) > one.low_water)
        yield from (_sample(pool, stock, theme, period) for stock in spare)
    except (DatabaseError, StorageError, FileNotFoundError) as error:
        yield f'<p class="wrong">The rest is missing: {escape(str(error))}</p>'


@lru_cache(32)
def _sample(pool: Pool, stock: Stock, theme: str, _period: int) -> str:
    """Take a captcha out of a stock, once in each period and process: no visitor gets it, and nobody can answer it."""
    popped = pool.pop(stock=stock)
    try:
        pngs = [b64encode(pool.files.read(one.id)).decode() for one in popped]
    except (StorageError, FileNotFoundError):
        pool.give_back(popped)
        raise
    images = (f'<img class="{theme}" src="data:image/png;base64,{png}" alt="A captcha">' for png in pngs)
    return "".join(f"<figure>{image}<figcaption>{stock}</figcaption></figure>" for image in images)


def _sum(sums: Counter[str], name: str) -> int:
    return sum(count for key, count in sums.items() if key.startswith(name))


def _chart(counts: Sequence[int]) -> str:
    """Draw bars; the table below has the figures."""
    most = max(1, *counts)
    bars = (f'<rect x="{at}" y="{1 - one / most}" width=".8" height="{one / most}"/>' for at, one in enumerate(counts))
    return f'<svg viewBox="0 0 {len(counts)} 1" preserveAspectRatio="none" aria-hidden="true">{"".join(bars)}</svg>'


def _table(title: str, heads: Sequence[str], rows: Iterable[Iterable[object]], chart: str = "") -> str:
    cells = [[escape(f"{cell:,}" if isinstance(cell, int) else str(cell or "")) for cell in row] for row in rows]
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    body = "".join(f'<tr><th scope="row">{first}</th><td>{"</td><td>".join(more)}</td></tr>' for first, *more in cells)
    return f"<h2>{title}</h2>{chart}<table id={heads[0]}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
