"""The images' files are enough for what the images run, and compose.yaml, units and crontab name what exists."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from gantcha import __version__
from pool.settings import Settings
from tests.conftest import ROOT, answers, free_port, png_names, wait_until
from tests.support.documents import under
from tests.support.images import BIN, Image
from tests.support.programs import needs


def test_the_server_s_image_answers_and_is_healthy(tmp_path: Path) -> None:
    image, port = Image("server", tmp_path), str(free_port())
    assert not (image.folder / "batch").exists()
    assert image.run(["alembic", "upgrade", "head"]) == 0
    with image.start([*image.command, "--port", port], stderr=subprocess.DEVNULL) as server:
        wait_until(lambda: server.poll() is not None or answers(f"http://127.0.0.1:{port}/healthz"), "the server")
        health = [word.replace("8000", port) for word in image.health]
        assert image.run(health) == 0
        server.send_signal(signal.SIGTERM)
    assert image.start(health, stderr=subprocess.DEVNULL).wait(timeout=60) != 0


def test_the_refill_s_image_fills_the_pool(tmp_path: Path) -> None:
    image = Image("refill", tmp_path)
    image.variables |= {"CAPTCHA_TARGET": "30", "CAPTCHA_LOW_WATER": "20"}
    assert image.run(["alembic", "upgrade", "head"]) == 0
    with image.start(image.command, stderr=subprocess.DEVNULL) as refill:
        wait_until(lambda: len(png_names(tmp_path / "volume")) == 30, "the refill")
        refill.send_signal(signal.SIGTERM)
    assert refill.returncode == 0


def test_a_refill_to_nothing_is_refused(tmp_path: Path) -> None:
    image = Image("refill", tmp_path)
    image.variables["CAPTCHA_TARGET"] = "0"
    with image.start(image.command, stderr=subprocess.PIPE) as refill:
        _, errors = refill.communicate(timeout=60)
    assert refill.returncode == 1
    assert errors == "error: CAPTCHA_TARGET is 0, which turns refilling off\n"


def test_hadolint_has_nothing_to_say() -> None:
    finished = subprocess.run([BIN / "hadolint", "Dockerfile"], cwd=ROOT, capture_output=True, text=True)
    assert (finished.returncode, finished.stdout) == (0, "")


def test_the_engine_is_sent_what_is_copied_and_no_more() -> None:
    sent = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    copied = [
        source
        for line in re.findall(r"^COPY (.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
        for source in line.split()[:-1]
    ]
    assert {"requirements*.txt" if source.startswith("requirements") else source for source in copied} == set(sent)


def test_compose_names_targets_and_secrets_that_exist() -> None:
    text = (ROOT / "compose.yaml").read_text()
    services = yaml.safe_load(text)["services"]
    built = {name: service["build"]["target"] for name, service in services.items() if "build" in service}
    targets = set(re.findall(r"^FROM \S+ AS (\w+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE))
    assert set(built) == {"server", "refill", "migrate"}
    assert set(built.values()) <= targets
    assert all(services[name]["read_only"] and services[name]["cap_drop"] == ["ALL"] for name in built)
    (listed,) = re.findall(r"^for name in (.*?); do", under("docs/containers.md", "Compose"), re.MULTILINE)
    assert set(re.findall(r"\$\{(\w+):\?", text)) == set(listed.split())


def test_compose_lets_nothing_use_up_the_machine() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    for name, service in services.items():
        assert re.search(r"\d[mg]\b", service["mem_limit"]), name
        assert {"max-size", "max-file"} <= set(service["logging"]["options"]), name


def test_every_image_is_built_for_both_architectures_and_named_after_the_version() -> None:
    words = ["make", "--no-print-directory", "--dry-run", "images", "REGISTRY=registry.example.com"]
    printed = subprocess.check_output(words, cwd=ROOT, text=True).replace("\\\n", " ").splitlines()
    targets = re.findall(r"^FROM \S+ AS (\w+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert len(printed) == len(targets) == 3
    for line, target in zip(printed, targets, strict=True):
        assert f"--target {target} " in line
        assert "--platform linux/amd64,linux/arm64 " in line
        assert f"--label org.opencontainers.image.version={__version__} " in line
        assert f"--tag registry.example.com/gantcha-{target}:{__version__} " in line


def test_an_image_is_sent_nowhere_unless_somebody_says_where() -> None:
    refused = subprocess.run(["make", "--dry-run", "images"], cwd=ROOT, capture_output=True, text=True)
    assert refused.returncode != 0
    assert "make images REGISTRY=registry.example.com" in refused.stderr


def test_compose_gives_all_of_env_to_what_runs_our_code() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    ours = {name: service for name, service in services.items() if "build" in service}
    assert all(service["env_file"] == ".env" for service in ours.values())
    overruled = {name for service in ours.values() for name in service["environment"]} - {"CAPTCHA_TARGET"}
    for name, value in ((name, value) for service in ours.values() for name, value in service["environment"].items()):
        assert name not in overruled or str(value).startswith(f"${{{name}:")  # what .env says comes first
    assert ours["server"]["environment"]["CAPTCHA_TARGET"] == 0  # it can't draw, whatever .env says to the refill
    assert "CAPTCHA_TARGET" not in ours["refill"]["environment"]


def test_no_secret_gets_into_an_image() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert lines[0] == "*" and "!.env" not in lines
    assert lines.index("**/.env") > max(number for number, line in enumerate(lines) if line.startswith("!"))


def test_units_and_crontab_write_where_systemd_makes_a_folder() -> None:
    units = [path.read_text() for path in (ROOT / "examples" / "systemd").glob("*.service")]
    assert all("StateDirectory=gantcha\n" in unit and "ReadWritePaths" not in unit for unit in units)
    for text in [*units, (ROOT / "examples" / "crontab").read_text()]:
        places = re.findall(r"CAPTCHA_(?:DATABASE_URL|FILES_DIR)=(\S+)", text)
        assert [place.removeprefix("sqlite:///") for place in places] == [
            "/var/lib/gantcha/pool.db",
            "/var/lib/gantcha/files",
        ]


@pytest.mark.parametrize("file", ["nginx/gantcha.conf", "caddy/Caddyfile"])
def test_what_stands_in_front_names_settings_that_exist(file: str) -> None:
    named = re.findall(r"CAPTCHA_(\w+)", (ROOT / "examples" / file).read_text())
    assert {"PUBLIC_URL", "TRUSTED_PROXIES"} <= set(named) <= {name.upper() for name in Settings.model_fields}


@needs("systemd-analyze")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    (tmp_path / ".venv").symlink_to(sys.prefix)
    units = [tmp_path / unit.name for unit in (ROOT / "examples" / "systemd").glob("*.service")]
    for unit in units:
        source = ROOT / "examples" / "systemd" / unit.name
        unit.write_text(source.read_text().replace("/srv/gantcha", str(tmp_path)))
    finished = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True)
    assert (finished.returncode, finished.stderr) == (0, "")


def test_the_crontab_is_the_one_of_the_documentation() -> None:
    (line,) = (line for line in (ROOT / "examples" / "crontab").read_text().splitlines() if line.startswith("*"))
    assert line in (ROOT / "docs" / "deployment.md").read_text().splitlines()
