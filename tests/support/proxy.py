"""A reverse proxy between any browser and the server: it notes what is asked, and fails as networks do."""

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any, NamedTuple
from urllib.parse import urlsplit

_LONGEST_SECONDS = 60
_OF_ONE_CONNECTION = {"connection", "keep-alive", "transfer-encoding"}


class Asked(NamedTuple):
    """A request, by the monotonic clock."""

    time: float
    method: str
    path: str
    body: bytes


@dataclass
class _Rule:
    """What happens to requests instead of their being passed on, or before."""

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    is_dropped: bool = False
    seconds: float = 0
    ended: Event = field(default_factory=Event)


class Proxy:
    """Passes requests on to the server. A path that begins with several of the prefixes told obeys the longest."""

    def __init__(self, url: str, server: str) -> None:
        self.url, self.server = url, server
        self.pages: dict[str, str] = {}
        """Pages of the same origin, by path: whatever the method, each answers with its HTML."""
        self.requests: list[Asked] = []
        self._rules: dict[str, _Rule] = {}

    def answer(self, prefix: str, status: int, headers: Mapping[str, str] | None = None, seconds: float = 0) -> None:
        """Answer requests to these paths with a status and no body, after a while."""
        self._set(prefix, _Rule(status, headers or {}, seconds=seconds))

    def drop(self, prefix: str = "/", seconds: float = 0) -> None:
        """Close the connections of requests to these paths without an answer, after a while."""
        self._set(prefix, _Rule(is_dropped=True, seconds=seconds))

    def delay(self, prefix: str, seconds: float = _LONGEST_SECONDS) -> None:
        """Pass requests to these paths on only after a while, or once `heal` ends it."""
        self._set(prefix, _Rule(seconds=seconds))

    def heal(self, prefix: str = "") -> None:
        """Forget what was told of this prefix, or of all; requests that are held go on."""
        for known in [prefix] if prefix else list(self._rules):
            self._rules.pop(known).ended.set()

    def asked(self, prefix: str) -> list[Asked]:
        """Give the requests to these paths so far."""
        return [one for one in self.requests if one.path.startswith(prefix)]

    def rule(self, path: str) -> _Rule:
        """Choose the rule for a path."""
        rules = [(prefix, rule) for prefix, rule in list(self._rules.items()) if path.startswith(prefix)]
        return max(rules, key=lambda one: len(one[0]))[1] if rules else _Rule()

    def _set(self, prefix: str, rule: _Rule) -> None:
        if before := self._rules.get(prefix):
            before.ended.set()
        self._rules[prefix] = rule


class _Handler(BaseHTTPRequestHandler):
    """One request and its answer, which ends with the connection: what is dropped no browser asks for a second time."""

    server: "_Listener"

    def do_GET(self) -> None:
        self._serve()

    def do_HEAD(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_OPTIONS(self) -> None:
        self._serve()

    def _serve(self) -> None:
        proxy, body = self.server.proxy, self.rfile.read(int(self.headers["Content-Length"] or 0))
        proxy.requests.append(Asked(time.monotonic(), self.command, self.path, body))
        rule = proxy.rule(self.path)
        if rule.seconds:
            rule.ended.wait(rule.seconds)
        if rule.is_dropped:
            return
        path = urlsplit(self.path).path
        if rule.status:
            self._answer(rule.status, list(rule.headers.items()), b"")
        elif path in proxy.pages:
            self._answer(200, [("Content-Type", "text/html; charset=utf-8")], proxy.pages[path].encode())
        else:
            self._pass_on(body)

    def _pass_on(self, body: bytes) -> None:
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _OF_ONE_CONNECTION}
        try:
            with closing(HTTPConnection(urlsplit(self.server.proxy.server).netloc, timeout=_LONGEST_SECONDS)) as server:
                server.request(self.command, self.path, body or None, headers)
                answer = server.getresponse()
                content = answer.read()
        except (OSError, HTTPException):  # the server is away: so is its proxy
            return
        self._answer(answer.status, answer.getheaders(), content)

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in _OF_ONE_CONNECTION:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


class _Listener(ThreadingHTTPServer):
    proxy: Proxy
    request_queue_size = 64  # or connections that a page opens at once would be tried again, a second later

    def handle_error(self, *given: Any) -> None:
        """Say nothing of a browser that left, as they do when they like."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(*given)


@contextmanager
def running_proxy(server: str) -> Iterator[Proxy]:
    """Run a proxy of a server's URL, on a free port of this machine."""
    with _Listener(("127.0.0.1", 0), _Handler) as listener:
        proxy = listener.proxy = Proxy(f"http://127.0.0.1:{listener.server_port}", server)
        thread = Thread(target=listener.serve_forever, args=[0.05])
        thread.start()
        try:
            yield proxy
        finally:
            proxy.heal()
            listener.shutdown()
            thread.join()
