"""Holds JSON against the schemas that the OpenAPI document shows, so that neither says what the other does not."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from wiretape_replay.control.errors import MalformedError
from wiretape_replay.control.schemas import SCHEMAS

_SHOWN = 60  # characters of a wrong value in a sentence
_REFERENCE = "#/components/schemas/"
_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "string": ((str,), "text"),
    "integer": ((int,), "a whole number"),
    "number": ((int, float), "a number"),
    "boolean": ((bool,), "true or false"),
    "array": ((list,), "an array"),
    "object": ((dict,), "an object"),
    "null": ((type(None),), "null"),
}


def check(value: object, schema: Mapping[str, Any], member: str = "") -> None:
    """
    Raise MalformedError for the first thing in `value` that the schema does not allow.

    `member` is where the value stands (`settings.pace`); empty for the body as a whole.
    """
    schema = resolved(schema)
    wrong = next(_faults(value, schema), None)
    if wrong is not None:
        raise MalformedError(f"{member or 'the body'} {wrong}")
    if isinstance(value, dict):
        _check_members(value, schema, member)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            check(item, schema["items"], f"{member}[{index}]")


def resolved(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema itself, or the named one that it refers to."""
    reference = schema.get("$ref")
    return SCHEMAS[reference.removeprefix(_REFERENCE)] if reference else schema


def _faults(value: object, schema: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the value itself, its members and items left aside."""
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if not any(_is(value, name) for name in types):
        yield f"is {shown(value)}: use {' or '.join(_TYPES[name][1] for name in types)}"
    allowed = schema.get("enum")
    if allowed is not None and value not in allowed:
        yield f"is {shown(value)}: use {_any_of(allowed)}"
    if isinstance(value, str):
        yield from _text_faults(value, schema)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        least, most = schema.get("minimum"), schema.get("maximum")
        if least is not None and value < least:
            yield f"is {shown(value)}: use {least} or more"
        if most is not None and value > most:
            yield f"is {shown(value)}: use {most} or less"
    elif isinstance(value, list) and len(value) > schema.get("maxItems", len(value)):
        yield f"has {len(value)} items: use at most {schema['maxItems']}"


def _text_faults(value: str, schema: Mapping[str, Any]) -> Iterator[str]:
    if len(value) < schema.get("minLength", 0):
        yield "is empty: leave it out, or name something"
    if len(value) > schema.get("maxLength", len(value)):
        yield f"is {len(value)} characters long: use at most {schema['maxLength']}"


def _check_members(value: Mapping[str, object], schema: Mapping[str, Any], member: str) -> None:
    inside = f"{member}." if member else ""
    if isinstance(schema.get("additionalProperties"), dict):  # a map, whose names are not ours
        for name, item in value.items():
            check(item, schema["additionalProperties"], inside + _name(name))
        return
    properties = schema.get("properties", {})
    for name in value:
        if name not in properties:
            known = f"use {_any_of(properties)}" if properties else "nothing is accepted here"
            raise MalformedError(f"{inside}{_name(name)} is not known: {known}", "unknown_member")
    for name in schema.get("required", ()):
        if name not in value:
            raise MalformedError(f"{inside}{name} is missing")
    alternatives = [each["required"][0] for each in schema.get("oneOf", ())]
    if alternatives and sum(name in value for name in alternatives) != 1:
        where = f"{member} needs" if member else "the body needs"
        raise MalformedError(f"{where} exactly one of {', '.join(alternatives)}")
    for name, item in value.items():
        check(item, properties[name], inside + name)


def _is(value: object, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    return isinstance(value, _TYPES[name][0])


def _any_of(names: Any) -> str:
    words = ["null" if name is None else str(name) for name in names]
    return " or ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def _name(name: str) -> str:
    """A member's name that somebody made up, as it may stand in a sentence."""
    return name if name.isidentifier() and name.isascii() and len(name) <= _SHOWN else shown(name)


def shown(value: object) -> str:
    """The beginning of a value that somebody sent, on one line and in ASCII."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "an array"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 1 << 64:
        return "a very large number"
    text = json.dumps(value[: _SHOWN + 1] if isinstance(value, str) else value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
