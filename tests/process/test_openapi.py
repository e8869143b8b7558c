"""What the OpenAPI document shows to readers."""

import pytest
import requests

from tests.conftest import Server


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
