"""What the pool holds and how its refills go: `python -m pool.status`."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table
from sqlalchemy import func, select

from pool import database, lease
from pool.errors import one_line_errors
from pool.fills import Fill, last_fills
from pool.models import State, captcha
from pool.pool import Pool
from pool.settings import Settings, load_settings
from pool.watermarks import Watermarks, watermarks

_FILLS = 5
_TABLE_WIDTH = 120  # off a terminal


@dataclass(frozen=True)
class StateCount:
    """The captchas in one state. Ages are seconds since they were drawn."""

    count: int
    youngest: float | None
    oldest: float | None


@dataclass(frozen=True)
class Status:
    """The state of the pool."""

    states: dict[State, StateCount]
    demand: float
    """captchas popped a second in the last minute"""
    watermarks: Watermarks
    """the levels from the settings, or higher ones while demand is high"""
    fills: list[Fill]
    """the latest first"""
    leases: dict[str, float]
    """seconds for which each lease has been held, by name"""
    files: int
    disk_bytes: int


def read_status(pool: Pool, settings: Settings) -> Status:
    """Read the state of the pool.

    Raises:
        DatabaseError: the database does not answer.
        StorageError: the folder can't be read.
    """
    ages = select(captcha.c.state, func.count(), func.max(captcha.c.created_at), func.min(captcha.c.created_at))
    with database.transaction(pool.engine, **database.READ_ONLY) as connection:
        rows = {row[0]: row[1:] for row in connection.execute(ages.group_by(captcha.c.state))}
    now, demand = datetime.now(UTC), pool.demand()

    def age(drawn_at: datetime) -> float:
        return round((now - drawn_at).total_seconds(), 1)

    states = {
        state: StateCount(rows[state][0], *map(age, rows[state][1:])) if state in rows else StateCount(0, None, None)
        for state in State
    }
    files, disk_bytes = pool.files.usage()
    fills, leases = last_fills(pool.engine, _FILLS), lease.ages(pool.engine)
    return Status(states, demand, watermarks(settings, demand), fills, leases, files, disk_bytes)


def main(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, for machines.")] = False,
) -> None:
    """Show how full the pool is, how old its captchas are, and how the last fills went.

    \b
    Examples:
        python -m pool.status
        python -m pool.status --json | jq .states.ready.count
    """
    with one_line_errors():
        settings = load_settings()
        status = read_status(Pool.open(settings), settings)
    if as_json:
        print(json.dumps(_as_json(status), indent=1, default=str))
        return
    console = Console()
    if not console.is_terminal:
        console.width = _TABLE_WIDTH
    for table in (_states_table(status), _fills_table(status)):
        console.print(table)
    for row in status.fills:
        if row.error:
            console.print(f"{_local(row.started_at)} {row.error}", style="red", highlight=False, soft_wrap=True)
    level, (low_water, target) = status.states[State.READY].count, status.watermarks
    state = "below the low-water mark" if level < low_water else "enough"
    console.print(f"level {level} ({state}): low-water mark {low_water}, target {target}", highlight=False)
    console.print(f"demand {status.demand:.1f} a second in the last minute", highlight=False)
    for name, seconds in status.leases.items():
        console.print(f"{name} under way for {_duration(seconds)}", highlight=False)
    for warning in lease.warnings(status.leases):
        console.print(warning, style="red", highlight=False, soft_wrap=True)
    console.print(f"disk {decimal(status.disk_bytes)} in {status.files} files", highlight=False)


def _as_json(status: Status) -> dict[str, Any]:
    fills = [row._asdict() | {"started_at": row.started_at.isoformat()} for row in status.fills]
    return asdict(status) | {"marks": status.watermarks._asdict(), "fills": fills}


def _states_table(status: Status) -> Table:
    table = Table("state", title="captchas")
    for column in ("count", "youngest", "oldest"):
        table.add_column(column, justify="right")
    for state, row in status.states.items():
        ages = ("" if age is None else _duration(age) for age in (row.youngest, row.oldest))
        table.add_row(state, str(row.count), *ages)
    return table


def _fills_table(status: Status) -> Table:
    table = Table("last fills", title="fills")
    for column in ("added", "seconds", "a second"):
        table.add_column(column, justify="right")
    table.add_column("checkpoints")
    for row in status.fills:
        rate = f"{row.added / row.seconds:.0f}" if row.seconds else ""
        table.add_row(_local(row.started_at), str(row.added), f"{row.seconds:.1f}", rate, (row.checkpoints or "")[:12])
    return table


def _local(time: datetime) -> str:
    return f"{time.astimezone():%Y-%m-%d %H:%M:%S}"


def _duration(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


if __name__ == "__main__":
    typer.run(main)
