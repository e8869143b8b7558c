"""What the OpenAPI document shows to readers."""

import re
from pathlib import Path

import pytest
import requests

from tests.conftest import ROOT, Server

READMES = [ROOT / "README.md", ROOT / "README.ru.md"]


@pytest.fixture(scope="module")
def document(idle_server: Server) -> dict[str, dict[str, dict[str, dict[str, object]]]]:
    described = requests.get(f"{idle_server.url}/openapi.json", timeout=10).json()
    return dict(described)


def test_every_route_and_error_has_an_example(document: dict[str, dict[str, dict[str, dict[str, object]]]]) -> None:
    schemas = document["components"]["schemas"]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation["description"], path
            for status, answer in operation["responses"].items():  # type: ignore[attr-defined] # a JSON object
                (content,) = answer["content"].values()
                named = content["schema"].get("$ref", "").rpartition("/")[2]
                assert (
                    "examples" in content
                    or content["schema"].get("type") == "string"
                    or ("example" in schemas[named] or named == "Healthy")
                ), f"{path} {status}"


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.name)
def test_the_table_of_routes_is_that_of_the_server(readme: Path, idle_server: Server) -> None:
    paths = idle_server.get("/openapi.json").json()["paths"]
    documented = {
        (method.upper(), re.sub(r"{\w+}", "{id}", path)) for path, methods in paths.items() for method in methods
    }
    shown = set(
        re.findall(
            r"`(GET|POST) (/[^`]*)`",
            "\n".join(line for line in readme.read_text().splitlines() if line.startswith("| `")),
        )
    )
    assert shown - {("GET", "/demo"), ("GET", "/operator"), ("GET", "/plain")} == {
        (m, p) for m, p in documented if "/v0/" not in p and "/api/" not in p
    }
