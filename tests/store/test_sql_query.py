import os
import signal
import sqlite3
import threading
from pathlib import Path

import pytest
from query_builders import a_conversation, ask
from store_builders import PUSH, a_store, a_writer, begin, query

from wiretape_store import End, EndKind, MissingStoreError, StoreError, StoreReader
from wiretape_store.queries.docs import END, START, query_markdown
from wiretape_store.queries.errors import QueryError
from wiretape_store.queries.query import open_query
from wiretape_store.queries.views import POSTGRESQL, SQLITE, views

PAGE = Path(__file__).parents[2] / "docs" / "querying.md"


@pytest.fixture
def asked(store: str) -> str:
    """The URL of a store with a conversation, in each kind of database."""
    a_conversation(store)
    return store


def test_sessions_read_as_the_reader_reads_them(asked: str) -> None:
    columns = (
        "id, recording, upstream, protocol, url, number, target, status, started_at, ended_at, seconds, "
        "messages_from_client, messages_from_upstream, exchanges, pushes, end_kind, end_from_client, end_code, "
        "end_reason, session_id"
    )
    rows = ask(asked, f"select {columns} from sessions order by session_id")

    with StoreReader(asked) as reader:
        ends = [session.end.kind.value for session in reader.sessions()]
    url = "wss://ws.hotbit.example"
    start, stop = "2020-09-13T12:26:40.000000Z", "2020-09-13T12:27:41.000000Z"
    assert rows[0] == (
        "s1", "tuesday", "hotbit", "hotbit", url, 0, "/v2?x=1", 101, start, stop, 61.0, 3, 14, 2, 11,
        "closed", 1, 1000, "bye", 1,
    )  # fmt: skip
    assert (rows[1][0], rows[1][2], rows[1][15]) == ("s2", "ontology", ends[1])


def test_a_session_whose_recorder_died_is_interrupted(tmp_path: Path) -> None:
    a_conversation(tmp_path / "t.db")

    assert ask(tmp_path / "t.db", "select end_kind, ended_at, seconds from sessions where id = 's2'") == [
        ("interrupted", "2020-09-13T12:26:45.007000Z", 0.007)
    ]


def test_what_is_being_pruned_is_in_no_view(asked: str) -> None:
    query(asked, "update recording set pinned = -1")

    counts = {view.name: ask(asked, f"select count(*) from {view.name}") for view in views(SQLITE)}
    assert counts == {name: [(0,)] for name in ("sessions", "messages", "calls", "pushes")}


def test_a_session_that_is_recorded_is_open(store: str) -> None:
    with a_writer(store) as writer:
        begin(writer)

        assert ask(store, "select end_kind, ended_at, seconds from sessions") == [("open", None, None)]


def test_messages_have_words_for_what_the_tables_number(asked: str) -> None:
    columns = "message, session, upstream, seq, at, at_us, from_client, opcode, role, method, answers, stream"

    rows = ask(asked, f"select {columns} from messages where session_id = 1 and seq in (1, 7) order by seq")

    assert rows == [
        (
            "s1/1", "s1", "hotbit", 1, "2020-09-13T12:26:40.002500Z", 2500, 0, "text", "answer", "price.query",
            0, None,
        ),
        (
            "s1/7", "s1", "hotbit", 7, "2020-09-13T12:26:42.000000Z", 2_000_000, 0, "binary", "push",
            "price.update", None, "price",
        ),
    ]  # fmt: skip


def test_calls_have_their_first_answer_and_how_long_it_took(asked: str) -> None:
    rows = ask(asked, "select message, role, method, answered, answer, took_ms from calls order by message")

    assert rows == [
        ("s1/0", "call", "price.query", 1, "s1/1", 2.5),
        ("s1/2", "auth", "server.auth", 0, None, None),
        ("s2/0", "call", "getblockheight", 0, None, None),
    ]


def test_pushes_are_those_of_the_streams_and_all_others(asked: str) -> None:
    rows = ask(asked, "select stream, count(*), max(seq) from pushes group by stream order by stream is null")

    assert rows == [("price", 10, 15), (None, 1, 40)]


@pytest.mark.parametrize(
    "statement",
    [
        "delete from message",
        "insert into name (text) values ('x')",
        "update session set target = '/'",
        "create table mine (a int)",
        "create temporary table mine (a int)",
        "drop view calls",
        "begin",
        "commit",
        "vacuum",
        "reindex",
        "with gone as (select 1) delete from message",
        "explain analyze delete from message",
        "select 1; delete from message",
    ],
)
def test_no_statement_changes_the_store(statement: str, asked: str) -> None:
    with pytest.raises(QueryError) as caught:
        ask(asked, statement)
    with open_query(asked) as running:
        assert list(running.run("select count(*) from messages").rows) == [(18,)]

    assert "\n" not in str(caught.value)
    assert caught.value.usage


@pytest.mark.parametrize(
    "statement",
    [
        "attach '{folder}/other.db' as other",
        "vacuum into '{folder}/other.db'",
        "pragma query_only = off",
        "pragma journal_mode = delete",
        "pragma user_version = 7",
        "pragma writable_schema = on",
        "update sqlite_master set name = 'x'",
        "select load_extension('{folder}/other.so')",
        "select writefile('{folder}/other.txt', 'x')",
        "detach main",
        "analyze",
        "create trigger temp.t after insert on message begin select 1; end",
    ],
)
def test_no_statement_leaves_the_store(statement: str, tmp_path: Path) -> None:
    a_store(tmp_path / "t.db", [PUSH])
    before = (tmp_path / "t.db").read_bytes()

    with pytest.raises(QueryError):
        ask(tmp_path / "t.db", statement.format(folder=tmp_path))

    assert (tmp_path / "t.db").read_bytes() == before
    assert not [path for path in tmp_path.iterdir() if "other" in path.name]


@pytest.mark.parametrize(
    "statement",
    [
        "copy (select 1) to '/tmp/wiretape-other'",
        "copy message to program 'cat'",
        "do $$ begin perform 1; end $$",
        "set transaction read write",
        "/* select */ truncate message",
        "select set_config('transaction_read_only', 'off', false)",
        "select nextval('session_id_seq')",
        "select query_to_xml('delete from message', true, true, '')",
    ],
)
def test_no_statement_gets_around_postgresqls_transaction(statement: str, postgres_url: str) -> None:
    a_store(postgres_url, [PUSH])

    with pytest.raises((QueryError, StoreError)):
        ask(postgres_url, statement)

    assert query(postgres_url, "select count(*) from message") == [(1,)]
    assert not Path("/tmp/wiretape-other").exists()


def test_the_key_of_the_tokens_is_not_shown(tmp_path: Path) -> None:
    a_store(tmp_path / "t.db", [PUSH])

    assert ask(tmp_path / "t.db", "select value from meta where key = 'redaction_key'") == [(None,)]


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        pytest.param("selec 1", "syntax error", id="syntax"),
        pytest.param("select colour from calls", "colour", id="column"),
        pytest.param("select * from exchanges", "exchanges", id="table"),
        pytest.param("", "there is no statement", id="nothing"),
        pytest.param("-- nothing", "there is no statement", id="comment"),
        pytest.param("select 1; select 2", "one statement|multiple commands", id="two"),
        pytest.param("select substr('a', 1, 2, 3, 4)", "substr", id="arguments"),
    ],
)
def test_a_mistake_gets_one_sentence(statement: str, words: str, asked: str) -> None:
    with pytest.raises(QueryError, match=words) as caught:
        ask(asked, statement)

    assert str(caught.value).startswith("query: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("statement", ["select ?", "select :a", "select '\0'", "select '\ud800'"])
def test_what_the_driver_refuses_gets_one_sentence_too(statement: str, asked: str) -> None:
    with pytest.raises(QueryError) as caught:
        ask(asked, statement)

    assert "\n" not in str(caught.value)


def test_harmless_pragmas_and_table_valued_functions_work(tmp_path: Path) -> None:
    a_conversation(tmp_path / "t.db")

    names = ask(tmp_path / "t.db", "select name from pragma_table_info('calls')")
    listed = ask(tmp_path / "t.db", "select value from json_each(payload('s1/0'), '$.params')")

    assert ("took_ms",) in names
    assert ask(tmp_path / "t.db", "pragma user_version") != []
    assert listed == [("BTCUSDT",)]


def test_a_statement_on_postgresql_may_have_a_percent_sign_and_values_of_any_type(postgres_url: str) -> None:
    a_conversation(postgres_url)
    statement = (
        "select count(*), sum(12345678901234567890123), true, null, 0.5::numeric, '{\"a\": [1]}'::jsonb, "
        "'x'::bytea, date '2020-01-01' from calls where method like 'price%'"
    )

    (row,) = ask(postgres_url, statement)

    assert row == (1, "12345678901234567890123", 1, None, 0.5, '{"a": [1]}', b"x", "2020-01-01")


@pytest.mark.parametrize("call", ["payload(message)", "json(message, '/id')"])
def test_the_functions_that_postgresql_cannot_have_say_where_they_are(call: str, postgres_url: str) -> None:
    a_conversation(postgres_url)

    with pytest.raises(QueryError, match=r"need a store in SQLite.*wiretape copy"):
        ask(postgres_url, f"select {call} from messages")


def test_a_query_without_rows_has_columns(asked: str) -> None:
    with open_query(asked) as running:
        result = running.run("select message, took_ms from calls where seq > 99")

        assert (result.columns, list(result.rows)) == (("message", "took_ms"), [])


def test_rows_come_while_they_are_found(tmp_path: Path) -> None:
    a_store(tmp_path / "t.db", [PUSH])
    endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select i from n"

    with open_query(str(tmp_path / "t.db")) as running:
        rows = running.run(endless).rows
        assert [next(rows) for _ in range(1000)][-1] == (1000,)


def test_a_recorder_goes_on_while_a_query_is_read(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    a_store(path, [PUSH] * 600)

    with open_query(str(path)) as running:
        rows = running.run("select seq from messages").rows
        next(rows)
        with a_writer(path) as writer:
            session = begin(writer, "wednesday")
            writer.end_session(session, 0, End(EndKind.EOF))
        seen = 1 + sum(1 for _ in rows)

    assert seen == 600
    assert ask(path, "select count(*) from sessions") == [(2,)]


def test_ctrl_c_ends_a_query_that_finds_nothing(tmp_path: Path) -> None:
    a_store(tmp_path / "t.db", [PUSH])
    endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select i from n where i < 0"

    # A shell has the jobs in its background ignore this signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            ask(tmp_path / "t.db", endless)
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_text_that_is_none_comes_as_bytes(tmp_path: Path) -> None:
    a_store(tmp_path / "t.db", [PUSH])

    assert ask(tmp_path / "t.db", "select cast(x'ff41' as text), 'a'") == [(b"\xffA", "a")]


def test_a_missing_store_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingStoreError):
        open_query(str(tmp_path / "none.db"))


def test_a_file_that_is_damaged_in_the_middle_is_the_stores_error(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    a_store(path, [os.urandom(2000) for _ in range(50)])
    (page,) = query(path, "select rootpage from sqlite_master where name = 'message'")[0]
    with path.open("r+b") as file:
        file.seek((page - 1) * 8192)
        file.write(b"\xff" * 8192)

    with pytest.raises(StoreError, match=r"damaged|malformed"):
        ask(path, "select max(at_us) from message")


def test_each_column_of_each_view_is_documented() -> None:
    assert all(column.meaning.endswith(".") for view in views(SQLITE) for column in view.columns)
    assert [[c.name for c in v.columns] for v in views(SQLITE)] == [
        [c.name for c in v.columns] for v in views(POSTGRESQL)
    ]


def test_the_page_shows_the_views_as_they_are() -> None:
    page = PAGE.read_text(encoding="utf-8")

    assert page.partition(START)[2].partition(END)[0] == query_markdown()


def test_the_views_are_in_no_file(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    a_conversation(path)
    ask(path, "select * from calls")

    with sqlite3.connect(path) as connection:
        assert connection.execute("select name from sqlite_master where type = 'view'").fetchall() == []
    connection.close()


@pytest.mark.parametrize(
    ("statement", "has_views"),
    [
        ("select * from exchanges", True),
        ("selec 1", True),
        ("select json_extract('x', '$')", False),
        ("select abs(-9223372036854775808)", False),
    ],
)
def test_the_views_are_named_to_whom_they_may_help(statement: str, has_views: bool, tmp_path: Path) -> None:
    a_conversation(tmp_path / "t.db")

    with pytest.raises(QueryError) as caught:
        ask(tmp_path / "t.db", statement)

    assert ("there are the views" in str(caught.value)) is has_views
