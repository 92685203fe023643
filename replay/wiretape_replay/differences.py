"""Where a client message and the recorded one nearest to it differ, member by member, for people."""

from collections.abc import Iterator

from wiretape_protocols import Request, canonical, read_request
from wiretape_protocols.json_values import Json, Number
from wiretape_replay.journal import Difference

_MOST = 8
"""Differences that are named; people look at the first ones."""
_LONGEST = 80
"""Characters of a value that are shown."""
_DEEPEST = 20


def differences(
    recorded: Request, recorded_payload: bytes, sent: Request, payload: bytes
) -> tuple[Difference, ...]:
    """
    The members in which two JSON messages differ, the first eight; ids are left out.

    One difference without a pointer where either is no JSON object.
    """
    before, after = read_request(recorded_payload), read_request(payload)
    if before is None or after is None:
        texts = (_cut(text.decode(errors="replace")) for text in (recorded_payload, payload))
        return (Difference("", *texts),) if recorded_payload != payload else ()
    pair = _without_id(before, recorded.id_text), _without_id(after, sent.id_text)
    return tuple(found for found, _ in zip(_differences("", *pair, 0), range(_MOST), strict=False))


def _without_id(message: dict[str, Json], id_text: bytes | None) -> dict[str, Json]:
    """A message without the member that is its id: called so, or else the first that has its value."""
    if id_text is None:
        return message
    spelled = id_text.decode(errors="replace")
    same = [name for name, value in message.items() if spelled in (_shown(value), canonical(value))]
    dropped = next((name for name in same if name.lower() == "id"), same[0] if same else None)
    return {name: value for name, value in message.items() if name != dropped}


def _differences(pointer: str, before: Json, after: Json, depth: int) -> Iterator[Difference]:
    if depth < _DEEPEST and isinstance(before, dict) and isinstance(after, dict):
        yield from _of_members(pointer, before, after, depth)
    elif depth < _DEEPEST and isinstance(before, list) and isinstance(after, list):
        yield from _of_members(pointer, _indexed(before), _indexed(after), depth)
    elif canonical(before) != canonical(after) or _is_real(before) != _is_real(after):
        yield Difference(pointer, _shown(before), _shown(after))


def _of_members(
    pointer: str, before: dict[str, Json], after: dict[str, Json], depth: int
) -> Iterator[Difference]:
    for name in [*before, *(name for name in after if name not in before)]:
        inner = f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"
        if name in before and name in after:
            yield from _differences(inner, before[name], after[name], depth + 1)
        elif name in before:
            yield Difference(inner, _shown(before[name]), None)
        else:
            yield Difference(inner, None, _shown(after[name]))


def _indexed(values: list[Json]) -> dict[str, Json]:
    return {str(index): value for index, value in enumerate(values)}


def _is_real(value: Json) -> bool:
    """Whether a number has a fraction or an exponent: 60 and 60.0 are the same, but not to every server."""
    return isinstance(value, Number) and not value.text.lstrip("-").isdigit()


def _shown(value: Json) -> str:
    return _cut(value.text if isinstance(value, Number) else canonical(value))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
