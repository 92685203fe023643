"""Faults as they are written: what is understood, what is refused, and what the refusal says."""

import json

import pytest

from wiretape_replay import Fault, FaultError, FaultKind, read_faults

DROP = Fault(FaultKind.DROP, method="deals.update", nth=3)
EXAMPLES: dict[FaultKind, dict[str, object]] = {
    FaultKind.REFUSE: {"status": 503},
    FaultKind.DELAY_HANDSHAKE: {"delay_s": 0.5},
    FaultKind.DROP: {"stream": "deals", "every": 2},
    FaultKind.DELAY: {"delay_s": 2, "method": "deals.update"},
    FaultKind.DUPLICATE: {"copies": 3},
    FaultKind.REORDER: {"upstream": "hotbit", "connection": 2},
    FaultKind.CORRUPT: {"byte": 0, "chance": 0.25},
    FaultKind.TRUNCATE: {"bytes": 10, "times": 4},
    FaultKind.OVERSIZE: {"bytes": 2**40},
    FaultKind.CLOSE: {"code": 1012, "reason": "going down, back soon"},
    FaultKind.CUT: {"reset": False, "nth": 7},
    FaultKind.STOP_READING: {},
    FaultKind.STOP_PONGS: {"nth": 1},
}


@pytest.mark.parametrize("kind", FaultKind)
def test_every_kind_is_read_and_written_alike(kind: FaultKind) -> None:
    written = {"kind": kind.value, **EXAMPLES[kind]}

    fault = Fault.from_object(json.loads(json.dumps(written)))

    assert fault.kind is kind
    assert fault.to_object() == written
    assert Fault.from_object(fault.to_object()) == fault
    assert hash(fault) == hash(Fault.from_object(written))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("drop", Fault(FaultKind.DROP)),
        ("drop,method=deals.update,nth=3", DROP),
        (" drop, method=deals.update,nth= 3", DROP),
        ("delay,delay_s=0.5,stream=deals", Fault(FaultKind.DELAY, delay_s=0.5, stream="deals")),
        ("corrupt,byte=0,chance=1e-3", Fault(FaultKind.CORRUPT, byte=0, chance=0.001)),
        ("truncate,bytes=4", Fault(FaultKind.TRUNCATE, size_bytes=4)),
        ("close,code=1012,reason=a = b", Fault(FaultKind.CLOSE, code=1012, reason="a = b")),
        ("cut,reset=false", Fault(FaultKind.CUT, reset=False)),
        ("drop,method=7", Fault(FaultKind.DROP, method="7")),
    ],
)
def test_the_short_form_says_the_same(text: str, fault: Fault) -> None:
    assert Fault.parse(text) == fault


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ({}, "the fault: kind is missing; give one of refuse, delay_handshake, drop, "),
        ({"kind": "drp"}, 'the fault: kind "drp" is not known; give one of refuse, '),
        ({"kind": ["drop"]}, 'the fault: kind ["drop"] is not known; give one of refuse, '),
        (["drop"], 'the fault: is no object; give one such as {"kind": "drop", "nth": 3}'),
        ({"kind": "drop", "nth": 0}, "the fault: nth 0 does not fit; give a whole number, 1 or more"),
        ({"kind": "drop", "nth": True}, "the fault: nth true does not fit; give a whole number, 1 or more"),
        ({"kind": "drop", "nth": 1.5}, "the fault: nth 1.5 does not fit; give a whole number, 1 or more"),
        ({"kind": "drop", "nth": None}, "the fault: nth null does not fit; give a whole number, 1 or more"),
        (
            {"kind": "drop", "chance": 1.1},
            "the fault: chance 1.1 does not fit; give a number above 0, 1 at most",
        ),
        (
            {"kind": "drop", "chance": float("nan")},
            "the fault: chance NaN does not fit; give a number above 0, 1 at most",
        ),
        ({"kind": "drop", "method": ""}, "the fault: method \"\" does not fit; give a method's name"),
        (
            {"kind": "drop", "status": 503},
            "the fault: status is no member of drop; give upstream, connection, nth, every, chance, times, method",
        ),
        (
            {"kind": "refuse", "method": "x"},
            "the fault: method is no member of refuse; give upstream, connection, nth, every, chance, times, st",
        ),
        ({"kind": "refuse", "status": 101}, "the fault: status 101 does not fit; give an HTTP status from 200 to 599"),
        (
            {"kind": "delay"},
            "the fault: delay_s is missing; give seconds above 0, such as 0.5; a day at most",
        ),
        (
            {"kind": "delay_handshake", "delay_s": -1},
            "the fault: delay_s -1 does not fit; give seconds above 0, such as 0.5; a day at most",
        ),
        ({"kind": "drop", "nth": 2, "every": 2}, "the fault: nth and every exclude each other; give one of them"),
        ({"kind": "duplicate", "copies": 1001}, "the fault: copies 1001 does not fit; give a whole number from 1 to 1000"),
        ({"kind": "close", "code": 65536}, "the fault: code 65536 does not fit; give a whole number from 0 to 65535 (1005: no code)"),
        ({"kind": "close", "reason": "ä" * 62}, 'the fault: reason "' + "ä" * 59 + "… does not fit; give a text of at most 123 bytes"),
        ({"kind": "cut", "reset": 1}, "the fault: reset 1 does not fit; give true or false"),
        ({"kind": "oversize", "bytes": 2**63}, f"the fault: bytes {2**63} does not fit; give a whole number of bytes"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_named_with_what_is_accepted(written: object, says: str) -> None:
    with pytest.raises(FaultError) as refused:
        Fault.from_object(written)

    assert str(refused.value)[: len(says)] == says
    assert refused.value.usage


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("drop,nth", "--fault drop,nth: nth is no member; give NAME=VALUE, such as nth=3"),
        ("drop,=3", "--fault drop,=3: =3 is no member; give NAME=VALUE, such as nth=3"),
        ("drop,nth=1,nth=2", "--fault drop,nth=1,nth=2: nth is there twice; give it once"),
        ("drop,nth=two", '--fault drop,nth=two: nth "two" does not fit; give a whole number, 1 or more'),
        ("drop,kind=cut", "--fault drop,kind=cut: kind is there twice; give it once"),
        ("", '--fault : kind "" is not known; give one of refuse'),
        ("cut,reset=no", '--fault cut,reset=no: reset "no" does not fit; give true or false'),
    ],
)
def test_a_short_form_that_is_not_understood_is_shown_as_it_was_given(text: str, says: str) -> None:
    with pytest.raises(FaultError) as refused:
        Fault.parse(text)

    assert str(refused.value)[: len(says)] == says


def test_a_fault_made_in_python_is_checked_as_well() -> None:
    with pytest.raises(FaultError, match="the fault drop: delay_s is no member of drop; give upstream, "):
        Fault(FaultKind.DROP, delay_s=1)
    with pytest.raises(FaultError, match="the fault delay: delay_s is missing"):
        Fault(FaultKind.DELAY)


@pytest.mark.parametrize("shape", ["[{0}]", '{{"faults": [{0}]}}'])
def test_a_file_holds_a_list_or_what_the_control_api_answers(shape: str) -> None:
    text = shape.format(json.dumps(DROP.to_object()))

    assert read_faults(text, "faults.json") == (DROP,)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[", "faults.json: is no JSON (Expecting value: line 1 column 2 (char 1)); give a list of faults"),
        ('{"kind": "drop"}', 'faults.json: holds no list; give a list of faults, or {"faults": [...]}'),
        ("[" * 100_000, "faults.json: is no JSON ("),
        (b"[\xff]", "faults.json: is no JSON ("),
        ('[{"kind": "cut"}, {"kind": "drop", "nht": 1}]', "faults.json[1]: nht is no member of drop; give "),
    ],
)
def test_a_file_that_is_not_understood_says_where(text: str | bytes, says: str) -> None:
    with pytest.raises(FaultError) as refused:
        read_faults(text, "faults.json")

    assert str(refused.value)[: len(says)] == says
