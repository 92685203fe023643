"""Reading a client that keeps to the recording is a shortcut, and must not be seen in what comes out."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from replay_builders import TINY, TinyConversation, a_script

from wiretape_protocols import Conversation, Opcode, Request
from wiretape_replay.reading import ClientReader
from wiretape_replay.script import Script

RECORDED = (
    "> call 7 price",
    "> sub 8 deals 8",
    "> beat -",
    '> call "x" time',
    "> note - 9",
    "> call 12 depth 12 3",
)


class CountingConversation(TinyConversation):
    """Its meaning depends on how many client messages went before, and it counts them."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[bytes] = []

    def client(self, payload: bytes, opcode: Opcode, seq: int) -> Request:
        self.heard.append(payload)
        request = super().client(payload, opcode, seq)
        key = f"{request.key} after {len(self.heard)}"
        return Request(request.role, request.method, key, request.id_text, request.effects)


class CountingProtocol(type(TINY)):  # type: ignore[misc]
    """Keeps the conversations it starts."""

    def __init__(self) -> None:
        self.started: list[CountingConversation] = []

    def conversation(self, *, correlate: bool = True) -> Conversation:
        self.started.append(CountingConversation())
        return self.started[-1]


def unredacted(payload: bytes, _: Opcode) -> bytes:
    return payload


def scripted() -> tuple[Script, CountingProtocol]:
    from replay_builders import a_session, messages

    from wiretape_replay import compile_script

    protocol = CountingProtocol()
    script = compile_script(a_session(), messages(RECORDED), protocol)
    protocol.started.clear()
    return script, protocol


WORDS = st.sampled_from([line[2:] for line in RECORDED])
VARIANTS = st.one_of(
    WORDS,
    WORDS.map(lambda text: text.replace("7", "41").replace("8", "42", 1).replace("12", "0", 1)),
    st.text(alphabet='calsub 0127-x"', max_size=12),
)


@given(st.lists(VARIANTS, max_size=8), st.integers(0, len(RECORDED)))
def test_the_shortcut_gives_what_parsing_everything_gives(said: list[str], kept: int) -> None:
    script, protocol = scripted()
    reader, parsed = ClientReader(script, protocol, unredacted), CountingConversation()
    for number, text in enumerate([line[2:] for line in RECORDED[:kept]] + said):
        payload = text.encode()
        request, read, id_text = reader.read(payload, Opcode.TEXT)
        expected = parsed.client(payload, Opcode.TEXT, number)
        assert (replace(request, id_text=id_text), read) == (expected, payload)


@pytest.mark.parametrize(
    ("said", "parsed"),
    [
        pytest.param(["call 7 price", "sub 8 deals 8"], 0, id="as recorded"),
        pytest.param(["call 1700000000000000000 price", "sub 0 deals 8"], 0, id="under other ids"),
        pytest.param(["call 7 price", "sub 8 deals 9"], 1, id="another parameter"),
        pytest.param(["call 7 price", "sub 08 deals 8"], 1, id="an id that is no JSON number"),
        pytest.param(['call "7" price'], 1, id="an id of another type"),
        pytest.param([line[2:] for line in RECORDED] + ["beat -"], 1, id="longer than the recording"),
    ],
)
def test_only_a_client_that_left_the_recording_is_parsed(said: list[str], parsed: int) -> None:
    script, protocol = scripted()
    reader = ClientReader(script, protocol, unredacted)
    for text in said:
        reader.read(text.encode(), Opcode.TEXT)
    assert len(protocol.started) == parsed
    assert [conversation.heard[-1] for conversation in protocol.started] == [said[-1].encode()] * parsed


def test_secrets_are_replaced_before_anything_is_compared() -> None:
    script = a_script("> call 1 wt-token", "> call 2 wt-token")
    reader = ClientReader(script, TINY, lambda payload, _: payload.replace(b"hunter2", b"wt-token"))
    _, payload, id_text = reader.read(b"call 5 hunter2", Opcode.TEXT)
    assert (id_text, payload) == (b"5", b"call 5 wt-token")
    request, payload, _ = reader.read(b"call 5 and hunter2", Opcode.TEXT)
    assert (request.key, payload) == ("call and wt-token", b"call 5 and wt-token")
