"""Real programs in front of servers, with the files of `examples`."""

import os
import re
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPSConnection
from pathlib import Path

from tests.conftest import ROOT, free_port, is_taken, wait_until
from tests.support.nginx import write_settings


class Front:
    """A program with its file of the examples, in which only addresses, ports and the certificate are others."""

    program: str
    file: str
    """of `examples`"""
    limits_rates = True
    may_fail: frozenset[str] = frozenset()
    """what fails while a server is away"""

    def __init__(self, folder: Path, servers: list[int]) -> None:
        self.folder, self.port, self.plain_port = folder, free_port(), free_port()
        self.certificate, self.key = folder / "certificate", folder / "key"
        made = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=test -addext subjectAltName=IP:127.0.0.1"
        command = [*made.split(), "-keyout", self.key, "-out", self.certificate]
        subprocess.run(command, check=True, capture_output=True)
        text = (ROOT / "examples" / self.file).read_text()
        addresses = {f"10.0.0.{number}:8000": f"127.0.0.1:{port}" for number, port in enumerate(servers, 1)}
        for named, ours in (self.replaced() | addresses).items():
            assert named in text
            text = text.replace(named, ours)
        self.command = self.prepare(text)
        self._tls = ssl.create_default_context(cafile=self.certificate)
        self.url = f"https://127.0.0.1:{self.port}/captcha"

    def replaced(self) -> dict[str, str]:
        """Return what is elsewhere here: certificate and ports."""
        raise NotImplementedError

    def prepare(self, text: str) -> list[str]:
        """Write the file; return the command that runs the program with it."""
        raise NotImplementedError

    @contextmanager
    def running(self) -> Iterator["Front"]:
        variables = os.environ | {"XDG_DATA_HOME": str(self.folder)}
        with (
            open(self.folder / "front.log", "w") as log,
            subprocess.Popen(self.command, stdout=log, stderr=log, env=variables) as front,
        ):
            try:
                wait_until(lambda: front.poll() is not None or is_taken(self.port), self.program)
                assert front.poll() is None, (self.folder / "front.log").read_text()
                yield self
            finally:
                front.terminate()

    def connect(self, address: str) -> HTTPSConnection:
        """Connect from an address of this machine: all of 127.0.0.0/8 are."""
        return HTTPSConnection("127.0.0.1", self.port, context=self._tls, source_address=(address, 0), timeout=30)


class Nginx(Front):
    """nginx."""

    program, file = "nginx", "nginx/gantcha.conf"

    def replaced(self) -> dict[str, str]:
        return {
            "/etc/ssl/www.example.com.crt": str(self.certificate),
            "/etc/ssl/www.example.com.key": str(self.key),
            "listen 443": f"listen 127.0.0.1:{self.port}",
            "listen [::]:443": f"listen [::1]:{self.port}",
            "listen 80": f"listen 127.0.0.1:{self.plain_port}",
            "listen [::]:80": f"listen [::1]:{self.plain_port}",
        }

    def prepare(self, text: str) -> list[str]:
        (self.folder / "gantcha.conf").write_text(text)
        settings = write_settings(self.folder, f"include {self.folder}/gantcha.conf;")
        return ["nginx", "-p", str(self.folder), "-c", str(settings)]


class Caddy(Front):
    """Caddy, of which Debian's lacks a name of our file."""

    program, file = "caddy", "caddy/Caddyfile"
    limits_rates = False

    def replaced(self) -> dict[str, str]:
        return {"www.example.com {": f"https://127.0.0.1:{self.port} {{\n\ttls {self.certificate} {self.key}"}

    def prepare(self, text: str) -> list[str]:
        version = re.findall(r"\d+", subprocess.check_output(["caddy", "version"], text=True))[:3]
        if tuple(map(int, version)) < (2, 6, 4):
            text = text.replace("request_buffers 1100KB", "buffer_requests")
            self.may_fail = frozenset({"/verify 502"})
        file = self.folder / "Caddyfile"
        file.write_text("{\n\tadmin off\n\tauto_https disable_redirects\n}\n" + text)
        return ["caddy", "run", "--config", str(file), "--adapter", "caddyfile"]


class HAProxy(Front):
    """HAProxy."""

    program, file = "haproxy", "haproxy/haproxy.cfg"

    def replaced(self) -> dict[str, str]:
        return {
            "/etc/ssl/www.example.com.pem": str(self.folder / "both"),
            "bind :443": f"bind 127.0.0.1:{self.port}",
            "bind :80": f"bind 127.0.0.1:{self.plain_port}",
        }

    def prepare(self, text: str) -> list[str]:
        (self.folder / "both").write_text(self.certificate.read_text() + self.key.read_text())
        (self.folder / "haproxy.cfg").write_text(text)
        return ["haproxy", "-W", "-f", str(self.folder / "haproxy.cfg")]
