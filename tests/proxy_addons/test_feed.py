"""The records between the proxy's process and the writer's."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from wiretape_addons.feed import (
    Ending,
    Kind,
    Opening,
    Record,
    RecordReader,
    ending,
    header,
    json_body,
    opening,
)

records = st.lists(
    st.builds(
        Record,
        st.sampled_from(Kind),
        st.integers(0, 2**32 - 1),
        st.booleans(),
        st.integers(0, 15),
        st.integers(-(2**62), 2**62),
        st.binary(max_size=200),
    ),
    max_size=10,
)


@given(records=records, cuts=st.lists(st.integers(0, 5000), max_size=10))
def test_records_come_out_as_they_went_in_however_the_stream_is_cut(
    records: list[Record], cuts: list[int]
) -> None:
    stream = b"".join(
        header(
            record.kind,
            record.key,
            from_client=record.from_client,
            opcode=record.opcode,
            at_us=record.at_us,
            length=len(record.body),
        )
        + record.body
        for record in records
    )
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    reader = RecordReader()

    came = [record for start, stop in pairwise(edges) for record in reader.feed(stream[start:stop])]

    assert came == records


def test_a_handshake_survives_the_way_between_the_processes() -> None:
    handshake = Opening(
        1, 1_700_000_000_000_000, "/ws?x=é", [("Host", "a"), ("host", "b")], 101, [("X", "ÿ")], "00ff", None
    )

    assert opening(json_body(handshake)) == handshake
    assert ending(json_body(Ending(True, 4001, "bye"))) == Ending(True, 4001, "bye")
