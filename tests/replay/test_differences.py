"""Where two messages differ, for people who look for the cause of a miss."""

import pytest

from wiretape_protocols import Opcode, protocol_named
from wiretape_replay import Difference
from wiretape_replay.differences import differences


def found(recorded: str, sent: str, protocol: str = "hotbit") -> list[tuple[str, str | None, str | None]]:
    def read(text: str) -> tuple[object, bytes]:
        conversation = protocol_named(protocol).conversation(correlate=False)
        return conversation.client(text.encode(), Opcode.TEXT, 0), text.encode()

    return [tuple(each) for each in differences(*read(recorded), *read(sent))]  # type: ignore[arg-type, misc]


@pytest.mark.parametrize(
    ("recorded", "sent", "differs"),
    [
        pytest.param('{"method":"m","params":["A"],"id":1}', '{"id":2, "params":["A"], "method":"m"}', [], id="only ids"),
        pytest.param(
            '{"method":"m","params":["A",60],"id":1}', '{"method":"m","params":["B",60.0],"id":1}',
            [("/params/0", '"A"', '"B"'), ("/params/1", "60", "60.0")], id="values",
        ),
        pytest.param(
            '{"method":"m","params":["A"],"id":1}', '{"method":"m","params":["A",5],"id":1}',
            [("/params/1", None, "5")], id="one more",
        ),
        pytest.param(
            '{"method":"m","params":{"a/b":1,"c":2},"id":1}', '{"method":"m","params":{"a/b":3},"id":1}',
            [("/params/a~1b", "1", "3"), ("/params/c", "2", None)], id="members",
        ),
        pytest.param(
            '{"method":"m","params":[1],"id":1}', '{"method":"m","params":[2],"id":2}',
            [("/params/0", "1", "2")], id="a parameter that looks like the id",
        ),
        pytest.param('{"method":"m"}', "not JSON", [("", '{"method":"m"}', "not JSON")], id="no JSON"),
        pytest.param(
            '{"method":"m","params":["' + "x" * 100 + '"],"id":1}', '{"method":"m","params":[7],"id":1}',
            [("/params/0", '"' + "x" * 78 + "…", "7")], id="a long value is cut",
        ),
    ],
)  # fmt: skip
def test_members_are_named_and_ids_left_out(
    recorded: str, sent: str, differs: list[tuple[str, str | None, str | None]]
) -> None:
    assert found(recorded, sent) == differs


def test_only_the_first_differences_are_named() -> None:
    many = [f'{{"method":"m","params":[{",".join([digit] * 50)}],"id":1}}' for digit in "12"]
    assert found(*many)[-1] == ("/params/7", "1", "2")
    assert len(found(*many)) == 8


def test_a_difference_is_a_value() -> None:
    assert Difference("/a", "1", None)._asdict() == {"pointer": "/a", "recorded": "1", "sent": None}
