"""Progress bars on stderr, so that stdout stays clean for results."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn


def progress_bar(*columns: ProgressColumn, quiet: bool = False) -> Progress:
    """Make a bar with a description, a bar and `done/total` before `columns`; a quiet one prints nothing."""
    standard = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*standard, *columns, console=Console(stderr=True), disable=quiet)
