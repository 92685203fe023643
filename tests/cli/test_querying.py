"""`wiretape sql` and `wiretape grep` as a user runs them, and every example on their page."""

import io
import json
import os
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from wiretape.main import run

PAGE = (Path(__file__).parents[2] / "docs" / "querying.md").read_text(encoding="utf-8")
STATEMENTS = re.findall(r"^```sql\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = [line for block in re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL) for line in block.splitlines()]  # fmt: skip
TX_HASH = "72845a132e00e12396629102ebb372d15f115d4e19fb3851ee1b8b1a78eccd96"


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], demo_store: Path, monkeypatch: pytest.MonkeyPatch) -> "Call":
    monkeypatch.setenv("WIRETAPE_STORE", str(demo_store))
    return Call(capsys)


class Call:
    """Runs the command line in this process: status, stdout, stderr."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        status = run(list(arguments))
        out, err = self.capsys.readouterr()
        return status, out, err

    def objects(self, *arguments: str) -> list[dict[str, object]]:
        """What grep prints as JSON."""
        _, out, _ = self(*arguments, "--json")
        return [json.loads(line) for line in out.splitlines()]


def test_the_page_has_a_dozen_queries() -> None:
    assert len(STATEMENTS) >= 12
    assert len(COMMANDS) >= 10


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda statement: " ".join(statement.split())[:50])
def test_each_query_on_the_page_finds_something(statement: str, call: Call) -> None:
    status, out, err = call("sql", statement, "--json")

    assert (status, err) == (0, "")
    assert len(json.loads(out)) > 0


@pytest.mark.parametrize("line", COMMANDS)
def test_each_command_on_the_page_finds_something(line: str, call: Call) -> None:
    program, *arguments = shlex.split(line)

    status, out, err = call(*arguments)

    assert program == "wiretape"
    assert (status, err) == (0, "")
    assert out


def test_sql_prints_a_table(call: Call) -> None:
    status, out, _ = call("sql", "select id, upstream, end_kind from sessions order by id limit 2")

    assert status == 0
    assert out.splitlines() == ["id  upstream  end_kind", "s1  hotbit    closed", "s2  hotbit    eof"]


def test_sql_prints_json_and_csv(call: Call) -> None:
    statement = "select seq, payload(message) as text from messages where message = 's1/6'"
    payload = '{"method": "price.query", "params": ["BTCUSDT"], "id": 2}'

    assert json.loads(call("sql", statement, "--json")[1]) == [{"seq": 6, "text": payload}]
    quoted = payload.replace('"', '""')
    assert call("sql", statement, "--csv")[1] == f'seq,text\r\n6,"{quoted}"\r\n'
    assert call("sql", statement, "--csv", "--json")[0] == 2


def test_sql_keeps_integers_beyond_64_bits(call: Call) -> None:
    _, out, _ = call(
        "sql", "select json(answer, '/Result/ong') as ong from calls where method = 'getbalancev2'", "--json"
    )

    assert json.loads(out) == [{"ong": "9846877597228090295000000000"}]


@pytest.mark.parametrize("arguments", [[], ["-"]], ids=["nothing", "dash"])
def test_sql_reads_stdin_without_a_statement(
    arguments: list[str], call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("select count(*) as n\nfrom sessions;\n"))

    assert call("sql", *arguments)[:2] == (0, "n\n4\n")


def test_sql_does_not_wait_at_a_terminal(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.StringIO()
    monkeypatch.setattr(stdin, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", stdin)

    status, _, err = call("sql")

    assert status == 2
    assert "no statement" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sql", "selec 1"], "syntax error"),
        (["sql", "select 1; select 2"], "one statement"),
        (["sql", "delete from message"], "only read"),
        (["sql", "select json('s1/0', 'method')"], "is not a JSON pointer"),
        (["sql", "select 1 as a, 2 as a", "--json"], "two columns are called 'a'"),
        (["grep", "("], "is not a regular expression"),
        (["grep"], "nothing to look for"),
        (["grep", "-v", "--method", "x"], "--invert needs"),
        (["grep", "--value", "1"], "--value needs --pointer"),
        (["grep", "--pointer", "a"], "is not a JSON pointer"),
        (["grep", "a", "--since", "noon"], "'noon' is no time"),
        (["grep", "a", "--since", "NaN"], "'NaN' is no time"),
        (["grep", "a", "-m", "0"], "0 is not in the range"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_told_and_ends_with_2(arguments: list[str], words: str, call: Call) -> None:
    status, out, err = call(*arguments)

    assert (status, out) == (2, "")
    assert words in err
    assert "Traceback" not in err


@pytest.mark.parametrize("arguments", [["sql", "select 1"], ["grep", "a"]], ids=lambda a: a[0])
def test_a_missing_store_gets_one_sentence(arguments: list[str], call: Call, tmp_path: Path) -> None:
    status, out, err = call(*arguments, "--store", str(tmp_path / "none.db"))

    assert (status, out) == (1, "")
    assert err.startswith("wiretape: no store at ")
    assert err.count("\n") == 1


def test_sql_changes_nothing(call: Call, demo_store: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    shutil.copy(demo_store, copy)
    before = copy.read_bytes()

    call("sql", "select count(payload(message)) from messages", "--store", str(copy))
    call("sql", "drop table message", "--store", str(copy))

    assert copy.read_bytes() == before


def test_ctrl_c_ends_a_query_at_once(demo_store: Path) -> None:
    endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select i from n"
    process = subprocess.Popen(
        [sys.executable, "-m", "wiretape", "sql", endless, "--csv", "--store", str(demo_store)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "i\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)

    assert process.returncode == 1
    assert "Traceback" not in err


@pytest.mark.parametrize("command", ["sql", "grep", "show"])
def test_a_reader_that_has_seen_enough_is_no_error(command: str, demo_store: Path) -> None:
    endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select i from n"
    arguments = {"sql": ["sql", endless, "--csv"], "grep": ["grep", ""], "show": ["show", "s1"]}[command]
    process = subprocess.Popen(
        [sys.executable, "-m", "wiretape", *arguments, "--store", str(demo_store)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    process.stderr.close()

    assert process.wait(30) == 0
    assert err == ""


def test_grep_prints_the_messages_that_match(call: Call) -> None:
    status, out, err = call("grep", "-F", TX_HASH, "demo", "--method", "gettransaction", "--from", "client")

    assert (status, err) == (0, "")
    assert len(out.splitlines()) == 1
    assert re.match(r"ontology s3 +18 +\d+\.\d+ -> call \{", out)


def test_grep_as_json_has_the_shape_of_show(call: Call) -> None:
    found = call.objects("grep", '"id": 2}$', "s1")
    _, shown, _ = call("show", "s1", "--json")

    place = {"session": "s1", "upstream": "hotbit"}
    assert found == [
        place | message for line in shown.splitlines() if (message := json.loads(line))["seq"] in {6, 7}
    ]
    _, raw, _ = call("grep", '"id": 2}$', "s1", "--raw")
    assert all("wire_base64" in json.loads(line) for line in raw.splitlines())


def test_grep_ends_with_1_and_silence_when_there_is_nothing(call: Call) -> None:
    assert call("grep", "no such text anywhere") == (1, "", "")
    assert call("grep", "-q", "no such text anywhere") == (1, "", "")
    assert call("grep", "-q", "BTCUSDT") == (0, "", "")


def test_grep_counts_and_lists_sessions(call: Call) -> None:
    per_session = {s: len(call.objects("grep", "id", s, "-i")) for s in ("s1", "s2", "s3", "s4")}

    assert call("grep", "id", "-i", "-c")[1] == f"{sum(per_session.values())}\n"
    assert call("grep", "id", "-i", "-l")[1].split() == ["s1", "s2", "s3", "s4"]
    assert call("grep", "id", "-i", "-lc")[1].splitlines() == [f"{s} {n}" for s, n in per_session.items()]
    assert call("grep", "nothing at all", "-c")[:2] == (1, "0\n")
    assert call.objects("grep", "id", "-i", "-c") == [{"count": sum(per_session.values())}]
    assert call.objects("grep", "id", "s2", "-i", "-lc") == [
        {"session": "s2", "upstream": "hotbit", "count": per_session["s2"]}
    ]
    assert call.objects("grep", "id", "s2", "-i", "-l") == [{"session": "s2", "upstream": "hotbit"}]


def test_grep_stops_after_as_many_as_it_is_told(call: Call) -> None:
    assert len(call.objects("grep", "", "-m", "3")) == 3
    assert call("grep", "", "-m", "3", "-c")[1] == "3\n"


def test_grep_inverts_the_pattern_and_not_the_filters(call: Call) -> None:
    everything = call.objects("grep", "", "s1", "--method", "price.*")
    matching = call.objects("grep", "BTCUSDT", "s1", "--method", "price.*")
    others = call.objects("grep", "-v", "BTCUSDT", "s1", "--method", "price.*")

    assert matching
    assert others
    assert sorted([m["seq"] for m in matching + others]) == [m["seq"] for m in everything]  # type: ignore[type-var]


def test_grep_prints_neighbours_each_once_and_marks_what_it_found(call: Call) -> None:
    _, out, _ = call("grep", "^.*kline.query|no such market", "s1", "-B", "1", "-A", "2")

    lines = out.splitlines()
    assert [line if line == "--" else (line[0], int(line.split()[2 + (line[0] == ">")])) for line in lines] == [
        (" ", 3), (">", 4), (" ", 5), (" ", 6), "--", (" ", 31), (">", 32), (" ", 33), (" ", 34),
    ]  # fmt: skip


def test_grep_neighbours_that_match_are_matches(call: Call) -> None:
    found = call.objects("grep", "price.query", "s1", "-C", "2", "-m", "2")

    assert [(m["seq"], m.get("context", False)) for m in found] == [
        (4, True), (5, True), (6, False), (7, True), (8, True), (30, True), (31, True), (32, False), (33, True),
        (34, True),
    ]  # fmt: skip


def test_grep_since_and_until_take_dates_and_offsets(call: Call) -> None:
    everything = call.objects("grep", "", "s1")
    middle = everything[len(everything) // 2]["at_us"]
    _, listed, _ = call(
        "sql", f"select at from messages where session = 's1' and at_us = {middle} limit 1", "--json"
    )
    at = json.loads(listed)[0]["at"]
    assert isinstance(middle, int)

    later = call.objects("grep", "", "s1", "--since", at)
    assert later == [m for m in everything if m["at_us"] >= middle]  # type: ignore[operator]
    assert later == call.objects("grep", "", "s1", "--since", f"{middle / 1e6:.6f}")
    assert later == call.objects("grep", "", "s1", "--since", at.replace("Z", ""))
    earlier = call.objects("grep", "", "s1", "--until", at.replace("Z", "+00:00"))
    assert earlier + later == everything


def test_grep_names_a_damaged_chunk_and_goes_on(call: Call, demo_store: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    shutil.copy(demo_store, copy)
    with sqlite3.connect(copy) as connection:
        connection.execute("update chunk set data = x'00' where session_id = 1")
    connection.close()

    status, out, err = call("grep", "Id", "-l", "--store", str(copy))

    assert (status, out.split()) == (1, ["s3", "s4"])
    assert "the chunk of session s1 at message 0 is damaged" in err


def test_commands_that_ask_start_without_the_recorders_libraries() -> None:
    code = "import sys; from wiretape.commands import sql, grep; sys.exit('mitmproxy' in sys.modules or 'psycopg' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False, env=dict(os.environ)).returncode == 0


@pytest.mark.parametrize("option", ["-A", "-B", "-C"])
def test_grep_takes_any_number_of_neighbours(option: str, call: Call) -> None:
    status, out, err = call("grep", "price.query", "s1", option, "9" * 20)

    assert (status, err) == (0, "")
    assert out
