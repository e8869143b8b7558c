"""Progress bars on stderr, so that stdout stays clean for results."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn


def progress_bar(*columns: ProgressColumn, quiet: bool = False) -> Progress:
    """Make a bar with a description, a bar and `done/total` before `columns`; off a terminal it prints nothing."""
    standard = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True)
    return Progress(*standard, *columns, console=console, disable=quiet or not console.is_terminal)
