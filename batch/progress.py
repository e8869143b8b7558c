"""Progress bars on stderr, so that stdout stays clean for results; off a terminal, lines for what takes hours."""

import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TaskID, TextColumn

_PAUSE_SECONDS = 30  # between lines


class _Lines(Progress):
    """Prints `description done/total` now and then instead of a bar."""

    _printed_at = 0.0

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        super().advance(task_id, advance)
        self._tell(task_id)

    def update(self, task_id: TaskID, **changes: Any) -> None:
        super().update(task_id, **changes)
        self._tell(task_id)

    def _tell(self, task_id: TaskID) -> None:
        task, now = self._tasks[task_id], time.monotonic()
        if now >= self._printed_at + _PAUSE_SECONDS or (task.finished and "told" not in task.fields):
            self._printed_at = now
            if task.finished:
                task.fields["told"] = True
            total = f"{task.percentage:.0f} %" if task.total == 1 else f"{task.completed:.0f}/{task.total:.0f}"
            self.console.print(f"{task.description} {total}", markup=False, highlight=False)


def progress_bar(*columns: ProgressColumn, quiet: bool = False, lines: bool = False) -> Progress:
    """Make a bar with a description, a bar and `done/total` before `columns`.

    Off a terminal it prints nothing, or with `lines` a line every half minute and at the end of each task.
    """
    standard = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True)
    is_shown = console.is_terminal and not quiet
    kind = _Lines if lines and not console.is_terminal else Progress
    return kind(*standard, *columns, console=console, disable=not is_shown)
