"""The OpenAPI document: valid, served, checked in, and about what there is."""

from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
from control_clients import Answer

from wiretape_replay.control.openapi import DOCUMENT, as_text
from wiretape_replay.control.operations import OPERATIONS
from wiretape_replay.control.schemas import PARAMETERS, SCHEMAS

ROOT = Path(__file__).parents[3]


def test_the_page_is_what_the_code_says() -> None:
    assert (ROOT / "docs" / "openapi.json").read_text() == as_text()


def test_the_document_is_served(ask: Callable[..., Answer]) -> None:
    assert ask("GET", "/v1/openapi.json").json == DOCUMENT


@pytest.mark.parametrize("schema", [*SCHEMAS.values(), *PARAMETERS.values()], ids=[*SCHEMAS, *PARAMETERS])
def test_every_schema_is_json_schema(schema: dict[str, object]) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)


def references(value: object) -> set[str]:
    if isinstance(value, dict):
        own = {str(value["$ref"])} if "$ref" in value else set()
        return own.union(*map(references, value.values()))
    if isinstance(value, list):
        return set().union(*map(references, value))
    return set()


def test_every_reference_leads_somewhere_and_every_schema_is_used() -> None:
    assert references(DOCUMENT) == {f"#/components/schemas/{name}" for name in SCHEMAS}


def test_every_operation_has_a_name_of_its_own_and_describes_its_answers() -> None:
    described = [each for methods in DOCUMENT["paths"].values() for each in methods.values()]

    assert len({each["operationId"] for each in described}) == len(described) == len(OPERATIONS)
    assert all({"200", "201"} & set(each["responses"]) for each in described)
    assert all({"400", "401", "403"} <= set(each["responses"]) for each in described)


def test_every_parameter_is_used_and_every_path_parameter_declared() -> None:
    used = {name for operation in OPERATIONS for name in operation.query}

    assert used == set(PARAMETERS)
    for path, methods in DOCUMENT["paths"].items():
        for each in methods.values():
            in_path = {one["name"] for one in each.get("parameters", ()) if one["in"] == "path"}
            assert in_path == ({"id"} if "{id}" in path else set())
