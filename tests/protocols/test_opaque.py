"""The adapter that reads nothing."""

from hypothesis import given
from hypothesis import strategies as st

from wiretape_protocols.adapter import Reply, Role
from wiretape_protocols.messages import Opcode
from wiretape_protocols.opaque import OpaqueProtocol

OPAQUE = OpaqueProtocol()


@given(st.binary(), st.binary())
def test_messages_match_exactly_where_their_bytes_are_equal(one: bytes, other: bytes) -> None:
    conversation = OPAQUE.conversation()
    keys = [conversation.client(payload, Opcode.BINARY, seq).key for seq, payload in enumerate((one, other))]
    assert (keys[0] == keys[1]) is (one == other)


def test_what_nobody_reads_may_change_the_world() -> None:
    request = OPAQUE.conversation().client(b"get", Opcode.TEXT, 0)
    assert (request.role, request.method, request.id_text, request.effects) == (Role.OPAQUE, "", None, True)
    assert (OPAQUE.refusal(request), OPAQUE.background_answer(request)) == (None, None)


@given(st.binary())
def test_everything_of_the_upstream_is_a_push_without_a_stream_and_stays_as_it_is(payload: bytes) -> None:
    assert OPAQUE.conversation().upstream(payload, Opcode.BINARY) == Reply(Role.PUSH, "")
    assert OPAQUE.with_id(payload, b"1") == payload
    assert OPAQUE.secrets(payload, from_client=True) == []
