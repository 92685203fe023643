"""What only PostgreSQL has: a server that can be away, shared by recorders that do not know each other."""

import gzip
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from postgres_cluster import PASSWORD, Cluster
from sqlalchemy import Connection, make_url
from store_builders import (
    DEAD,
    HANDSHAKE,
    HOTBIT,
    PUSH,
    START_US,
    Clock,
    a_message,
    a_store,
    a_writer,
    begin,
    query,
    read,
)

from wiretape_store import (
    End,
    EndKind,
    Event,
    EventKind,
    MissingStoreError,
    Refusal,
    RefusedStoreError,
    StoreError,
    StoreReader,
    StoreWriter,
    shown,
)
from wiretape_store.errors import UncertainCommitError
from wiretape_store.locking import announced
from wiretape_store.postgres.errors import translated
from wiretape_store.schema import SCHEMA_VERSION
from wiretape_store.upkeep.prunable import Prunable, UnprunableError
from wiretape_store.upkeep.pruning import Pruner, PruneRules


def driver_of(writer: StoreWriter) -> "psycopg.Connection":
    driver = writer._database.connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    return driver


def cut(url: str) -> None:
    """End every connection to a database, as a server does that goes away."""
    query(url, "select pg_terminate_backend(pid) from pg_stat_activity"
               " where datname = current_database() and pid != pg_backend_pid()")  # fmt: skip


# Opening.


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda url: url.set(port=1),
            "opening failed: connection failed: .*refused.*; see whether its server runs",
        ),
        (lambda url: url.set(password="hunter3"), "password authentication failed.*; check the user and the"),
        (
            lambda url: url.set(username="stranger"),
            'authentication failed for user "stranger".*; check the user',
        ),
        (
            lambda url: url.set(database="nowhere"),
            'database "nowhere" does not exist; make the database with createdb',
        ),
        (
            lambda url: url.set(drivername="postgresql+asyncpg"),
            r"through psycopg; write postgresql\+psycopg://",
        ),
        (
            lambda url: url.set(host="no.such.host.invalid"),
            "; see whether its server runs and can be reached",
        ),
    ],
    ids=["unreachable", "password", "user", "database", "driver", "host"],
)
@pytest.mark.parametrize("opened", [StoreReader, a_writer], ids=["reading", "writing"])
def test_a_server_that_does_not_let_us_in_is_told_with_the_way_out(
    postgres_url: str, change: Callable[..., object], sentence: str, opened: Callable[[str], object]
) -> None:
    url = change(make_url(postgres_url)).render_as_string(hide_password=False)  # type: ignore[attr-defined]
    with pytest.raises(StoreError, match=sentence) as caught:
        opened(url)
    assert str(caught.value).startswith(f"store {shown(url)}: ")
    assert "hunter" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_plain_url_of_postgresql_will_do(postgres_url: str) -> None:
    url = postgres_url.replace("+psycopg", "")
    a_store(url, [PUSH])
    assert [message.wire for message in read(url)] == [PUSH]


def test_without_psycopg_the_way_to_it_is_told() -> None:
    script = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from wiretape_store import StoreReader, StoreError\n"
        "try: StoreReader('postgresql://u:hunter2@h/d')\n"
        "except StoreError as error: print(error)"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert said == (
        "store postgresql://u:***@h/d: stores in PostgreSQL need psycopg; pip install 'wiretape[postgres]'\n"
    )


def test_a_database_without_tables_holds_no_store_to_read(postgres_url: str) -> None:
    with pytest.raises(MissingStoreError, match=r"no store at postgresql.*record something first"):
        StoreReader(postgres_url)
    assert query(postgres_url, "select count(*) from pg_tables where schemaname = 'public'") == [(0,)]


@pytest.mark.parametrize("statement", ["create table diary (day int)", "create table meta (key text, value int, x int)",
                                       "create table meta (key text, value text)"])  # fmt: skip
@pytest.mark.parametrize("opened", [StoreReader, a_writer], ids=["reading", "writing"])
def test_a_schema_with_other_tables_is_left_alone(
    postgres_url: str, statement: str, opened: Callable[[str], object]
) -> None:
    query(postgres_url, statement)
    with pytest.raises(RefusedStoreError, match="make a database for the store alone") as caught:
        opened(postgres_url)
    assert caught.value.refusal is Refusal.FOREIGN
    assert query(postgres_url, "select count(*) from pg_tables where schemaname = 'public'") == [(1,)]


@pytest.mark.parametrize(
    ("statement", "refusal", "sentence"),
    [
        (
            "update meta set value = '7' where key = 'schema_version'",
            Refusal.NEWER,
            "open it with a newer wiretape",
        ),
        ("update meta set value = '0' where key = 'schema_version'", Refusal.OLDER, "there is no migration"),
        ("drop table event", Refusal.DAMAGED, "damaged: it has no table event"),
    ],
)
@pytest.mark.parametrize("opened", [StoreReader, a_writer], ids=["reading", "writing"])
def test_a_store_of_another_kind_is_refused(
    postgres_url: str, statement: str, refusal: Refusal, sentence: str, opened: Callable[[str], object]
) -> None:
    a_store(postgres_url, [PUSH])
    query(postgres_url, statement)
    with pytest.raises(RefusedStoreError, match=sentence) as caught:
        opened(postgres_url)
    assert caught.value.refusal is refusal


COLUMNS = """
    select table_name, column_name, ordinal_position, data_type, is_nullable, column_default
    from information_schema.columns where table_schema = 'public' order by 1, 3
"""


@pytest.mark.parametrize("opened", [StoreReader, a_writer], ids=["reading", "writing"])
def test_an_older_store_is_migrated_to_what_a_new_one_is(
    cluster: Cluster, opened: Callable[[str], StoreReader | StoreWriter]
) -> None:
    url, new = cluster.new_database(), cluster.new_database()
    for each in (url, new):
        a_store(each, [PUSH])
    query(url, "alter table recording drop pinned, drop origin, drop redaction_key, drop redaction_rules")
    query(url, "delete from meta where key = 'store_id'")
    query(url, "update meta set value = '1' where key = 'schema_version'")
    opened(url).close()
    # A dropped column keeps its place in PostgreSQL, so that the places differ here and not in life.
    columns = [[(*row[:2], *row[3:]) for row in query(each, COLUMNS)] for each in (url, new)]
    assert columns[0] == columns[1]
    versions = "select convert_from(value, 'utf8') from meta where key = 'schema_version'"
    assert query(url, versions) == [(str(SCHEMA_VERSION),)]
    assert [message.wire for message in read(url)] == [PUSH]


def test_only_what_is_open_or_hot_is_indexed_for_it(postgres_url: str) -> None:
    a_store(postgres_url, [])
    partial = query(
        postgres_url, "select indexdef from pg_indexes where indexdef like '%WHERE%' order by indexname"
    )
    assert [row[0].partition(" WHERE ")[2] for row in partial] == ["(settled = 0)", "(end_kind IS NULL)"]


def test_the_columns_are_explained_in_the_database(postgres_url: str) -> None:
    a_store(postgres_url, [])
    explained = query(postgres_url, "select col_description('session'::regclass, 3)")
    assert explained == [("Counts the upstream's sessions in the recording, from 0.",)]


def test_two_writers_may_make_the_same_store(postgres_url: str) -> None:
    opening = "import sys; from wiretape_store import StoreWriter; StoreWriter(sys.argv[1], clock_us=lambda: 0).close()"
    several = [subprocess.Popen([sys.executable, "-c", opening, postgres_url]) for _ in range(4)]
    assert [process.wait(60) for process in several] == [0] * 4
    assert query(postgres_url, "select count(*) from meta") == [(3,)]


@pytest.mark.parametrize(("setting", "asked"), [("FULL", "on"), ("NORMAL", "off"), ("OFF", "off")])
def test_how_durable_a_commit_is_can_be_chosen(postgres_url: str, setting: str, asked: str) -> None:
    with StoreWriter(postgres_url, clock_us=Clock(), synchronous=setting) as writer:
        assert driver_of(writer).execute("show synchronous_commit").fetchall() == [(asked,)]


def test_a_reader_cannot_write(postgres_url: str) -> None:
    a_store(postgres_url, [PUSH])
    with StoreReader(postgres_url) as reader:
        driver = reader._database.connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            driver.execute("delete from message")


def test_a_reader_sees_one_moment_in_a_transaction(postgres_url: str) -> None:
    with a_writer(postgres_url) as writer:
        session = begin(writer)
        with StoreReader(postgres_url) as reader:
            with reader._database.transaction("looking", writes=False) as connection:
                before = connection.exec_driver_sql("select count(*) from message").scalar_one()
                writer.add(session, a_message(0))
                writer.commit()
                after = connection.exec_driver_sql("select count(*) from message").scalar_one()
            assert (before, after) == (0, 0)
            assert len(list(reader.messages("s1"))) == 1


@pytest.mark.parametrize("asked", ["s2147483648", "s999999999999999999", "s" + "9" * 400])
def test_a_number_that_no_session_can_have_is_unknown(postgres_url: str, asked: str) -> None:
    a_store(postgres_url, [PUSH])
    with StoreReader(postgres_url) as reader, pytest.raises(StoreError, match="no session"):
        reader.session(asked)


def test_a_method_may_have_a_name_of_any_length(postgres_url: str) -> None:
    names = [chr(33 + number) * 20_000 for number in range(3)]
    with a_writer(postgres_url) as writer:
        session = begin(writer)
        for seq in range(6):
            message = a_message(seq)
            message.method = names[seq % 3]
            writer.add(session, message)
    assert [message.method for message in read(postgres_url)] == names * 2


# A server that goes away.


def test_a_server_that_was_away_between_two_commits_is_not_noticed(postgres_url: str) -> None:
    with a_writer(postgres_url) as writer, StoreReader(postgres_url) as reader:
        session = begin(writer)
        for seq in range(3):
            cut(postgres_url)
            writer.add(session, a_message(seq))
            writer.commit()
            cut(postgres_url)
            assert reader.session("s1").messages_from_upstream == seq + 1
    assert len(read(postgres_url)) == 3


def test_a_crash_of_the_server_loses_nothing_and_doubles_nothing(cluster: Cluster) -> None:
    url = cluster.new_database()
    with StoreWriter(url, clock_us=Clock()) as writer:
        session = begin(writer)
        writer.add(session, a_message(0))
        writer.commit()
        cluster.stop("SIGQUIT")
        writer.add(session, a_message(1))
        for _ in range(2):
            with pytest.raises(
                StoreError, match=r"storing messages failed: .*; see whether its server runs"
            ) as caught:
                writer.commit()
            assert PASSWORD not in str(caught.value)
        cluster.start()
        writer.add(session, a_message(2))
        writer.commit()
        assert read(url)[-1].seq == 2
    assert [message.seq for message in read(url)] == [0, 1, 2]


def test_a_connection_that_is_lost_in_the_middle_of_a_commit_stores_nothing(postgres_url: str) -> None:
    with a_writer(postgres_url) as writer:
        session = begin(writer)
        writer.add(session, a_message(0))
        store = writer._store_sessions

        def lose(*arguments: object) -> None:
            cut(postgres_url)
            store(*arguments)  # type: ignore[arg-type]

        writer._store_sessions = lose  # type: ignore[method-assign, assignment]
        with pytest.raises(StoreError, match="see whether its server runs"):
            writer.commit()
        writer._store_sessions = store  # type: ignore[method-assign]
        assert query(postgres_url, "select count(*) from message") == [(0,)]
        writer.commit()
    assert [message.seq for message in read(postgres_url)] == [0]


def lose_commit(writer: StoreWriter, *, is_done: bool) -> None:
    """Have the next commit's outcome stay unknown."""
    connection = writer._database.connection
    commit, driver = connection.commit, driver_of(writer)

    def lost() -> None:
        connection.commit = commit  # type: ignore[method-assign]
        if is_done:
            commit()
        driver.close()
        error = psycopg.OperationalError("server closed the connection unexpectedly")
        raise error

    connection.commit = lost  # type: ignore[method-assign]


@pytest.mark.parametrize("is_done", [True, False])
@pytest.mark.parametrize("discarded", [True, False])
def test_a_commit_of_which_nobody_saw_the_end_is_stored_once(
    postgres_url: str, is_done: bool, discarded: bool
) -> None:
    with a_writer(postgres_url) as writer:
        session = begin(writer)
        other = writer.begin_session(1, START_US, HANDSHAKE)
        writer.add(session, a_message(0))
        writer.add(session, a_message(1))
        writer.add_event(session, Event(1, 11, True, EventKind.PING, b"1"))
        writer.add_event(other, Event(-1, 12, True, EventKind.PING, b"2"))
        lose_commit(writer, is_done=is_done)
        with pytest.raises(UncertainCommitError):
            writer.commit()
        writer.add(session, a_message(2))
        if discarded:
            assert writer.discard() == 1
        writer.add(session, a_message(3))
        writer.commit()
        writer.end_session(session, START_US + 99, End(EndKind.EOF))
        writer.commit()
    kept = [0, 1, 3] if discarded else [0, 1, 2, 3]
    assert [message.seq for message in read(postgres_url)] == kept
    with StoreReader(postgres_url) as reader:
        found = reader.session("s1")
        assert (found.messages_from_upstream, found.pushes) == (len(kept), len(kept))
        assert found.wire_bytes == len(kept) * len(PUSH)
        assert found.end == End(EndKind.EOF)
        kinds = [event.kind for event in reader.events("s1")]
        assert kinds == [EventKind.PING, EventKind.GAP] if discarded else [EventKind.PING]
        assert [event.data for event in reader.events("s2")] == [b"2"]
    assert query(postgres_url, "select sum(count), min(settled) from chunk") == [(len(kept), 1)]


@pytest.mark.parametrize("is_done", [True, False])
def test_a_session_whose_beginning_nobody_saw_is_there_once(postgres_url: str, is_done: bool) -> None:
    with a_writer(postgres_url) as writer:
        upstream = writer.begin_recording("tuesday", [HOTBIT]).upstreams[0].id
        lose_commit(writer, is_done=is_done)
        with pytest.raises(UncertainCommitError):
            writer.begin_session(upstream, START_US, HANDSHAKE)
        session = writer.begin_session(upstream, START_US, HANDSHAKE)
        writer.add(session, a_message(0))
    with StoreReader(postgres_url) as reader:
        assert [(each.id, each.number) for each in reader.sessions()] == [(f"s{session}", 0)]


def test_settling_of_which_nobody_saw_the_end_is_done_once(postgres_url: str) -> None:
    with a_writer(postgres_url) as writer:
        session = begin(writer)
        for seq in range(1500):
            writer.add(session, a_message(seq))
        writer.commit()
        lose_commit(writer, is_done=True)
        assert not writer.settle()
        assert writer.settle()
    assert [message.seq for message in read(postgres_url)] == list(range(1500))
    assert query(postgres_url, "select sum(count), min(settled) from chunk") == [(1500, 1)]


def test_a_lock_that_is_not_given_up_is_told(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wiretape_store.postgres.database.BUSY_TIMEOUT_MS", 50)
    url = cluster.new_database()
    with a_writer(url) as writer:
        session = begin(writer)
        writer.add(session, a_message(0))
        with psycopg.connect(url.replace("+psycopg", "")) as holder:
            holder.execute("lock table message")
            with pytest.raises(StoreError, match="lock timeout; another process holds it"):
                writer.commit()
        writer.commit()
    assert len(read(url)) == 1


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (psycopg.errors.DiskFull, "make room on its server's disk"),
        (psycopg.errors.InsufficientPrivilege, "give this user the rights"),
        (psycopg.errors.TooManyConnections, "end some of its clients"),
        (psycopg.errors.DeadlockDetected, "another process was quicker; try again"),
        (psycopg.errors.ReadOnlySqlTransaction, "name its primary server"),
        (psycopg.errors.AdminShutdown, "see whether its server runs"),
        (psycopg.errors.UndefinedTable, "look at its server's log"),
    ],
)
def test_each_kind_of_trouble_has_its_advice(error: type[psycopg.Error], advice: str) -> None:
    told = str(translated("postgresql://h/d", "storing messages", error("it says\nwhy")))
    assert told.startswith("store postgresql://h/d: storing messages failed: it says why; ")
    assert advice in told


def test_a_user_without_rights_is_told(cluster: Cluster) -> None:
    url = cluster.new_database()
    query(
        url, f"do $$ begin create user guest password '{PASSWORD}'; exception when others then null; end $$"
    )
    guest = make_url(url).set(username="guest").render_as_string(hide_password=False)
    with pytest.raises(StoreError, match=r"permission denied for schema public.*give this user the rights"):
        a_writer(guest)


RIGHTS = {
    "writer": "select, insert, update, delete on all tables in schema public to {0};"
    " grant usage on all sequences in schema public",
    "reader": "select on all tables in schema public",
}


def test_the_rights_that_the_page_names_are_enough(cluster: Cluster) -> None:
    url = cluster.new_database()
    a_store(url, [PUSH])
    urls = {}
    for name, rights in RIGHTS.items():
        query(url, f"create user {name} password '{PASSWORD}'")
        query(url, f"grant {rights.format(name)} to {name}")
        urls[name] = make_url(url).set(username=name).render_as_string(hide_password=False)
    a_store_of_its_own = a_writer(urls["writer"])
    a_store_of_its_own.add(begin(a_store_of_its_own, "mine"), a_message(0))
    a_store_of_its_own.close()
    assert [message.wire for message in read(urls["reader"], "s2")] == [PUSH]
    with (
        a_writer(urls["reader"]) as writer,
        pytest.raises(StoreError, match=r"permission denied.*give this user the rights"),
    ):
        writer.begin_recording("no", [])


def test_a_store_may_have_a_schema_of_its_own(postgres_url: str) -> None:
    query(postgres_url, "create schema recordings")
    query(postgres_url, "create table diary (day int)")
    url = f"{postgres_url}?options=-csearch_path%3Drecordings"
    a_store(url, [PUSH])
    assert [message.wire for message in read(url)] == [PUSH]
    assert query(postgres_url, "select count(*) from recordings.message") == [(1,)]


def test_stores_in_one_database_do_not_take_each_others_recorders_for_their_own(postgres_url: str) -> None:
    urls = []
    for name in ("one", "two"):
        query(postgres_url, f"create schema {name}")
        urls.append(f"{postgres_url}?options=-csearch_path%3D{name}")
    dead = a_writer(urls[0], process=DEAD)
    begin(dead)
    with a_writer(urls[1]) as alive, StoreReader(urls[0]) as one, StoreReader(urls[1]) as two:
        begin(alive)
        assert one.session("s1").end.kind is EndKind.INTERRUPTED
        assert two.session("s1").end.kind is EndKind.OPEN
    dead.abandon()


# Several that share a store.


SEVERAL = """
import gzip, sys
from store_builders import a_message, a_writer, begin
from wiretape_store import End, EndKind
url, name, order = sys.argv[1:]
with a_writer(url) as writer:
    session = begin(writer, name)
    for seq in range(150):
        wire = gzip.compress(b"%d" % seq, 1 + (seq if order == "up" else -seq) % 9, mtime=0)
        message = a_message(seq, wire)
        number = seq if order == "up" else 149 - seq
        message.method, message.stream = f"m{number}", f"s{399 - number}"
        writer.add(session, message)
        if seq % 5 == 0:
            writer.commit()
    writer.end_session(session, 0, End(EndKind.EOF))
"""


def test_recorders_that_meet_new_names_at_once_do_not_hinder_each_other(postgres_url: str) -> None:
    names = ["a", "b", "c", "d"]
    commands = [
        [sys.executable, "-c", SEVERAL, postgres_url, name, order]
        for name, order in zip(names, ["up", "down", "up", "down"], strict=True)
    ]
    folder = Path(__file__).parent
    several = [
        subprocess.Popen(command, env={"PYTHONPATH": str(folder)}, stderr=subprocess.PIPE)
        for command in commands
    ]
    assert [process.communicate(timeout=120)[1] for process in several] == [b""] * 4
    with StoreReader(postgres_url) as reader:
        for name in names:
            (session,) = reader.sessions(name)
            assert [message.payload for message in reader.messages(session.id)] == [
                b"%d" % n for n in range(150)
            ]
    assert query(postgres_url, "select count(*), count(distinct text) from name") == [(300, 300)]
    assert query(postgres_url, "select count(*) = count(distinct (text, deflater)) from codec") == [(True,)]


def test_two_recordings_cannot_take_one_name(postgres_url: str) -> None:
    refused: list[StoreError] = []

    def take() -> None:
        with a_writer(postgres_url) as writer:
            both.wait(30)
            try:
                writer.begin_recording("one", [HOTBIT])
            except StoreError as error:
                refused.append(error)

    both = threading.Barrier(2)
    threads = [threading.Thread(target=take) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [type(error).__name__ for error in refused] == ["RecordingExistsError"]


ELSEWHERE = """
import platform, sys
platform.node = lambda: "another machine"
from store_builders import a_message, a_writer, begin
writer = a_writer(sys.argv[1])
writer.add(begin(writer), a_message(0))
writer.commit()
print("records", flush=True)
sys.stdin.read()
"""


def test_whether_a_recorder_on_another_machine_lives_is_known(postgres_url: str) -> None:
    command = [sys.executable, "-c", ELSEWHERE, postgres_url]
    environment = {"PYTHONPATH": str(Path(__file__).parent)}
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as recorder,
        StoreReader(postgres_url) if recorder.stdout and recorder.stdout.readline() else None as reader,  # type: ignore[union-attr]
    ):
        assert reader is not None
        assert reader.session("s1").end.kind is EndKind.OPEN
        cut_and_back = a_writer(postgres_url)
        assert query(postgres_url, "select end_kind from session") == [(None,)]
        cut_and_back.close()
        recorder.send_signal(signal.SIGKILL)
        recorder.wait()
        # The server notices in its own time that nobody is left at the other end.
        deadline = time.monotonic() + 30
        while reader.session("s1").end.kind is EndKind.OPEN and time.monotonic() < deadline:
            os.sched_yield()
        assert reader.session("s1").end.kind is EndKind.INTERRUPTED
        a_writer(postgres_url).close()
    assert query(postgres_url, "select end_kind from session") == [("interrupted",)]


def test_a_recorder_still_shows_that_it_lives_after_the_connection_was_lost(postgres_url: str) -> None:
    with a_writer(postgres_url) as writer, StoreReader(postgres_url) as reader:
        session = begin(writer)
        cut(postgres_url)
        writer.add(session, a_message(0))
        writer.commit()
        assert reader.session("s1").end.kind is EndKind.OPEN


def prune(url: str) -> list[str]:
    with Pruner(url, now_us=START_US) as pruner:
        return [one.name for one in pruner.run(PruneRules(recordings=("tuesday",))).removed]


def test_nothing_is_committed_to_a_recording_that_was_pruned_while_its_recorder_was_cut_off(
    postgres_url: str,
) -> None:
    writer = a_writer(postgres_url)
    session = begin(writer)
    begin(writer, "later")  # So that no empty rows are left of the first.
    cut(postgres_url)
    assert prune(postgres_url) == ["tuesday"]
    writer.add(session, a_message(0))
    with pytest.raises(StoreError, match=r"session s1 .* was pruned or dropped; start the recorder again"):
        writer.commit()
    with pytest.raises(StoreError, match=r"a session cannot begin: .* start the recorder again"):
        writer.begin_session(1, START_US, HANDSHAKE)
    writer.abandon()
    assert query(postgres_url, "select count(*) from message") == [(0,)]


def test_nothing_is_committed_to_a_recording_that_is_being_pruned(postgres_url: str) -> None:
    writer = a_writer(postgres_url)
    session = begin(writer)
    cut(postgres_url)
    assert prune(postgres_url) == ["tuesday"]
    assert query(postgres_url, "select pinned from recording") == [(-1,)]  # The newest keeps its number.
    writer.add_event(session, Event(-1, 0, True, EventKind.PING, b""))
    with pytest.raises(StoreError, match="session s1 cannot be added to"):
        writer.commit()
    with pytest.raises(StoreError, match="a session cannot begin"):
        writer.begin_session(1, START_US, HANDSHAKE)
    writer.abandon()


def test_a_recorder_that_comes_back_before_its_recording_goes_keeps_it(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with a_writer(postgres_url) as writer:
        session = begin(writer)
        cut(postgres_url)
        mark = Pruner._mark

        def come_back(pruner: Pruner, one: Prunable) -> bool:
            writer.add(session, a_message(0))
            writer.commit()
            return mark(pruner, one)

        monkeypatch.setattr(Pruner, "_mark", come_back)
        assert prune(postgres_url) == []
    assert [message.seq for message in read(postgres_url)] == [0]


def test_a_prune_waits_for_a_commit_and_then_sees_that_its_recorder_lives(postgres_url: str) -> None:
    with a_writer(postgres_url) as writer:
        session = begin(writer)
        cut(postgres_url)
        store = writer._store_sessions
        marked: list[bool] = []
        with Pruner(postgres_url, now_us=START_US) as pruner:
            (one,) = pruner.plan(PruneRules(recordings=("tuesday",))).removed
            pruning = threading.Thread(target=lambda: marked.append(pruner._mark(one)))

            def meet(*arguments: object) -> None:
                pruning.start()
                waiting = "select count(*) from pg_locks where not granted"
                deadline = time.monotonic() + 30
                while query(postgres_url, waiting) == [(0,)] and time.monotonic() < deadline:
                    os.sched_yield()
                store(*arguments)  # type: ignore[arg-type]

            writer._store_sessions = meet  # type: ignore[method-assign, assignment]
            writer.add(session, a_message(0))
            writer.commit()
            writer._store_sessions = store  # type: ignore[method-assign]
            pruning.join(30)
        assert marked == [False]
    assert [message.seq for message in read(postgres_url)] == [0]


@pytest.mark.parametrize("how", ["commit", "keep_alive"])
def test_a_recorder_that_is_back_takes_its_sessions_back(postgres_url: str, how: str) -> None:
    with a_writer(postgres_url) as writer, StoreReader(postgres_url) as reader:
        session = begin(writer)
        writer.add(session, a_message(0))
        writer.commit()
        cut(postgres_url)
        a_writer(postgres_url).close()
        assert query(postgres_url, "select end_kind from session") == [("interrupted",)]
        if how == "commit":
            writer.add(session, a_message(1))
        getattr(writer, how)()
        assert query(postgres_url, "select end_kind, ended_at_us from session") == [(None, None)]
        assert reader.session("s1").end.kind is EndKind.OPEN
        writer.end_session(session, START_US + 9, End(EndKind.EOF))
        writer.commit()
        writer.keep_alive()
        assert reader.session("s1").end == End(EndKind.EOF)


def test_an_idle_recorder_shows_again_that_it_lives(cluster: Cluster) -> None:
    url = cluster.new_database()
    with a_writer(url) as writer:
        begin(writer)
        cluster.stop()
        writer.keep_alive()
        cluster.start()
        with StoreReader(url) as reader:
            assert reader.session("s1").end.kind is EndKind.INTERRUPTED
            writer.keep_alive()
            assert reader.session("s1").end.kind is EndKind.OPEN
        with pytest.raises(UnprunableError, match="still being recorded"):
            prune(url)


def test_a_session_that_begins_while_others_are_read_is_open(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = a_writer(postgres_url, process=DEAD)
    begin(dead)
    dead.abandon()
    with a_writer(postgres_url) as writer, StoreReader(postgres_url) as reader:
        query(postgres_url, "update session set end_kind = null, ended_at_us = null")

        def begin_after(connection: Connection) -> set[int] | None:
            monkeypatch.undo()
            alive = announced(connection)
            begin(writer, "new")
            return alive

        monkeypatch.setattr("wiretape_store.reader.announced", begin_after)
        kinds = [session.end.kind for session in reader.sessions()]
    assert kinds == [EndKind.INTERRUPTED, EndKind.OPEN]


# Codecs that are longer than what a B-tree takes.


def gzip_with_name(payload: bytes, size: int) -> bytes:
    """A gzip member whose header has a long name that no compression shortens."""
    name = bytes(random.Random(1).choices(range(1, 256), k=size))
    return b"\x1f\x8b\x08\x08\0\0\0\0\0\x03" + name + b"\0" + gzip.compress(payload, mtime=0)[10:]


def test_a_gzip_header_may_be_of_any_length(postgres_url: str) -> None:
    wires = [gzip_with_name(b"{}", size) for size in (6000, 20_000, 6000)]
    with a_writer(postgres_url) as writer:
        session = begin(writer)
        for seq, wire in enumerate(wires):
            writer.add(session, a_message(seq, wire))
        writer.add(session, a_message(3, wires[0], redacted=b"[]"))
        writer.commit()
    found = read(postgres_url)
    assert [message.wire for message in found[:3]] == wires
    assert [message.payload for message in found] == [b"{}"] * 3 + [b"[]"]
    assert query(postgres_url, "select min(settled), count(*) from chunk") == [(1, 1)]


def test_a_codec_is_there_once(postgres_url: str) -> None:
    a_store(postgres_url, [gzip.compress(b"{}", mtime=0)])
    query(postgres_url, "insert into codec (text, deflater) select text, 'other' from codec")
    with pytest.raises(psycopg.errors.ExclusionViolation):
        query(postgres_url, "insert into codec (text, deflater) select text, deflater from codec")
