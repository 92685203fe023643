"""Bodies are held against the schemas of the OpenAPI document, as any other reader of it would."""

from typing import Any

import jsonschema
import pytest
from body_strategies import BODIES, RUBBISH, SCALARS, following
from hypothesis import assume, event, given
from hypothesis import strategies as st

from wiretape_replay.control.errors import MalformedError
from wiretape_replay.control.openapi import DOCUMENT
from wiretape_replay.control.schemas import PARAMETERS, SCHEMAS
from wiretape_replay.control.validation import check, shown


def allowed(value: Any, schema: Any) -> bool:
    """What a validator of JSON Schema says."""
    checked = schema | {"components": DOCUMENT["components"]}
    return bool(jsonschema.Draft202012Validator(checked).is_valid(value))


def accepted(value: Any, schema: Any) -> bool:
    try:
        check(value, schema)
    except MalformedError as exc:
        return not str(exc).isprintable()  # then the two differ, and the test fails
    return True


def whole_floats(value: Any) -> bool:
    """Whether there is a 1.0 anywhere: JSON Schema calls it an integer, and nobody needs that here."""
    if isinstance(value, dict):
        return any(map(whole_floats, value.values()))
    if isinstance(value, list):
        return any(map(whole_floats, value))
    return isinstance(value, float) and value.is_integer()


@given(st.data(), st.sampled_from(BODIES))
def test_what_is_accepted_is_what_the_document_allows(data: st.DataObject, name: str) -> None:
    value = data.draw(following(SCHEMAS[name]) | RUBBISH)
    assume(not whole_floats(value))
    event(f"allowed: {allowed(value, SCHEMAS[name])}")
    assert accepted(value, SCHEMAS[name]) == allowed(value, SCHEMAS[name])


@given(st.sampled_from(sorted(PARAMETERS)), SCALARS | st.lists(SCALARS, max_size=3))
def test_what_is_accepted_in_a_query_is_what_the_document_allows(name: str, value: Any) -> None:
    assume(not whole_floats(value))
    assert accepted(value, PARAMETERS[name]) == allowed(value, PARAMETERS[name])


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        pytest.param("NewRun", 1, "the body is 1: use an object", id="body"),
        pytest.param("NewRun", {"recording": None}, "recording is null: use text", id="null"),
        pytest.param(
            "NewRun", {"recording": ""}, "recording is empty: leave it out, or name something", id="empty"
        ),
        pytest.param("NewRun", {"recording": True}, "recording is true: use text", id="boolean"),
        pytest.param(
            "NewRun", {"recording": "x" * 201}, "is 201 characters long: use at most 200", id="long"
        ),
        pytest.param(
            "NewRun", {"recording": "x", "addresses": "port"}, 'is "port": use ports or paths', id="enum"
        ),
        pytest.param("NewRun", {"x\n": 1}, '"x\\n" is not known', id="odd name"),
        pytest.param("Step", {"messages": 1.5}, "messages is 1.5: use a whole number", id="fraction"),
        pytest.param(
            "Step", {"messages": 10**30}, "messages is a very large number: use 1000000000 or less", id="huge"
        ),
        pytest.param("Step", {"messages": 1, "method": "x"}, "the body needs exactly one of", id="two"),
        pytest.param("Disconnect", {"code": "x"}, 'code is "x": use a whole number or null', id="nullable"),
        pytest.param("Settings", {"relax": "x"}, 'relax is "x": use an array', id="array"),
        pytest.param(
            "Settings", {"relax": ["x"] * 1001}, "relax has 1001 items: use at most 1000", id="many"
        ),
        pytest.param(
            "Settings", {"stall_s": float("inf")}, "stall_s is Infinity: use 86400 or less", id="infinite"
        ),
    ],
)
def test_a_sentence_names_the_member_and_what_it_may_be(name: str, value: Any, sentence: str) -> None:
    with pytest.raises(MalformedError) as refused:
        check(value, SCHEMAS[name])
    assert sentence in str(refused.value)


@given(RUBBISH)
def test_what_was_sent_is_shown_on_one_short_line(value: Any) -> None:
    text = shown(value)
    assert len(text) <= 61
    assert text.isprintable()
    assert text.removesuffix("…").isascii()
