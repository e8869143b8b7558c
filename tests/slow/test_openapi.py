"""Every answer of a running server is as the OpenAPI document says, by schemathesis."""

import subprocess
import sys
from pathlib import Path

from pool.pool import Drawn
from tests.conftest import PLAIN, a_png, running_site
from tests.support.programs import needs

_KEY = "a-key-of-sixteen-or-more"
_EXCLUDED = (
    "negative_data_rejection,"  # siteverify answers 200 whatever it is asked, as the products it stands for do
    "positive_data_acceptance"  # a file that is no PNG fits the document, for all that OpenAPI can say
)


@needs("espeak-ng")
def test_every_answer_is_as_documented(sqlite_settings: dict[str, object], tmp_path: Path) -> None:
    with running_site(sqlite_settings | {"API_KEY": _KEY}) as site:
        site.pool.add([Drawn("abc234", a_png())] * 3000, PLAIN)
        command = [
            sys.executable,
            "-m",
            "schemathesis.cli",
            "run",
            f"{site.server.url}/openapi.json",
            "--checks",
            "all",
        ]
        options = ["--exclude-checks", _EXCLUDED, "--max-examples", "30", "--generation-deterministic", "--no-color"]
        finished = subprocess.run(
            [*command, *options, "--header", f"Authorization: Bearer {_KEY}"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert finished.returncode == 0, finished.stdout + finished.stderr
        assert "12 passed" in finished.stdout
        assert "Exception" not in site.server.printed()
