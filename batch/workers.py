"""Where captchas are drawn: in processes of this machine, or in a Ray cluster. Both run the same functions."""

import logging
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gantcha
from batch.processes import ENVIRONMENT, started, use_one_thread
from gantcha.drawing.look import Look
from gantcha.errors import GantchaError
from gantcha.home import ROOT, cure

# The process that starts workers does without NumPy and all that draws, so that they start the sooner.
if TYPE_CHECKING:
    from gantcha.glyphs.sampler import Sampler

CHUNK = 1000
"""Captchas that are drawn for the pool at once, and lost at most if a process is killed."""


class EngineError(GantchaError):
    """Ray is missing or its cluster does not answer."""


@dataclass(frozen=True)
class Workers:
    """Processes that are ready to draw."""

    count: int
    submit: Callable[..., Future[Any]]
    """calls a function with its arguments in one of them"""


Engine = Callable[[int], AbstractContextManager[Workers]]
"""Starts workers, no more than the expected number of calls."""


def on_this_machine(jobs: int) -> Engine:
    """Draw in up to `jobs` processes."""

    @contextmanager
    def engine(calls: int) -> Iterator[Workers]:
        count = min(jobs, calls)
        with started(count, _prepare) as processes:
            yield Workers(count, processes.submit)

    return engine


def already(workers: Workers) -> Engine:
    """Draw in workers that have been started."""
    return lambda _calls: nullcontext(workers)


def _prepare() -> None:
    import onnxruntime  # noqa: F401

    import gantcha.captcha  # noqa: F401


def on_ray(address: str | None, checkpoints_dir: Path) -> Engine:
    """Draw on all cores of a Ray cluster, or of one that is started on this machine if there is no address.

    Calls only draw; their results are written by this process. If a node is lost, its calls run again on another. The
    nodes get the code and the generators from here; they need the packages of `requirements-ray.txt`, and no access
    to database or files.

    Raises:
        EngineError: Ray is not installed here, or the cluster does not answer or fails.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a cluster that is started here reports to nobody
    from gantcha.glyphs.sampler import load_sampler

    try:
        import ray  # few have a cluster
    except ModuleNotFoundError as error:
        raise EngineError(f"Ray is missing: {cure('ray')}") from error

    if address and address != "auto":
        _check(address)

    @contextmanager
    def engine(_calls: int) -> Iterator[Workers]:
        parts = [Path(gantcha.__file__).parent, *(ROOT / name for name in ("batch", "pool"))]
        code = {"py_modules": [*map(str, parts)], "env_vars": ENVIRONMENT}
        try:
            ray.init(address, runtime_env=code, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise EngineError(f"the Ray cluster {address} does not answer: {error}") from error
        try:
            sampler = ray.put(load_sampler(checkpoints_dir))
            call = ray.remote(max_retries=-1, num_cpus=1)(_call_with_sampler)
            count = max(1, int(ray.cluster_resources().get("CPU", 1)))  # type: ignore[no-untyped-call] # Ray's
            yield Workers(count, lambda *call_of: call.remote(checkpoints_dir, sampler, *call_of).future())
        except ray.exceptions.RayError as error:
            raise EngineError(f"the Ray cluster failed: {str(error).splitlines()[-1]}") from error
        finally:
            ray.shutdown()

    return engine


def _check(address: str) -> None:
    """Find out in seconds whether the cluster answers: Ray itself takes minutes."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), 5).close()
    except (OSError, ValueError) as error:
        raise EngineError(f"the Ray cluster {address} does not answer: {error}") from error


def _call_with_sampler(checkpoints_dir: Path, sampler: "Sampler", function: Callable[..., Any], *arguments: Any) -> Any:
    from gantcha.glyphs.sampler import keep_sampler

    use_one_thread()
    keep_sampler(checkpoints_dir, sampler)
    return function(*arguments)


def draw_chunk(codes: Sequence[str], look: Look, checkpoints_dir: Path) -> list[bytes]:
    """Draw captchas of one length as PNGs, in a worker. Raises as `draw_captchas` does."""
    import numpy as np

    from gantcha.captcha import draw_captchas
    from gantcha.drawing.png import encode_png
    from gantcha.glyphs.sampler import load_sampler

    drawn = draw_captchas(codes, load_sampler(checkpoints_dir), look, np.random.default_rng())
    return [encode_png(captcha.levels) for captcha in drawn]
