import re
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from query_builders import a_conversation
from store_builders import PUSH, START_US, a_message, a_store, a_writer, begin, packed, query, read

from wiretape_store import UnknownRecordingError
from wiretape_store.queries.grep import Moment, Search, StoreSearcher
from wiretape_store.queries.json_pointer import Pointer
from wiretape_store.queries.payload_matching import text_matcher, value_matcher


def found(url: Path | str, wanted: Search, what: str | None = None) -> list[str]:
    """The messages that a search finds, as `s1/34`."""
    with StoreSearcher(str(url)) as searcher:
        return [f"{session.id}/{seq}" for session, seqs in searcher.search(wanted, what) for seq in seqs]


def text(pattern: str) -> Search:
    return Search(matcher=text_matcher(pattern))


@pytest.fixture
def searched(store: str) -> str:
    """The URL of a store with a conversation, in each kind of database."""
    a_conversation(store)
    return store


@pytest.mark.parametrize(
    ("wanted", "messages"),
    [
        pytest.param(text("BTCUSDT"), ["s1/0", "s1/2"], id="text"),
        pytest.param(text("^pong$"), ["s1/5"], id="anchors-are-the-messages"),
        pytest.param(text("\\xff\\x00 by"), ["s1/40"], id="no-text-after-a-gap"),
        pytest.param(text("€URO"), [f"s1/{seq}" for seq in range(6, 14)], id="in-every-packing"),
        pytest.param(Search(upstream="ontology"), ["s2/0"], id="upstream"),
        pytest.param(Search(upstream="nobody"), [], id="no-such-upstream"),
        pytest.param(Search(method="*.auth"), ["s1/2"], id="method"),
        pytest.param(Search(method="nosuch"), [], id="no-such-method"),
        pytest.param(Search(method="*", from_client=True), ["s1/0", "s1/2", "s1/4", "s2/0"], id="client"),
        pytest.param(
            Search(stream="pri*", until=Moment(2_000_001, since_start=True)), ["s1/6", "s1/7"], id="stream"
        ),
        pytest.param(
            Search(since=Moment(START_US + 9_000_000), until=Moment(START_US + 10_000_000)),
            ["s1/14"],
            id="time",
        ),
        pytest.param(
            Search(since=Moment(10_000, since_start=True), until=Moment(30_000, since_start=True)), ["s1/2"], id="offset"
        ),
        pytest.param(
            Search(from_client=False, matcher=value_matcher(Pointer("/id"), "1")), ["s1/1", "s1/3"], id="value"
        ),
        pytest.param(Search(method="price.query", matcher=text_matcher("result")), ["s1/1", "s1/3"], id="both"),
    ],
)  # fmt: skip
def test_a_search_finds(wanted: Search, messages: list[str], searched: str) -> None:
    assert found(searched, wanted) == messages


@pytest.mark.parametrize("settled", [True, False], ids=["settled", "hot"])
def test_hot_chunks_are_decoded_before_they_are_searched(settled: bool, tmp_path: Path) -> None:
    a_conversation(tmp_path / "t.db", settled=settled)

    assert found(tmp_path / "t.db", text("URO.*12345678901234567890")) == [
        f"s1/{seq}" for seq in range(6, 14)
    ]


def test_a_search_keeps_to_what_it_is_told(searched: str) -> None:
    assert found(searched, text("."), "s2") == ["s2/0"]
    assert len(found(searched, text("."), "tuesday")) == 18
    with pytest.raises(UnknownRecordingError):
        found(searched, text("."), "nosuch")


def test_what_a_token_replaced_is_not_found(tmp_path: Path) -> None:
    with a_writer(tmp_path / "t.db") as writer:
        session = begin(writer)
        writer.add(session, a_message(0, b'["secret"]', redacted=b'["wt-token"]'))

    assert found(tmp_path / "t.db", text("secret")) == []
    assert found(tmp_path / "t.db", text("wt-token")) == ["s1/0"]


def test_messages_are_read_where_they_were_found(searched: str) -> None:
    everything = read(searched)

    with StoreSearcher(searched) as searcher:
        session = searcher.session("s1")
        few = list(searcher.messages_at(session, [0, 3, 14, 39, 40, 99]))
        many = list(searcher.messages_at(session, range(50)))

    assert few == [message for message in everything if message.seq in {0, 3, 14, 40}]
    assert many == everything


def test_a_session_of_many_chunks_is_searched_through(tmp_path: Path) -> None:
    count = 70 * 256
    a_store(tmp_path / "t.db", [b'{"n": %d}' % n for n in range(count)])

    assert len(found(tmp_path / "t.db", text("n"))) == count
    assert found(tmp_path / "t.db", text(f"{count - 1}")) == [f"s1/{count - 1}"]
    late = Search(since=Moment((count - 2) * 10, since_start=True), matcher=text_matcher("19}"))
    assert found(tmp_path / "t.db", late) == [f"s1/{count - 1}"]


def test_a_search_goes_on_where_chunks_are_put_together_behind_it(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    writer = a_writer(path)
    session = begin(writer)
    for seq in range(100):
        writer.add(session, a_message(seq, b'{"n": %d}' % seq))
        writer.commit()

    with StoreSearcher(str(path)) as searcher:
        parts = searcher.search(text("n"))
        first = next(parts)[1]
        writer.close()
        rest = [seq for _, seqs in parts for seq in seqs]

    assert 0 < len(first) < 100
    assert first + rest == list(range(100))
    assert query(path, "select count(*) from chunk") == [(1,)]


@pytest.mark.parametrize(
    "damage", ["x'00'", "(select data from chunk where session_id = 2)"], ids=["bytes", "count"]
)
def test_damage_is_noted_and_the_rest_is_searched(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    a_conversation(path)
    query(path, f"update chunk set data = {damage} where session_id = 1 and first_seq = 0")

    with StoreSearcher(str(path)) as searcher:
        seqs = [(session.id, seqs) for session, seqs in searcher.search(text(".")) if seqs]
        damage_texts = [str(each) for each in searcher.damage]

    assert seqs == [("s1", [40]), ("s2", [0])]
    assert len(damage_texts) == 1
    assert "session s1 at message 0 is damaged" in damage_texts[0]


PAYLOADS = st.sampled_from(
    [b'{"a": "x"}', b'{"a": "y"}', b"x", b"", "é".encode(), b"\xffx", b'{"a": "\\u0078"}']
)


@settings(max_examples=25)
@given(
    st.lists(st.tuples(PAYLOADS, st.integers(0, 9), st.integers(1, 2), st.booleans()), max_size=60),
    st.sampled_from(["x", "^x", "é", "\\w$", "", "[^x]"]),
    st.sampled_from([None, True, False]),
    st.integers(0, 600),
)
def test_a_search_finds_what_looking_at_every_message_finds(
    sent: list[tuple[bytes, int, int, bool]], pattern: str, from_client: bool | None, since_us: int
) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "t.db"
        seq = 0
        with a_writer(path) as writer:
            session = begin(writer)
            for payload, packing, step, is_request in sent:
                wire = list(packed(payload).values())[packing]
                writer.add(session, a_message(seq, wire, from_client=is_request))
                seq += step
                if packing == 3:
                    writer.commit()
        wanted = Search(
            matcher=text_matcher(pattern), from_client=from_client, since=Moment(since_us, since_start=True)
        )

        expected = [
            f"s1/{message.seq}"
            for message in read(path)
            if from_client in {None, message.from_client} and message.at_us >= since_us and _has(pattern, message.payload)
        ]  # fmt: skip
        assert found(path, wanted) == expected


def _has(pattern: str, payload: bytes) -> bool:
    try:
        return re.search(pattern, payload.decode()) is not None
    except UnicodeDecodeError:
        return re.search(pattern.encode(), payload) is not None


def test_a_search_for_nothing_in_particular_reads_no_payload(tmp_path: Path) -> None:
    a_store(tmp_path / "t.db", [PUSH] * 3)
    query(tmp_path / "t.db", "update chunk set data = x'00'")

    assert found(tmp_path / "t.db", Search(method="price.*")) == ["s1/0", "s1/1", "s1/2"]
