"""What the journal and the verdict tell, word for word."""

import json

import pytest
from replay_builders import Stage, a_script, a_session

from wiretape_replay import Entry, EntryKind, Findings, Journal, Verdict
from wiretape_store.records import End, EndKind

RECORDED = (
    "< push hi",
    "> call 1 price BTC",
    "< answer 1 10",
    "< push a",
    "< push b",
    "> order 2 buy",
    "< answer 2 ok",
)


def test_a_run_is_told_in_order_and_pushes_by_the_run() -> None:
    stage = Stage(a_script(*RECORDED, session=a_session(end=End(EndKind.EOF, from_client=False))))
    stage.open()
    stage.say("call 1 price ETH", "call 1 price BTC", "call 3 price BTC", "order 2 buy", "order 2 buy")
    told = [
        {
            name: value
            for name, value in json.loads(entry.to_json()).items()
            if name not in ("session", "at_us")
        }
        for entry in stage.journal.entries
    ]
    assert told == [
        {"kind": "opened", "detail": "connection 1"},
        {"kind": "pushed", "seq": 0, "last_seq": 0, "pushes": 1},
        {
            "kind": "missed",
            "seq": 1,
            "method": "call price",
            "detail": "nearest is message 1: recorded call price BTC, sent call price ETH",
            "payload": "call 1 price ETH",
        },
        {"kind": "matched", "seq": 1, "method": "call price", "payload": "call 1 price BTC"},
        {"kind": "pushed", "seq": 2, "last_seq": 4, "pushes": 2},
        {"kind": "repeated", "seq": 1, "method": "call price", "payload": "call 3 price BTC"},
        {"kind": "matched", "seq": 5, "method": "order buy", "payload": "order 2 buy"},
        {"kind": "ended", "detail": "the upstream ended TCP, as recorded"},
    ]


@pytest.mark.parametrize(
    ("recorded", "said", "why"),
    [
        pytest.param(
            ("> order 1 buy",),
            ("order 1 buy", "order 2 buy"),
            "nearest is message 0: used up: it was recorded once",
            id="used up",
        ),
        pytest.param(
            ("> order 1 buy", "> order 2 buy"),
            ("order 1 buy", "order 2 buy", "order 3 buy"),
            "nearest is message 1: used up: it was recorded 2 times",
            id="used up twice",
        ),
        pytest.param(
            ("> call 1 price BTC spot", "> call 2 price ETH spot"),
            ("call 1 price ETH margin",),
            "nearest is message 1: recorded call price ETH spot, sent call price ETH margin",
            id="different in a parameter",
        ),
        pytest.param(
            ("> beat 1", "> call 2 price BTC"),
            ("call 1 depth",),
            "nearest is message 1: the method: recorded call price, sent call depth",
            id="different in the method",
        ),
        pytest.param((), ("call 1 x",), "nothing is left in the recording to answer it", id="nothing left"),
    ],
)
def test_a_miss_names_the_nearest_message_and_what_differs(
    recorded: tuple[str, ...], said: tuple[str, ...], why: str
) -> None:
    stage = Stage(a_script(*recorded))
    stage.open()
    stage.say(*said)
    assert stage.journal.entries[-1].detail == why
    assert stage.session.verdict().misses.named == [f"s1: {said[-1]} ({why})"]


def test_a_verdict_has_a_line_for_each_finding() -> None:
    stage = Stage(a_script("> range 1 10 20", "< answer 1 x", "> call 2 a", "> beat 3", "< push p"))
    stage.open()
    stage.say("range 5 20 30", "sub 6 none")
    stage.wait(60_000_000)
    verdict = stage.session.verdict()
    assert not verdict.ok
    assert verdict.lines() == [
        "missed: s1: sub 6 none (nearest is message 2: the method: recorded call a, sent sub none)",
        "unused: s1 message 2: call 2 a",
        "stalled: s1 message 4 waits for message 2: call 2 a",
        "relaxed: s1 message 0 matched without start and end: range 5 20 30",
    ]


@pytest.mark.parametrize("kind", ["misses", "unused", "stalls", "relaxed"])
def test_any_finding_spoils_the_verdict(kind: str) -> None:
    assert Verdict().ok
    assert not Verdict(**{kind: Findings(1, ["x"])}).ok


def test_findings_beyond_a_hundred_are_counted_only() -> None:
    verdict = Verdict()
    for number in range(250):
        verdict.misses.add(str(number))
    lines = verdict.lines()
    assert (len(lines), lines[-2:]) == (101, ["missed: 99", "missed: and 150 more"])


def test_a_journal_writes_everything_and_keeps_the_last() -> None:
    written: list[str] = []
    journal = Journal(written.append, kept=2)
    for seq in range(3):
        journal.add(Entry(EntryKind.MATCHED, "s1", seq, seq=seq))
    assert [entry.seq for entry in journal.entries] == [1, 2]
    assert written[0] == '{"kind": "matched", "session": "s1", "at_us": 0, "seq": 0}\n'
    assert len(written) == 3


def test_a_long_payload_is_shown_by_its_beginning() -> None:
    stage = Stage(a_script("> call 1 " + "x" * 500))
    stage.open()
    stage.say("call 1 " + "x" * 500)
    payload = stage.journal.entries[-1].payload
    assert (len(payload), payload[-2:]) == (161, "x…")
