"""What browsers, apps, scanners of links and proxies send, and where the server listens."""

import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urljoin

import psutil
import pytest
import requests

from gantcha import __version__
from pool.models import State
from pool.pool import Drawn, Pool
from pool.settings import Settings
from tests.conftest import (
    PLAIN,
    ROOT,
    Server,
    Site,
    a_png,
    answers,
    drawn,
    environment,
    free_port,
    invoke,
    running_server,
    running_site,
    wait_until,
)
from tests.process.test_challenges import counted
from tests.support.load import ids_in_state
from tests.support.nginx import write_settings
from tests.support.programs import needs


@pytest.mark.parametrize(
    ("accepted", "is_gzipped"),
    [
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("deflate,*", True),
        ("gzip; q=0", False),
        ("gzip;q=0.000", False),
        ("*;q=0", False),
        ("*, gzip;q=0", False),
        ("identity", False),
        ("not-gzip", False),
    ],
)
def test_files_are_compressed_for_who_takes_it(idle_server: Server, accepted: str, is_gzipped: bool) -> None:
    answer = idle_server.get("/widget.js", headers={"Accept-Encoding": accepted}, stream=True)
    assert (answer.headers.get("content-encoding") == "gzip") == is_gzipped
    assert (answer.raw.read(2) == b"\x1f\x8b") == is_gzipped


def test_a_file_that_is_known_is_not_sent_again(idle_server: Server) -> None:
    etag = idle_server.get("/widget.js").headers["etag"]
    for known in (etag, f"W/{etag}", f'"x", W/"y" , {etag}', "*"):
        assert idle_server.get("/widget.js", headers={"If-None-Match": known}).status_code == 304, known
    for other in ('"x"', "", etag.strip('"')):
        assert idle_server.get("/widget.js", headers={"If-None-Match": other}).status_code == 200, other


@pytest.mark.parametrize("name", ["widget", "recaptcha/api", "recaptcha/enterprise", "1/api", "turnstile/v0/api"])
def test_a_script_with_a_version_never_changes(idle_server: Server, name: str) -> None:
    script = idle_server.get(f"/{name}.v{__version__}.js")
    assert script.headers["cache-control"].endswith("immutable")
    assert script.content == idle_server.get(f"/{name}.js").content
    old = idle_server.get(f"/{name}.v0.0.9.js")
    assert old.status_code == 404 and f" {name}.v{__version__}.js only" in old.json()["detail"]


@pytest.mark.parametrize("header", ["Sec-Purpose: prefetch;prerender", "Purpose: prefetch", "X-Moz: prefetch"])
def test_what_is_fetched_ahead_takes_no_captcha(site: Site, header: str) -> None:
    before = counted(site.server, "gantcha_issued_total", route="challenge")
    name, value = header.split(": ")
    for path in ("/challenge", "/plain"):
        answer = site.server.get(path, headers={name: value})
        assert (answer.status_code, answer.headers.get("cache-control", "no-store")) == (503, "no-store")
    assert counted(site.server, "gantcha_issued_total", route="challenge") == before
    assert site.server.get("/plain", headers={"Sec-Purpose": "other"}).ok


def test_a_host_is_the_same_with_its_trailing_dot(site: Site) -> None:
    token = site.answer(*site.challenge(), headers={"Origin": "https://www.example.com."})["token"]
    assert site.siteverify(token)["hostname"] == "www.example.com"


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("*", "*"),
        ("HTTPS://WWW.Example.com:443/", "https://www.example.com"),
        ("http://example.com:80", "http://example.com"),
        ("https://example.com:8443", "https://example.com:8443"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("https://example.com.", "https://example.com"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("tauri://localhost", "tauri://localhost"),
        ("chrome-extension://abcdefghijklmnop", "chrome-extension://abcdefghijklmnop"),
    ],
)
def test_origins_are_what_browsers_send(given: str, sent: str) -> None:
    assert Settings(cors_origins=given).cors_origins == (sent,)  # type: ignore[arg-type] # as the environment has it


@pytest.mark.parametrize(
    "given", ["https://*.example.com", "https://example.com/page", "https://a@example.com", "example.com", "null"]
)
def test_what_no_browser_sends_is_refused_with_the_cure(given: str) -> None:
    result = invoke("server", "--check", CORS_ORIGINS=given)
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: CAPTCHA_CORS_ORIGINS: ")
    assert ("list each host" if "*" in given else "https://www.example.com,capacitor://localhost") in line


def test_the_pages_of_the_documentation_work_behind_a_prefix(sqlite_settings: dict[str, object]) -> None:
    with running_server(sqlite_settings | {"PUBLIC_URL": "https://www.example.com/captcha"}) as server:
        for page in ("docs", "redoc"):
            links = re.findall(r"""(?:src|href|spec-url)=["']([^"']+)|url: '([^']+)'""", server.get(f"/{page}").text)
            paths = [urljoin(f"https://www.example.com/captcha/{page}", link or other) for link, other in links]
            assert len(paths) >= 2
            for path in paths:
                assert path.startswith("https://www.example.com/captcha/"), path
                assert server.get(path.removeprefix("https://www.example.com/captcha")).ok, path
        assert server.get("/openapi.json").json()["servers"] == [{"url": "https://www.example.com/captcha"}]


@needs("nginx")
def test_nginx_with_the_lines_of_the_documentation_serves_all_below_a_prefix(
    sqlite_settings: dict[str, object], tmp_path: Path
) -> None:
    port, text = free_port(), (ROOT / "docs/operations.md").read_text()
    start = text.index("location / {")
    url = f"http://127.0.0.1:{port}/captcha"
    with running_site(sqlite_settings | {"TRUSTED_PROXIES": "127.0.0.1", "PUBLIC_URL": url}) as site:
        site.pool.add(drawn(20), PLAIN)
        location = text[start : text.index("```", start)].replace("location /", "location /captcha/")
        location = location.replace("http://127.0.0.1:8000", f"{site.server.url}/")
        settings = write_settings(tmp_path, f"server {{ listen 127.0.0.1:{port}; {location} }}")
        with subprocess.Popen(["nginx", "-p", str(tmp_path), "-c", str(settings)], stderr=subprocess.DEVNULL) as nginx:
            try:
                wait_until(lambda: answers(f"{url}/healthz"), "nginx to answer")
                challenge = requests.get(f"{url}/challenge", timeout=30)
                assert requests.get(challenge.json()["fileURL"], timeout=30).content == a_png()
                for path in ("docs", "redoc", "demo", "plain"):
                    page = requests.get(f"{url}/{path}", timeout=30).text
                    links = re.findall(r"""(?:src|href|action|spec-url)=["']([^"'#?]+)""", page)
                    for link in {urljoin(f"{url}/{path}", link) for link in links}:
                        if link.startswith("http://127.0.0.1"):
                            assert requests.get(link, timeout=30).ok, link
                assert requests.get(f"{url}/generate", timeout=30).status_code == 403
            finally:
                nginx.terminate()


@pytest.mark.parametrize("workers", [1, 2])
def test_all_addresses_are_both_kinds_for_any_number_of_workers(
    sqlite_settings: dict[str, object], workers: int
) -> None:
    with running_server(sqlite_settings, host="::", workers=workers) as server:
        port = server.url.rpartition(":")[2]
        for host in ("127.0.0.1", "[::1]", "[::ffff:127.0.0.1]"):
            answer = requests.get(f"http://{host}:{port}/generate", timeout=30)
            assert answer.status_code == 503, host  # local, so it is only the pool that is empty
        log = server.stop()
    assert "::ffff" not in log
    assert '"client":"127.0.0.1"' in log


def test_a_mapped_address_is_the_proxy_that_is_trusted(sqlite_settings: dict[str, object]) -> None:
    settings = sqlite_settings | {"TRUSTED_PROXIES": "127.0.0.1", "ISSUE_LIMIT": "1/hour"}
    with running_site(settings, host="::") as site:
        site.pool.add([Drawn("abc234", a_png())] * 5, PLAIN)
        server = site.server
        forwarded = [{"X-Forwarded-For": address} for address in ("203.0.113.1", "::ffff:203.0.113.1", "x" * 20_000)]
        statuses = [server.get("/challenge", headers=one).status_code for one in forwarded]
        assert statuses == [200, 429, 200]
        log = server.stop()
    assert "x" * 64 in log
    assert "x" * 65 not in log


def test_a_unix_socket_can_be_trusted(sqlite_settings: dict[str, object], tmp_path: Path) -> None:
    path, log = tmp_path / "socket", tmp_path / "log"
    command = [sys.executable, "-m", "uvicorn", "server.app:application", "--uds", str(path), "--no-proxy-headers"]
    settings = sqlite_settings | {"TRUSTED_PROXIES": "unix"}
    with open(log, "w") as file:
        process = subprocess.Popen(command, cwd=ROOT, env=environment(settings), stderr=file, stdout=file)
    try:
        wait_until(path.exists, "the socket")
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
            connection.sendall(b"GET /healthz HTTP/1.0\r\nHost: x\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n")
            assert b" 200 " in connection.recv(65536)
        wait_until(lambda: '"client":"203.0.113.9"' in log.read_text(), "the line of the request")
    finally:
        process.terminate()
        process.wait(timeout=30)


def test_a_page_of_another_origin_is_no_local_program(sqlite_settings: dict[str, object]) -> None:
    with running_site(sqlite_settings) as site:
        site.pool.add(drawn(10), PLAIN)
        server = site.server
        for origin in ("https://evil.example", "null", "http://127.0.0.1:1", ""):
            headers = {"Origin": origin}
            assert server.get("/generate", headers=headers).status_code == 403, origin
            assert server.post("/load", files={"file": a_png()}, headers=headers).status_code == 403, origin
        assert server.get("/generate", headers={"Origin": server.url}).ok
        assert server.get("/generate").ok
        log = server.stop()
    assert log.count("a page of another origin is no program") == 1
    assert "https://evil.example" in log


@pytest.mark.parametrize("path", ["/siteverify", "/recaptcha/api/siteverify"])
def test_fields_in_the_query_are_told_or_taken(sqlite_settings: dict[str, object], path: str) -> None:
    for is_taken in (False, True):
        settings = sqlite_settings | {"SITEVERIFY_QUERY": is_taken}
        with running_site(settings) as site:
            site.pool.add(drawn(20), PLAIN)
            for method in ("GET", "POST"):
                query = {"secret": Site.SECRET, "response": site.token()}
                answered = requests.request(method, site.server.url + path, params=query, timeout=30)
                assert answered.status_code == 200
                if is_taken:
                    assert answered.json()["success"]
                else:
                    assert answered.json()["error-codes"] == ["bad-request"]
                    assert "in the body" in answered.json()["detail"]
            plain = site.siteverify("x")
            assert set(plain) == {"success", "challenge_ts", "hostname", "error-codes"}  # nothing else is added
            assert Site.SECRET not in site.server.printed()


def test_no_redirect_goes_where_the_host_header_says(idle_server: Server) -> None:
    for path in ("/challenge/", "/generate/", "/demo/", "//evil.example"):
        answer = idle_server.get(path, headers={"Host": "evil.example"}, allow_redirects=False)
        assert "location" not in answer.headers
        assert answer.status_code == 404


@pytest.mark.skipif(signal.getsignal(signal.SIGHUP) is signal.SIG_IGN, reason="nohup has programs ignore a hang-up")
def test_a_hang_up_gives_the_buffer_back(sqlite_settings: dict[str, object]) -> None:
    pool = Pool.open(
        Settings(database_url=str(sqlite_settings["DATABASE_URL"]), files_dir=sqlite_settings["FILES_DIR"])
    )
    pool.add([Drawn("abc234", a_png())] * 100, PLAIN)
    with running_server(sqlite_settings) as server:
        asked = {server.get("/generate").json()["id"] for _ in range(5)}
        wait_until(lambda: len(ids_in_state(pool.engine, State.ISSUED)) > 5, "the buffer to hold some")
        server.stop(signal.SIGHUP)
        assert not psutil.pid_exists(server.process.pid) or server.process.poll() is not None
    assert ids_in_state(pool.engine, State.ISSUED) == asked
    pool.engine.dispose()
