"""A tape that is recorded anew differs from the one before only where the conversation did."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wiretape.pytest_plugin.stable_tape import stable_tape
from wiretape_store.tapes import read_tape

Line = tuple[int, str]


def a_tape(*sessions: Sequence[Line], upstreams: Sequence[str] = ("hotbit",), port: int = 40001) -> str:
    """A tape as a recorder writes it at some time, on some ports, with a key of its own."""
    named = [
        {"name": name, "protocol": "json", "url": f"ws://127.0.0.1:{port}", "listen": f"127.0.0.1:{port + 1}"}
        for name in dict.fromkeys(upstreams)
    ]
    start_us = 1_600_000_000_000_000 + port
    head = {"wiretape": "tape", "version": 1, "recording": "t.py::test", "started_at_us": start_us}
    lines = [json.dumps({**head, "ended_at_us": start_us + 9_000_000, "upstreams": named})]
    for upstream, messages in zip(upstreams, sessions, strict=True):
        headers = [["Host", f"127.0.0.1:{port}"], ["Sec-WebSocket-Key", f"key{port}"]]
        session = {"session": upstream, "started_at_us": start_us + 5, "target": "/", "status": 101}
        lines.append(json.dumps({**session, "request_headers": headers}))
        lines += [f'{{"at_us": {at_us}, "from": "client", "json": {payload}}}' for at_us, payload in messages]
        last_us = max((at_us for at_us, _ in messages), default=0)
        lines.append(f'{{"at_us": {last_us}, "end": "eof", "from": "client"}}')
    return "".join(line + "\n" for line in lines)


def times(tape: str) -> list[int]:
    return [int(found) for found in re.findall(r'^\{"at_us": (\d+)', tape, re.MULTILINE)]


def test_the_same_conversation_gives_the_same_file() -> None:
    old = stable_tape(a_tape([(10, '{"a": 1}'), (20, '{"a": 2}')], port=40001))
    new = a_tape([(17, '{"a": 1}'), (99, '{"a": 2}')], port=50001)

    assert stable_tape(new, old) == old


def test_a_changed_message_changes_its_line_alone() -> None:
    old = a_tape([(10, '{"a": 1}'), (20, '{"a": 2}'), (30, '{"a": 3}')])
    new = a_tape([(11, '{"a": 1}'), (22, '{"a": 9}'), (33, '{"a": 3}')], port=50001)

    stable = stable_tape(new, old)

    changed = [
        (before, after)
        for before, after in zip(old.splitlines(), stable.splitlines(), strict=True)
        if before != after
    ]
    assert changed == [
        (
            '{"at_us": 20, "from": "client", "json": {"a": 2}}',
            '{"at_us": 22, "from": "client", "json": {"a": 9}}',
        )
    ]


@pytest.mark.parametrize(
    ("at_us", "stays_us"),
    [
        pytest.param(15, 15, id="its-own-time-fits"),
        pytest.param(900, 20, id="later-than-what-follows"),
        pytest.param(3, 10, id="earlier-than-what-precedes"),
    ],
)
def test_a_new_message_lies_between_the_old_ones(at_us: int, stays_us: int) -> None:
    old = a_tape([(10, '{"a": 1}'), (20, '{"a": 2}')])
    new = a_tape([(at_us, '{"a": 1}'), (at_us, '{"new": 1}'), (at_us + 1, '{"a": 2}')])

    assert times(stable_tape(new, old)) == [10, stays_us, 20, 20]


def test_sessions_are_in_the_order_of_their_upstreams() -> None:
    one = a_tape([(1, '{"a": 1}')], [(1, '{"b": 1}')], upstreams=["hotbit", "ontology"])
    other = a_tape([(1, '{"b": 1}')], [(1, '{"a": 1}')], upstreams=["ontology", "hotbit"])

    assert stable_tape(one).splitlines()[1:] == stable_tape(other).splitlines()[1:]


def test_sessions_of_an_upstream_stay_in_their_order() -> None:
    tape = a_tape([(1, '{"second": 1}')], [(1, '{"first": 1}')], upstreams=["hotbit", "hotbit"])

    assert stable_tape(tape) == tape


def test_tokens_are_named_by_their_order() -> None:
    one, other, third = ("wt-" + digit * 32 for digit in "abc")
    old = a_tape([(1, f'{{"key": "{one}", "sign": "{other}"}}'), (2, f'{{"key": "{one}"}}')])
    new = a_tape([(1, f'{{"key": "{third}", "sign": "{one}"}}'), (2, f'{{"key": "{third}"}}')])

    stable = stable_tape(new)

    assert stable == stable_tape(old)
    named = re.findall(r"wt-[0-9a-f]{32}", stable)
    assert named[0] == named[2] != named[1]


def test_a_line_stays_whose_secrets_have_other_tokens() -> None:
    old = a_tape([(1, f'{{"key": "wt-{"a" * 32}", "sign": "wt-{"b" * 32}"}}')])
    new = a_tape([(2, f'{{"key": "wt-{"0" * 32}", "sign": "wt-{"0" * 32}"}}')])

    assert stable_tape(new, old) == old


def test_payloads_are_never_taken_for_what_stands_around_them() -> None:
    payload = '{"at_us": 5, "started_at_us": 17, "host": "127.0.0.1:4"}'
    old = a_tape([(10, payload)])
    new = a_tape([(10, payload.replace("17", "18"))])

    assert '"started_at_us": 18, "host": "127.0.0.1:4"' in stable_tape(new, old)


def test_characters_that_end_lines_elsewhere_end_none_here() -> None:
    tape = a_tape([(10, '{"a": "\x0b\x1c\u2028"}')])

    assert stable_tape(tape, tape) == tape


def test_a_changed_end_keeps_what_precedes_it() -> None:
    old = a_tape([(10, '{"a": 1}'), (20, '{"a": 2}')])
    new = a_tape([(11, '{"a": 1}')])

    assert stable_tape(new, old).splitlines()[:3] == old.splitlines()[:3]


_payloads = st.lists(st.sampled_from(['{"a": 1}', '{"a": 2}', '{"a": 3}']), max_size=12)
_moments = st.lists(st.integers(0, 1000), min_size=12, max_size=12).map(sorted)


@given(_payloads, _payloads, _moments, _moments)
def test_a_stable_tape_says_what_the_new_one_says(
    before: list[str], now: list[str], before_us: list[int], now_us: list[int]
) -> None:
    old = a_tape(list(zip(before_us, before, strict=False)))
    new = a_tape(list(zip(now_us, now, strict=False)), port=50001)

    stable = stable_tape(new, old)

    assert [line.partition('"from"')[2] for line in stable.splitlines()] == [
        line.partition('"from"')[2] for line in new.splitlines()
    ]
    assert times(stable) == sorted(times(stable))
    assert stable_tape(stable, stable) == stable


def test_long_tapes_are_not_compared_for_minutes() -> None:
    old = a_tape([(number, '{"same": 1}') for number in range(20_000)])
    new = a_tape([(number, '{"other": 1}') for number in range(20_000)])

    assert stable_tape(new, old).count('"other"') == 20_000


def test_a_stable_tape_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.tape"
    path.write_text(stable_tape(a_tape([(10, '{"a": 1}')]), a_tape([(99, '{"a": 1}')])))

    assert read_tape(path).name == "t.py::test"
