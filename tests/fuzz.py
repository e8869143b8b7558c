"""Send made-up requests to a real server: `python -m tests.fuzz --minutes 20`.

Fails on a 500, a server that ends, more than 300 MiB of memory, or a `/healthz` that takes more than 250 ms. The
machine itself may be so slow: what was sent about the time of a slow answer is sent again, and only what is slow every
time counts; the slowest of all is reported in any case.
"""

import os
import random
import shutil
import socket
import struct
import sys
import tempfile
import threading
import time
import zlib
from base64 import b64encode
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, NamedTuple
from urllib.parse import urlsplit

import typer

from tests.conftest import CROSSED_OUT, PLAIN, Site, a_png, drawn, migrate, running_site
from tests.support.watch import Watch

KEY = "a-key-of-sixteen-or-more"
_MOST_SECONDS, _MOST_MEBIBYTES = 0.25, 300
_SWITCH_SECONDS = 0.0005  # the threads that make requests up must not keep the one that measures
_PROGRESS_SECONDS = 10
_LOW_LEVEL = 500
_REPLAYS = 3
_PATIENCE_SECONDS = 2
_UNREAD_SECONDS = 5
_METHODS = "GET HEAD POST PUT DELETE OPTIONS PATCH TRACE CONNECT QUERY get".split()
_PATHS = (
    "/ /generate /challenge /verify /token /siteverify /recaptcha/api/siteverify /turnstile/v0/siteverify /load /demo "
    "/plain /healthz /readyz /metrics /operator /challenge/ /widget.js /demo.css /favicon.svg /openapi.json /docs "
    "/{id} /{id}.wav /nothing * http://x/healthz"
).split()
_TAKING_BODIES = "/load /verify /token /demo /plain".split()
_CHARSETS = "utf-8 punycode idna utf-7 utf-16 hz zlib hex base64 unicode_escape undefined mbcs rot13 \xff".split(" ")
_KINDS = [
    "application/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data",
    "application/octet-stream",
    "text/plain",
    "multipart/mixed",
    "application/x-ndjson+json",
]
_NAMES = ["id", "answer", "secret", "response", "remoteip", "idempotency_key", "gantcha-response", "file", "code", ""]
_NAMES += ["work", "ticket", "mode"]
_HEADERS = (
    "Host Cookie Range Accept-Encoding Origin Referer X-Forwarded-For Forwarded Via X-Request-ID If-None-Match Expect "
    "Transfer-Encoding Content-Length Content-Encoding Connection Upgrade Authorization Sec-Fetch-Site TE Trailer "
    "Access-Control-Request-Method Accept-Language CDN-Loop"
).split()
_TEXTS = ["", "0", "-1", "x" * 5000, "xn--" + "a" * 3000, "٣" * 40, "%00", "%ff" * 300, "\u202e\x1b[2J", "{" * 3000]
_TEXTS += ["9" * 5000, "bytes=" + "0-1," * 500, "a=b;" * 800, "1.2.3.4, " * 400, "chunked", "100-continue", "close"]
_TEXTS += ["websocket", "http://[::1", "gzip;q=" + "9" * 400, ";=\"'\\" * 300, "\ud800", "null", "[" * 900, "a&" * 2000]
_TEXTS += ["\u0301\u0316" * 5000, "\ufdfa" * 250, "%" * 9999, "%CC%81" * 1600, "e\u0301" * 3, "\u1e9b\u0323" * 99]
_TOKENS = ["charset", ",", ";", "-", "%", "a,", '";', "q=0,", "bytes=0-,", 'W/"a",', "\xa8", "1,", "127.0.0.1,", "[:"]
_LONGEST = 31_000  # of a header that repeats one token; a whole head may have 32 KiB
_TEXTS += [b64encode(work).decode() for work in (b"[" * 1500, b"{}", b'{"challenge":{},"solution":[]}', b"\xff" * 99)]
_BOMB = zlib.compress(bytes(20 * 2**20), 9)
_TEXT_BOMB = zlib.compress(("a" * (2**20 - 8) + "\U0001f600").encode(), 9)


class _Sent(NamedTuple):
    at: float
    content: bytes


class Report(NamedTuple):
    """What came of a run."""

    requests: int
    statuses: Counter[str]
    worst_seconds: float
    slow_seconds: float
    """the slowest `/healthz` that came again with the same request; 0 if none did"""
    peak_mebibytes: float
    failures: list[str]

    def __str__(self) -> str:
        """One line."""
        counted = ", ".join(f"{status} {count}" for status, count in sorted(self.statuses.items()))
        slow = f"{self.slow_seconds * 1000:.0f} ms again" if self.slow_seconds else "never again with the same requests"
        return (
            f"{'failed' if self.failures else 'passed'}: {self.requests} requests ({counted}); /healthz at worst "
            f"{self.worst_seconds * 1000:.0f} ms, {slow}; {self.peak_mebibytes:.0f} MiB"
            + "".join(f"; {failure}" for failure in self.failures[:3])
        )


class _Requests:
    """Makes up requests, the same ones for the same seed."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def next(self) -> bytes:
        """Return the bytes of one, or of several in a pipeline that may end in no HTTP."""
        if self._rng.random() < 0.9:
            return self._one()
        several = b"".join(self._one() for _ in range(self._rng.choice([2, 3, 8, 40])))
        return several[: 2**20] + self._rng.choice([b"", b"\0", b"GET /", b"\r\n\r\n"])

    def _one(self) -> bytes:
        rng = self._rng
        if rng.random() < 0.2:  # sound all around, so that the picture is what is looked at
            form = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n%b\r\n--b--' % self._png()
            head = f"POST /load HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n"
            kind = "Content-Type: multipart/form-data; boundary=b"
            return f"{head}{kind}\r\nContent-Length: {len(form)}\r\n\r\n".encode() + form
        path = self._path()
        method = "POST" if path in _TAKING_BODIES and rng.random() < 0.8 else rng.choice(_METHODS)
        lines = [f"{method} {path} HTTP/{rng.choice(['1.1'] * 18 + ['1.0', '2.0'])}", "Host: localhost"]
        if rng.random() < 0.6:
            lines.append(f"Authorization: Bearer {KEY}")
        for _ in range(rng.choice([0, 0, 0, 0, 1, 2, 5, 20, 90, 101, 1000])):
            lines += [f"{rng.choice(_HEADERS) if rng.random() < 0.02 else f'X-{rng.random()}'}: {self._header()}"]
        if rng.random() < 0.1:
            token = rng.choice(_TOKENS)
            repeated = token * (rng.choice([99, 1024, _LONGEST]) // len(token))
            lines.append(f"{rng.choice([*_HEADERS, 'Content-Type', 'Sec-Purpose'])}: {repeated}")
        if rng.random() < 0.3:
            return self._encode(lines, b"")
        kind, body = self._body(path)
        lines.append(f"Content-Type: {kind}")
        if rng.random() < 0.2:
            body, length = self._chunked(body), "Transfer-Encoding: chunked"
        else:
            length = f"Content-Length: {len(body) + rng.choice([0] * 48 + [-1, 1])}"
        return self._encode([*lines, length], body)

    def _encode(self, lines: list[str], body: bytes) -> bytes:
        content = "\r\n".join(lines).encode("utf-8", "surrogatepass") + b"\r\n\r\n" + body
        return self._spoil(content) if self._rng.random() < 0.05 else content

    def _spoil(self, content: bytes) -> bytes:
        spoilt = bytearray(content)
        for _ in range(self._rng.choice([1, 3, 20])):
            at = self._rng.randrange(len(spoilt))
            spoilt[at : at + self._rng.choice([0, 1, 1, 1, 4])] = self._rng.randbytes(self._rng.choice([0, 1, 1, 4]))
        return bytes(spoilt) or content

    def _path(self) -> str:
        rng = self._rng
        path = rng.choice(_PATHS).replace("{id}", f"{rng.getrandbits(128):032x}")
        if rng.random() < 0.1:
            path += "?" + "&".join(f"{rng.choice(_NAMES)}={self._word()}" for _ in range(rng.choice([1, 3, 900])))
        if rng.random() < 0.1:
            path = "/" + "".join(
                rng.choice(["%1b", "%2e%2e/", "é", "a" * 999, "%", "//", "\\", "%c2%9b"]) for _ in range(9)
            )
        return path

    def _word(self) -> str:
        return self._rng.choice([*_TEXTS, str(self._rng.random())])[: self._rng.choice([8, 64, 9999])]

    def _header(self) -> str:
        return self._word().replace("\r", "").replace("\n", "") if self._rng.random() < 0.2 else "x"

    def _body(self, path: str) -> tuple[str, bytes]:
        rng = self._rng
        kind = "multipart/form-data" if path == "/load" and rng.random() < 0.9 else rng.choice(_KINDS)
        parameters = f"; charset={rng.choice(_CHARSETS)}" if rng.random() < 0.2 else ""
        if "multipart" in kind:
            boundary = rng.choice(["b", "b", "b", "-" * 70, "x" * 300, "", '"b"', "b\\", "xn--a"])
            return f"{kind}; boundary={boundary}{parameters}", self._multipart(boundary.strip('"'), path)
        if "json" in kind:
            value = rng.choice(
                ['"' + "é" * 9 + '"', "1e999", "9" * 4999, "[" * 999, "{" * 999, "null", '"\\ud800"', "{}"]
            )
            members = ",".join(f'"{rng.choice(_NAMES)}":{value}' for _ in range(rng.choice([1, 2, 500])))
            return kind + parameters, f"{{{members}}}".encode()
        words = (f"{rng.choice(_NAMES)}={self._word()}" for _ in range(rng.choice([0, 1, 2, 30, 5000])))
        return kind + parameters, "&".join(words).encode("utf-8", "surrogatepass")

    def _multipart(self, boundary: str, path: str) -> bytes:
        rng = self._rng
        parts = []
        for _ in range(rng.choice([0, 1, 1, 1, 2, 5, 25, 2000])):
            name = rng.choice(["file", "code", "response"]) if rng.random() < 0.8 else self._word()
            content = self._png() if name == "file" else self._word().encode("utf-8", "surrogatepass")
            file_name = '; filename="x.png"' if name == "file" else rng.choice(["", "", '; filename="\\"', ";" * 99])
            more = "".join(
                f"\r\n{rng.choice(['X', 'Content-Transfer-Encoding', 'Content-Type'])}: "
                f"{rng.choice(['base64', 'quoted-printable', 'x' * 5000, 'a'])}"
                for _ in range(rng.choice([0, 0, 0, 1, 9, 300]))
            )
            head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{file_name}{more}\r\n\r\n'
            parts.append(head.encode("utf-8", "surrogatepass") + content + b"\r\n")
            if len(parts) * len(parts[-1]) > 2**20:
                break
        end = f"--{boundary}--\r\n".encode() if rng.random() < 0.95 else b""
        return b"".join(parts) + end if path else end

    def _png(self) -> bytes:
        rng = self._rng
        png = a_png(rng.randrange(256))
        head, rest = png[:33], png[33:]
        if rng.random() < 0.3:
            size = rng.choice([(1, 1), (2048, 2048), (2049, 1), (0, 0), (2**31, 1), (2000, 100)])
            depth, colour, interlace = (
                rng.choice([1, 2, 8, 16, 3]),
                rng.choice([0, 2, 3, 4, 6, 1]),
                rng.choice([0, 0, 1, 9]),
            )
            head = head[:8] + _chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, interlace))
        extra = b"".join(rng.choice(_EXTRA) for _ in range(rng.choice([0, 0, 1, 3, 60])))
        if rng.random() < 0.1:
            extra += _chunk(rng.choice([b"iDOT", b"IDAT", b"tRNS", b"acTL"]), b"") * rng.choice([100, 40_000])
        png = head + extra + rest
        return self._spoil(png) if rng.random() < 0.4 else png

    def _chunked(self, body: bytes) -> bytes:
        size = self._rng.choice([1, 100, 65536]) if len(body) < 9999 else 65536
        extension = self._rng.choice([b"", b"", b";a=b", b";" + b"x" * 999])
        pieces = [body[start : start + size] for start in range(0, len(body), size)]
        end = self._rng.choice([b"0\r\n\r\n", b"0\r\nA: b\r\n\r\n", b"0\r\n" + b"A: b\r\n" * 900 + b"\r\n"])
        return b"".join(b"%x%b\r\n%b\r\n" % (len(piece), extension, piece) for piece in pieces) + end


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


_EXTRA = [
    _chunk(b"zTXt", b"Comment\0\0" + _BOMB),
    _chunk(b"iCCP", b"icc\0\0" + _BOMB),
    _chunk(b"iTXt", b"Comment\0\1\0\0\0" + _TEXT_BOMB),
    _chunk(b"IDAT", _BOMB),
    _chunk(b"PLTE", bytes(768)),
    _chunk(b"PLTE", bytes(7)),
    _chunk(b"tRNS", bytes(300)),
    _chunk(b"acTL", struct.pack(">II", 2**31, 0)),
    _chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 2**31, 2**31, 0, 0, 1, 1, 0, 0)),
    _chunk(b"fdAT", struct.pack(">I", 1) + _BOMB[:100]),
    _chunk(b"eXIf", b"MM\0*" + bytes(99)),
    b"\xff\xff\xff\xffIDAT",
]


def _send(address: tuple[str, int], content: bytes) -> str:
    """Send a request as it is; give the status of the answer, or what became of the connection."""
    try:
        with socket.create_connection(address, timeout=60) as connection:
            with suppress(ConnectionError):  # it may have been refused meanwhile
                connection.sendall(content)
            connection.settimeout(_PATIENCE_SECONDS)
            try:
                answered = connection.recv(65536)
            except TimeoutError:  # the server waits for more, and hangs up when there is none
                connection.shutdown(socket.SHUT_WR)
                connection.settimeout(60)
                answered = connection.recv(65536)
    except TimeoutError:
        return "silent"
    except OSError:
        return "reset"
    return answered[9:12].decode("latin-1") if answered else "closed"


def attack(
    site: Site, seed: int, seconds: float, threads: int = 8, progress: Callable[[str], None] = lambda _: None
) -> Report:
    """Send requests from several threads for so long."""
    parts = urlsplit(site.server.url)
    address = (parts.hostname or "", parts.port or 0)
    statuses: Counter[str] = Counter()
    failures: list[str] = []
    recent: deque[_Sent] = deque(maxlen=256)
    suspects: list[bytes] = []
    done = threading.Event()

    def note_wait(started: float, waited: float) -> None:
        if waited > _MOST_SECONDS and len(suspects) < 1000:
            suspects.extend(sent.content for sent in list(recent) if sent.at > started - 1)

    def send_many(number: int) -> None:
        made = _Requests(random.Random(f"{seed}-{number}"))
        while not done.is_set():
            content = made.next()
            recent.append(_Sent(time.perf_counter(), content))
            status = _send(address, content)
            statuses[status] += 1
            if status in ("500", "silent"):
                failures.append(f"{status} to {content[:200]!r}")

    sys.setswitchinterval(_SWITCH_SECONDS)
    senders = [threading.Thread(target=send_many, args=[number]) for number in range(threads)]
    with Watch(site.server.url, site.server.process.pid, note_wait) as watch:
        for sender in senders:
            sender.start()
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0 and site.server.process.poll() is None:
            for stock in (PLAIN, CROSSED_OUT):
                if site.pool.level(stock) < _LOW_LEVEL:
                    site.pool.add(drawn(_LOW_LEVEL), stock)
            time.sleep(min(left, _PROGRESS_SECONDS))
            progress(
                f"{max(left, 0):5.0f} s left, {statuses.total()} requests, /healthz at worst "
                f"{watch.worst_seconds * 1000:.0f} ms, {watch.peak_mebibytes:.0f} MiB, {len(failures)} failures"
            )
        done.set()
        for sender in senders:
            sender.join()

    def slowest(content: bytes) -> float:
        with Watch(site.server.url, site.server.process.pid) as again:
            _send(address, content)
            time.sleep(0.1)
        return again.worst_seconds

    slow = 0.0
    for content in dict.fromkeys(suspects):
        every_time = _MOST_SECONDS * 2
        for _ in range(_REPLAYS):
            every_time = min(every_time, slowest(content)) if every_time > _MOST_SECONDS else every_time
        if every_time > _MOST_SECONDS:
            slow = max(slow, every_time)
            failures.append(f"/healthz took {every_time * 1000:.0f} ms or more beside {content[:200]!r}")
    if site.server.process.poll() is not None or watch.error:
        failures.append(f"the server ended or did not answer: {watch.error}")
    if watch.peak_mebibytes > _MOST_MEBIBYTES:
        failures.append(f"{watch.peak_mebibytes:.0f} MiB of memory")
    if "Traceback" in site.server.printed():
        failures.append("a traceback in the log")
    return Report(statuses.total(), statuses, watch.worst_seconds, slow, watch.peak_mebibytes, failures)


@contextmanager
def _read_slowly(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Make a pipe for the log of a server, which is read with long pauses, and the file that keeps what was read."""
    pipe, kept, done = folder / "pipe", folder / "log", threading.Event()
    os.mkfifo(pipe)
    kept.touch()

    def read() -> None:
        with open(pipe, "rb", buffering=0) as source, open(kept, "ab", buffering=0) as target:
            pause_at = time.monotonic()
            while piece := source.read(65536):
                target.write(piece)
                if time.monotonic() > pause_at and not done.is_set():
                    done.wait(_UNREAD_SECONDS)
                    pause_at = time.monotonic() + 2 * _UNREAD_SECONDS

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield pipe, kept
    finally:
        done.set()
        reader.join(_PATIENCE_SECONDS)


def main(
    minutes: Annotated[float, typer.Option(min=0.05, help="How long to send.")] = 20,
    seed: Annotated[int | None, typer.Option(help="Make up the same requests again; random if omitted.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="How many send at the same time.")] = 8,
) -> None:
    """Send made-up requests to a server of its own, and end with one line and exit code 1 if it suffers."""
    seed = random.SystemRandom().randrange(2**32) if seed is None else seed
    print(f"seed {seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="gantcha-fuzz-"))
    url = f"sqlite:///{folder}/pool.db"
    migrate(url)
    settings = {
        "DATABASE_URL": url,
        "FILES_DIR": folder / "files",
        "TARGET": 0,
        "LOW_WATER": 0,
        "API_KEY": KEY,
        "WORK": "light",
    }
    with _read_slowly(folder) as (pipe, kept), running_site(settings, log=pipe) as site:
        site.server._log = kept
        report = attack(site, seed, minutes * 60, threads, lambda line: print(line, flush=True))
    print(f"{report}; seed {seed}; log {folder}/log" if report.failures else report)
    if report.failures:
        raise SystemExit(1)
    shutil.rmtree(folder)


if __name__ == "__main__":
    typer.run(main)
