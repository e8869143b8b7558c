"""Start the server: `python -m server`."""

import logging
import os
import socket
from contextlib import ExitStack, suppress
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
import uvicorn
from uvicorn.supervisors import Multiprocess

from gantcha import __version__
from gantcha.errors import GantchaError, one_line_errors
from gantcha.terminal import run
from pool.pool import Pool
from pool.settings import load_settings
from server import logs
from server.access.keys import Keys
from server.protocol import BoundedProtocol

log = logging.getLogger(__name__)
_GRACE_SECONDS = 5
_READY_SECONDS = 30  # for a worker to start or to give a sign of life, beside others that keep the cores busy
_BACKLOG = 2048
_STARTUP_FAILURE = 3  # uvicorn's


def main(
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for every network.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, help="Number of server processes; all use the same pool.")] = 1,
    check: Annotated[bool, typer.Option("--check", help="Check settings, keys and port, then exit.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version, then exit.")] = False,
) -> None:
    """Serve captchas from the pool and keep the pool filled.

    \b
    Examples:
        python -m server
        python -m server --host 0.0.0.0 --port 8080 --workers 4
    """
    if version:
        print(f"gantcha {__version__}")
        return
    with one_line_errors():  # here as well as in the workers, which would be restarted again and again
        settings = load_settings()
        Keys(settings)
        sockets = _listen(host, port)
        if check:
            for listening in sockets:
                listening.close()
            return
        Pool.open(settings).engine.dispose()
    logs.configure(settings)
    with ExitStack() as stack:
        if workers > 1:  # any worker can return the metrics of all
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = stack.enter_context(_temporary_folder())
            logs.warn_of_foreign_variables()  # a single worker does it itself
        config = uvicorn.Config(
            "server.app:application",
            workers=workers,
            http=BoundedProtocol,
            ws="none",
            timeout_graceful_shutdown=_GRACE_SECONDS,
            timeout_worker_healthcheck=_READY_SECONDS,
            log_config=None,  # `server.logs` has its own
            proxy_headers=False,  # CAPTCHA_TRUSTED_PROXIES says which are trusted
            server_header=False,
        )
        for listening in sockets:
            name, number = listening.getsockname()[:2]
            log.info(
                "Uvicorn running on http://%s:%d (Press CTRL+C to quit)", f"[{name}]" if ":" in name else name, number
            )
        if workers > 1:
            Multiprocess(config, sockets).run()
            return
        config.load_app()
        server = uvicorn.Server(config)
        with suppress(KeyboardInterrupt):
            server.run(sockets)
        if not server.started:
            raise SystemExit(_STARTUP_FAILURE)


def _temporary_folder() -> TemporaryDirectory[str]:
    """Make the folder that the workers share; a container whose root is read-only may have memory only."""
    for place in (None, "/dev/shm"):  # noqa: S108 - the name in it is random
        with suppress(OSError):
            return TemporaryDirectory(prefix="gantcha-metrics-", dir=place)
    with one_line_errors():
        raise GantchaError("several workers need a temporary folder: mount one on /tmp, set TMPDIR, or use --workers 1")


def _listen(host: str, port: int) -> list[socket.socket]:
    """Listen on every address of `host`, for one worker as for several; `::` is IPv4 as well.

    Raises:
        GantchaError: another program does.
    """
    sockets = []
    try:
        for family, socket_type, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            listening = socket.socket(family, socket_type, protocol)
            sockets.append(listening)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address[0] != "::")
            listening.bind(address)
            listening.listen(_BACKLOG)
    except OSError as error:
        for listening in sockets:
            listening.close()
        raise GantchaError(
            f"can't listen on port {port} of {host}: {error.strerror}; end what holds it, "
            "or choose another: --port 8080 (make run PORT=8080)"
        ) from error
    return sockets


if __name__ == "__main__":
    run(main)
