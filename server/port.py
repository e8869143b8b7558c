"""Whether the server can listen on its port, asked before anything else is started."""

import socket

from pool.errors import GantchaError


class PortError(GantchaError):
    """The port is taken, or may not be listened on."""


def check_port(host: str, port: int) -> None:
    """Bind every address of `host` as the server will, and let go again.

    Raises:
        PortError: another program listens there, or this one may not.
    """
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind(address)
                probe.listen()
    except OSError as error:
        raise PortError(
            f"can't listen on port {port} of {host}: {error.strerror}; end what holds it, "
            "or choose another: --port 8080 (make run PORT=8080)"
        ) from error
