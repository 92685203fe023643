"""Bodies for the control API, made by hypothesis from its schemas: right ones, nearly right ones, and rubbish."""

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from wiretape_replay.control.operations import OPERATIONS
from wiretape_replay.control.schemas import SCHEMAS
from wiretape_replay.control.validation import resolved

BODIES = sorted({operation.body for operation in OPERATIONS if operation.body is not None})
WORDS = [
    "asap",
    "step",
    "x10",
    "up",
    "one",
    "two",
    "call x",
    "> call 1 x",
    "eA==",
    "ws://x:1",
    "ws://[",
    "ws://x:y",
]
"""Texts that mean something to somebody."""


def _members(schema: Any) -> set[str]:
    """All names that a body may use anywhere."""
    if isinstance(schema, dict):
        own = set(schema.get("properties", ()))
        return own.union(*(_members(value) for value in schema.values()))
    return set()


NAMES = sorted(set().union(*(_members(SCHEMAS[body]) for body in ("Settings", *BODIES))))
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.integers(-2, 12), st.floats(),
    st.text(max_size=5), st.text(st.characters(), max_size=3), st.sampled_from(WORDS),
)  # fmt: skip
"""With halves of surrogate pairs, which `text` leaves out by itself."""
RUBBISH = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from([*NAMES, "other"]) | st.text(st.characters(), max_size=2), inner, max_size=4
        ),
    ),
    max_leaves=12,
)


def following(schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """Values that a schema allows, or nearly: now and then a member is rubbish, or missing."""
    schema = resolved(schema)
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return st.one_of(*(_of_kind(kind, schema) for kind in kinds), *([SCALARS] if "oneOf" in schema else []))


def _of_kind(kind: str, schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if kind == "object" and "properties" not in schema:
        names = st.sampled_from(WORDS) | st.text(st.characters(), max_size=3)
        return st.dictionaries(names, following(schema["additionalProperties"]), max_size=2)
    if kind == "object":
        return _objects(schema)
    if kind == "array":
        return st.lists(following(schema["items"]), max_size=3)
    if kind in ("integer", "number"):
        make = st.integers if kind == "integer" else st.floats
        return make(schema["minimum"], schema["maximum"])
    return {"boolean": st.booleans(), "null": st.none()}.get(
        kind, st.sampled_from(WORDS) | st.text(max_size=10)
    )


@st.composite
def _objects(draw: st.DrawFn, schema: Mapping[str, Any]) -> dict[str, Any]:
    alternatives = [each["required"][0] for each in schema.get("oneOf", ())]
    chosen = set(schema.get("required", ())) | (
        {draw(st.sampled_from(alternatives))} if alternatives else set()
    )
    others = [name for name in schema["properties"] if name not in alternatives]
    chosen |= set(draw(st.lists(st.sampled_from(others), max_size=4))) if others else set()
    made = {name: draw(following(schema["properties"][name])) for name in sorted(chosen)}
    if draw(st.integers(0, 5)) == 0:
        made[draw(st.sampled_from([*schema["properties"], "other"]))] = draw(SCALARS)
    return made
