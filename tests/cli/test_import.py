"""`wiretape import`: which format, under which name, all or nothing."""

import json
from pathlib import Path

import pytest
from store_builders import query
from tape_builders import END, SESSION, a_tape, exported

from wiretape import formats
from wiretape.main import run
from wiretape_store import StoreReader

CALL = {"at_us": 1, "from": "client", "json": {"method": "price.query", "params": ["BTCUSDT"], "id": 7}}


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Run the command line in this process: status, stdout, stderr."""
    status = run(["import", *map(str, arguments)])
    out, err = capsys.readouterr()
    return status, out, err


@pytest.fixture
def tape(tmp_path: Path) -> Path:
    return a_tape(tmp_path / "a.tape", SESSION, CALL, END)


def test_a_tape_becomes_a_recording_whose_name_is_printed(
    tape: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    store = tmp_path / "a.db"

    status, out, err = call(capsys, tape, "--store", store)

    assert (status, out) == (0, "tuesday\n")
    assert err == f"imported 1 sessions, 1 messages from {tape}\n"
    with StoreReader(str(store)) as reader:
        assert [message.method for message in reader.messages("s1")] == ["price.query"]


def test_as_json_for_scripts(tape: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    _, out, _ = call(capsys, tape, "--store", tmp_path / "a.db", "--recording", "again", "--json")

    assert json.loads(out) == {"recording": "again", "id": "r1", "sessions": 1, "messages": 1}


def test_a_name_that_is_taken_is_refused(
    tape: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    store = tmp_path / "a.db"
    assert call(capsys, tape, "--store", store)[0] == 0

    status, out, err = call(capsys, tape, "--store", store)

    assert (status, out) == (1, "")
    assert "there is a recording named 'tuesday' already; choose another name" in err


def test_a_wrong_line_is_named_and_nothing_stays(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    tape = a_tape(tmp_path / "a.tape", SESSION, CALL, CALL | {"at_us": 0}, END)
    store = tmp_path / "a.db"

    status, out, err = call(capsys, tape, "--store", store)

    assert (status, out) == (1, "")
    assert err == f"wiretape: tape {tape}, line 4: member 'at_us' goes back, from 1 to 0\n"
    assert query(store, "select count(*) from recording") == [(0,)]


def test_a_format_is_recognised_by_its_content(
    tape: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    nameless = tape.rename(tmp_path / "fixture")

    assert call(capsys, nameless, "--store", tmp_path / "a.db")[:2] == (0, "tuesday\n")


@pytest.mark.parametrize(
    ("head", "name"),
    [
        pytest.param(b' {"wiretape":"tape"', "tape", id="tape"),
        pytest.param(b'{\n  "log": {', "har", id="har"),
        pytest.param(b'\xef\xbb\xbf{"log": {', "har", id="har-with-mark"),
        pytest.param(b"1234:9:websocket", "flows", id="flows"),
    ],
)
def test_each_format_that_is_read_has_its_beginning(head: bytes, name: str, tmp_path: Path) -> None:
    file = tmp_path / "nameless"
    file.write_bytes(head)

    assert formats.format_to_read(file, None).name == name


def test_what_nobody_can_read_is_a_mistake_of_usage(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("buy milk")

    status, _, err = call(capsys, file, "--store", tmp_path / "a.db")

    assert status == 2
    assert f"cannot tell the format of {file}" in err
    assert not (tmp_path / "a.db").exists()
    assert call(capsys, tmp_path / "missing.tape", "--store", tmp_path / "a.db")[0] == 2


def test_a_suffix_counts_for_more_than_the_content_and_a_name_for_more_than_both(tmp_path: Path) -> None:
    file = tmp_path / "a.har"
    file.write_bytes(b'{"wiretape": "tape"')

    assert formats.format_to_read(file, None).name == "har"
    assert formats.format_to_read(file, "tape").name == "tape"


def test_a_tape_says_itself_what_its_upstreams_speak(
    tape: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    store = tmp_path / "a.db"

    status, _, err = call(capsys, tape, "--store", store, "--protocol", "hotbit=json")
    assert (status, "a tape names the protocols of its upstreams itself" in err) == (2, True)

    status, _, err = call(capsys, tape, "--store", store, "--protocol", "hotbit")
    assert (status, "write NAME=PROTOCOL" in err) == (2, True)


def test_a_har_comes_back_with_its_exact_bytes(
    capsys: pytest.CaptureFixture[str], demo_store: Path, tmp_path: Path
) -> None:
    har, store = tmp_path / "demo.har", tmp_path / "a.db"
    assert run(["export", "demo", str(har), "--store", str(demo_store), "--force"]) == 0
    capsys.readouterr()

    status, out, err = call(capsys, har, "--store", store)

    assert (status, out) == (0, "demo\n"), err
    with StoreReader(str(demo_store)) as first, StoreReader(str(store)) as second:
        for one, other in zip(first.sessions("demo"), second.sessions("demo"), strict=True):
            assert [m.wire for m in first.messages(one.id)] == [m.wire for m in second.messages(other.id)]


def test_a_note_of_the_reader_is_told(
    capsys: pytest.CaptureFixture[str], demo_store: Path, tmp_path: Path
) -> None:
    tape = tmp_path / "demo.tape"
    text = exported(demo_store, "demo")
    at = text.index(b'"zlib": "') + len(b'"zlib": "')
    tape.write_bytes(text[:at] + b"00000000" + text[at + 8 :])

    status, _, err = call(capsys, tape, "--store", tmp_path / "a.db")

    assert status == 0
    assert f"{tape}: its packed messages were made with another zlib" in err


@pytest.mark.parametrize("each", formats.FORMATS, ids=lambda each: each.name)
def test_every_format_can_be_told_by_its_suffix(each: formats.Format, tmp_path: Path) -> None:
    for suffix in each.suffixes:
        path = tmp_path / f"a{suffix.upper()}"
        assert not each.writer or formats.format_to_write(str(path), None) is each
        assert not each.reader or formats.format_to_read(path, None) is each


@pytest.mark.parametrize("name", ["", " "])
@pytest.mark.parametrize("command", [("import", "a.tape"), ("record", "hotbit=ws://localhost:1")])
def test_a_recording_without_a_name_is_a_mistake_of_usage(
    name: str,
    command: tuple[str, str],
    tape: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tape.parent)

    status = run([*command, "--recording", name])

    assert (status, "a recording needs a name" in capsys.readouterr().err) == (2, True)
    assert list(tape.parent.iterdir()) == [tape]
