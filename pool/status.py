"""What the pool holds and how its refills go: `python -m pool.status`."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, get_args

import typer
from rich.filesize import decimal
from sqlalchemy import func, select

from gantcha.drawing.look import Difficulty, Kind
from gantcha.errors import one_line_errors
from gantcha.terminal import run
from pool import database
from pool.filling import lease
from pool.filling.fills import Fill, last_fills
from pool.filling.lease import Held
from pool.filling.stocks import kept_stocks
from pool.filling.watermarks import Watermarks, watermarks
from pool.models import Mode, State, Stock, captcha, token
from pool.pool import Pool
from pool.settings import Settings, load_settings

_FILLS = 5
_MODE = func.coalesce(token.c.mode, "picture")


@dataclass(frozen=True)
class StateCount:
    """The captchas in one state. Ages are seconds since they were drawn."""

    count: int
    youngest: float | None
    oldest: float | None


@dataclass(frozen=True)
class StockStatus:
    """The state of a stock."""

    kind: Kind
    difficulty: Difficulty
    pixel_ratio: int
    is_kept: bool
    """whether the settings keep it: other stocks are neither handed out nor filled"""
    level: int
    demand: float
    """captchas popped a second in the last minute"""
    low_water: int
    """low-water mark of the settings, or higher while demand is high; 0 if the stock is not kept"""
    target: int
    """target, likewise"""


@dataclass(frozen=True)
class Status:
    """The state of the pool."""

    states: dict[State, StateCount]
    stocks: list[StockStatus]
    """stocks that the settings keep, then others that have ready captchas"""
    fills: list[Fill]
    """latest fills, the newest first"""
    leases: list[Held]
    """leases that are held now"""
    tokens: dict[Mode, int]
    """tokens that the sweep has not forgotten yet, by how they were earned"""
    files: int
    disk_bytes: int


def read_status(pool: Pool, settings: Settings) -> Status:
    """Read the state of the pool.

    Raises:
        DatabaseError: the database does not answer.
        StorageError: the folder can't be read.
        SettingsError: the keys file can't be read or its content is invalid.
    """
    ages = select(captcha.c.state, func.count(), func.max(captcha.c.created_at), func.min(captcha.c.created_at))
    with database.transaction(pool.engine, **database.READ_ONLY) as connection:
        rows = connection.execute(ages.group_by(captcha.c.state)).all()
        earned = {row[0]: row[1] for row in connection.execute(select(_MODE, func.count()).group_by(_MODE))}
    now, levels = datetime.now(UTC), pool.levels()

    states = dict.fromkeys(State, StateCount(0, None, None))
    for state, count, *drawn_at in rows:
        states[State(state)] = StateCount(count, *(round((now - time).total_seconds(), 1) for time in drawn_at))
    files, disk_bytes = pool.files.usage()
    stocks, kept = [], kept_stocks(settings).all
    for stock in dict.fromkeys([*kept, *levels]):
        demand = pool.demand(stock)
        is_kept = stock in kept
        marks = watermarks(settings, demand) if is_kept else Watermarks(0, 0)
        stocks.append(StockStatus(*stock, is_kept, levels.get(stock, 0), demand, *marks))
    fills, leases = last_fills(pool.engine, _FILLS), lease.current(pool.engine)
    tokens = dict.fromkeys(get_args(Mode), 0) | earned
    return Status(states, stocks, fills, leases, tokens, files, disk_bytes)


def main(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, for machines.")] = False) -> None:
    """Show how full the pool is, how old its captchas are, and how the last fills went.

    \b
    Examples:
        python -m pool.status
        python -m pool.status --json | jq .states.ready.count
    """
    with one_line_errors():
        settings = load_settings()
        status = read_status(Pool.open(settings), settings)
    print(json.dumps(_as_json(status), indent=1, default=str) if as_json else "\n".join(_lines(status)))


def _as_json(status: Status) -> dict[str, Any]:
    fills = [row._asdict() | {"started_at": row.started_at.isoformat()} for row in status.fills]
    return asdict(status) | {"fills": fills, "leases": {held.name: held.age for held in status.leases}}


def _lines(status: Status) -> Iterator[str]:
    yield f"{'captchas':<12}{'count':>9}{'youngest':>12}{'oldest':>12}"
    for state, row in status.states.items():
        youngest, oldest = ("" if age is None else _duration(age) for age in (row.youngest, row.oldest))
        yield f"{state:<12}{row.count:>9}{youngest:>12}{oldest:>12}"
    yield f"\n{'last fills':<21}{'added':>9}{'seconds':>10}{'a second':>10}  checkpoints"
    for fill in status.fills:
        rate = f"{fill.added / fill.seconds:.0f}" if fill.seconds else ""
        generators = (fill.checkpoints or "")[:12]
        started_at = f"{fill.started_at.astimezone():%Y-%m-%d %H:%M:%S}"
        yield f"{started_at:<21}{fill.added:>9}{fill.seconds:>10.1f}{rate:>10}  {generators}".rstrip()
        if fill.error:
            yield f"  {fill.error}"
    yield f"\n{'stock':<28}{'level':>9}{'low water':>12}{'target':>9}{'a second':>10}"
    for stock in status.stocks:
        numbers = f"{stock.level:>9}{stock.low_water:>12}{stock.target:>9}{stock.demand:>10.1f}"
        comment = "below the low-water mark" if stock.level < stock.low_water else ""
        comment = comment if stock.is_kept else "not kept by these settings"
        yield f"{Stock(stock.kind, stock.difficulty, stock.pixel_ratio)!s:<28}{numbers}  {comment}".rstrip()
    yield "\n" + ", ".join(f"{count} by {mode}" for mode, count in status.tokens.items()) + ": the latest tokens"
    yield from (f"{held.name} under way for {_duration(held.age)}" for held in status.leases)
    yield from lease.warnings(status.leases)
    yield f"disk {decimal(status.disk_bytes)} in {status.files} files"


def _duration(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


if __name__ == "__main__":
    run(main)
