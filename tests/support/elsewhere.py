"""A page of another origin than the captcha server, with a policy that forbids all it can."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs


@contextmanager
def page_elsewhere(captcha_server: str, widget: str, script: str) -> Iterator[tuple[str, list[dict[str, list[str]]]]]:
    """A site of its own, with a strict policy: its URL, and the forms it is sent."""
    forms: list[dict[str, list[str]]] = []
    policy = (
        f"default-src 'none'; script-src 'self' {captcha_server}; connect-src {captcha_server}; "
        f"img-src {captcha_server}; form-action 'self'; require-trusted-types-for 'script'"
    )
    page = (
        f'<!doctype html><link rel="icon" href="{captcha_server}/favicon.svg"><script src="own.js"></script>'
        f'<script src="{captcha_server}/widget.js" defer></script>'
        f'<form method="post">{widget}<button>Send</button></form>'
    )

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            kind, content = ("javascript", script) if self.path == "/own.js" else ("html", page)
            self.send_response(200)
            self.send_header("Content-Type", f"text/{kind}; charset=utf-8")
            self.send_header("Content-Security-Policy", policy)
            self.end_headers()
            self.wfile.write(content.encode())

        def do_POST(self) -> None:
            forms.append(parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode()))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", forms
        server.shutdown()
