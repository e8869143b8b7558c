"""Where the parts of an installation lie: a wheel has the service in a folder that is no package, a checkout beside us.

In a checkout that folder is the root of the repository.
"""

import os
import sys
from pathlib import Path
from types import ModuleType

from gantcha.errors import GantchaError

_PACKAGE = Path(__file__).absolute().parent
_IN_WHEEL = _PACKAGE / "_service"
IS_WHEEL = _IN_WHEEL.exists()
ROOT = _IN_WHEEL if IS_WHEEL else _PACKAGE.parent
"""Holds `batch`, `pool`, `server`, `migrations` and `checkpoints`."""
CHECKPOINTS = ROOT / "checkpoints"
"""The generators that come with this version."""
_PARTS = "batch", "pool", "server"


class ForeignModuleError(GantchaError):
    """A module of the user's program has the name of a part of the service."""


def enter() -> None:
    """Make the service importable, whatever modules of the same names lie in the working folder.

    Raises:
        ForeignModuleError: this process has imported such a module already.
    """
    for name in _PARTS:
        if name in sys.modules and not _is_ours(sys.modules[name]):
            raise ForeignModuleError(
                f"this program has a module {name!r} of its own, and the service has one too: run the service in a "
                "process of its own, with `python -m gantcha serve`"
            )
    if str(ROOT) not in sys.path[:1]:
        if not sys.flags.safe_path and sys.path[:1] in ([""], [str(Path.cwd())]):  # what `python -m` puts first
            del sys.path[0]
        sys.path.insert(0, str(ROOT))


def _is_ours(module: ModuleType) -> bool:
    return ROOT in Path(module.__file__ or "").absolute().parents


def child(module: str) -> tuple[list[str], dict[str, str]]:
    """Return the command that runs a module of the service in a child process, and its environment."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return [sys.executable, "-P", "-m", module], os.environ | {"PYTHONPATH": path}


def cure(extra: str) -> str:
    """Return the command that installs the packages of an extra: `service`, `train`, `parquet`, `lmdb` or `ray`."""
    file = {"service": "batch"}.get(extra, extra)
    return f"pip install 'gantcha[{extra}]'" if IS_WHEEL else f"pip install -r requirements-{file}.txt"
