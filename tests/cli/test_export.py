"""`wiretape export`: which format, what is chosen, and that a file is there whole or as it was."""

import gzip
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from store_builders import HOTBIT, a_writer
from tape_builders import UPSTREAM, a_message, a_recording, a_session, exported, stored

from wiretape import formats
from wiretape.main import run
from wiretape_protocols import Opcode
from wiretape_store import IncomingMessage, StoreReader
from wiretape_store.tapes import read_tape


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Run the command line in this process: status, stdout, stderr."""
    status = run(["export", *map(str, arguments)])
    out, err = capsys.readouterr()
    return status, out, err


def test_a_recording_becomes_a_tape_that_only_its_owner_reads(
    capsys: pytest.CaptureFixture[str], demo_store: Path, tmp_path: Path
) -> None:
    tape = tmp_path / "demo.tape"

    status, out, err = call(capsys, "demo", tape, "--store", demo_store)

    with StoreReader(str(demo_store)) as reader:
        counts = [each.messages_from_client + each.messages_from_upstream for each in reader.sessions("demo")]
    assert (status, out) == (0, "")
    assert err.startswith(f"wrote demo to {tape} as tape: {len(counts)} sessions, {sum(counts)} messages, ")
    assert tape.read_bytes() == exported(demo_store, "demo")
    assert stat.S_IMODE(tape.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [tape]


def test_stdout_takes_a_tape_and_nothing_else(demo_store: Path) -> None:
    command = [sys.executable, "-m", "wiretape", "export", "demo", "-", "--store", str(demo_store)]
    done = subprocess.run(command, capture_output=True, timeout=60, check=True)

    assert done.stdout == exported(demo_store, "demo")
    assert b"wrote demo to - as tape" in done.stderr


def test_some_sessions_are_a_recording_of_their_own(
    capsys: pytest.CaptureFixture[str], demo_store: Path, tmp_path: Path
) -> None:
    tape = tmp_path / "some.tape"

    status, _, err = call(capsys, "demo", tape, "--store", demo_store, "--session", "s3", "--session", "s1")

    assert status == 0, err
    with StoreReader(str(demo_store)) as reader:
        expected = [reader.session(each).started_at_us for each in ("s1", "s3")]
    assert [session.started_at_us for session in read_tape(tape).sessions] == expected


def test_a_session_that_the_recording_does_not_have_is_refused(
    capsys: pytest.CaptureFixture[str], demo_store: Path, tmp_path: Path
) -> None:
    tape = tmp_path / "some.tape"

    status, _, err = call(capsys, "s1", tape, "--store", demo_store, "--session", "s2")

    assert status == 1
    assert "no session 's2'" in err
    assert not tape.exists()


def test_the_format_is_told_by_suffix_or_by_name(
    capsys: pytest.CaptureFixture[str], demo_store: Path, tmp_path: Path
) -> None:
    named, lost = tmp_path / "demo.txt", tmp_path / "demo.doc"

    assert call(capsys, "demo", named, "--store", demo_store, "--format", "tape")[0] == 0
    status, _, err = call(capsys, "demo", lost, "--store", demo_store)

    assert named.read_bytes() == exported(demo_store, "demo")
    assert status == 2
    assert f"cannot tell the format of {lost}: name it with --format, one of tape (.tape), har (.har)" in err


# Flow files need mitmproxy, which is not imported into this process: test_flow_files and test_walkthrough.
@pytest.mark.parametrize(
    "each", [each for each in formats.WRITTEN if each.name != "flows"], ids=lambda each: each.name
)
def test_every_other_format_is_written(
    each: formats.Format, capsys: pytest.CaptureFixture[str], demo_store: Path, tmp_path: Path
) -> None:
    file = tmp_path / f"demo{each.suffixes[0]}"

    status, _, err = call(capsys, "demo", file, "--store", demo_store)

    assert (status, f"as {each.name}: 4 sessions" in err) == (0, True), err
    assert file.stat().st_size > 1000


def test_a_flow_file_is_written_by_a_process_of_its_own(demo_store: Path, tmp_path: Path) -> None:
    file = tmp_path / "demo.flow"
    command = [sys.executable, "-m", "wiretape", "export", "demo", str(file), "--store", str(demo_store)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stderr
    assert file.read_bytes()[:1].isdigit()


def test_bytes_do_not_go_to_a_terminal(
    capsys: pytest.CaptureFixture[str], demo_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)

    status, out, err = call(capsys, "demo", "-", "--store", demo_store, "--format", "parquet")

    assert (status, out) == (2, "")
    assert "parquet is nothing for a terminal" in err


def test_an_export_that_fails_leaves_the_file_as_it_was(
    capsys: pytest.CaptureFixture[str], demo_store: Path, tmp_path: Path
) -> None:
    tape = tmp_path / "demo.tape"
    tape.write_text("precious")

    status, _, err = call(capsys, "monday", tape, "--store", demo_store)

    assert status == 1
    assert "no recording 'monday'" in err
    assert tape.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [tape]


def test_what_is_there_is_replaced_if_it_is_a_file(
    capsys: pytest.CaptureFixture[str], demo_store: Path, tmp_path: Path
) -> None:
    tape, link, pipe = tmp_path / "demo.tape", tmp_path / "link.tape", tmp_path / "pipe.tape"
    tape.write_text("old")
    link.symlink_to(tape)
    os.mkfifo(pipe)

    assert call(capsys, "demo", link, "--store", demo_store)[0] == 0
    status, _, err = call(capsys, "demo", pipe, "--store", demo_store)

    assert link.is_symlink()
    assert tape.read_bytes() == exported(demo_store, "demo")
    assert status == 1
    assert f"cannot write {pipe}: it is there and is no regular file; name another" in err


def test_a_folder_that_is_not_there_is_named(
    capsys: pytest.CaptureFixture[str], demo_store: Path, tmp_path: Path
) -> None:
    status, _, err = call(capsys, "demo", tmp_path / "none" / "demo.tape", "--store", demo_store)

    assert status == 1
    assert "none/demo.tape: No such file or directory" in err


def test_a_session_that_goes_on_can_be_left_out(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    store = stored(tmp_path / "a.db", a_recording(a_session([a_message(b"{}")])))
    with a_writer(store) as writer:
        upstream = writer.begin_recording("running", [HOTBIT]).upstreams[0]
        handshake = a_session([]).handshake
        ended = writer.begin_session(upstream.id, 1, handshake)
        writer.end_session(ended, 2, a_session([]).end)
        writer.begin_session(upstream.id, 3, handshake)
        writer.commit()

        whole = call(capsys, "running", tmp_path / "a.tape", "--store", store)
        some = call(capsys, "running", tmp_path / "b.tape", "--store", store, "--session", f"s{ended}")

    assert (whole[0], some[0]) == (1, 0)
    assert "is still being recorded" in whole[2]


SECRET = "ghp_" + "a8Bc3De5Fg7Hi9Jk1Lm2No4Pq6Rs8Tu0Vw2X"


def a_leaky_store(path: Path) -> Path:
    payload = json.dumps({"method": "remark", "params": [f"the key is {SECRET}"], "id": 1}).encode()
    return stored(path, a_recording(a_session([a_message(b"{}"), a_message(payload)])))


@pytest.mark.parametrize("suffix", [".tape", ".har", ".csv", ".jsonl"])
def test_what_looks_like_a_secret_is_not_given_away(
    suffix: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    store = a_leaky_store(tmp_path / "a.db")
    file = tmp_path / f"out{suffix}"

    status, _, err = call(capsys, "tuesday", file, "--store", store)

    assert status == 1
    assert "what looks like a secret is in line " in err
    assert SECRET not in err
    assert sorted(tmp_path.iterdir()) == [store]

    assert call(capsys, "tuesday", file, "--store", store, "--force")[0] == 0
    assert SECRET in file.read_text()


def test_the_line_and_the_rule_of_a_secret_are_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    store = a_leaky_store(tmp_path / "a.db")

    _, out, err = call(capsys, "tuesday", "-", "--store", store)

    assert out == ""
    assert "line 4 (" in err
    assert "redact it while recording, or export with --force" in err


def test_the_value_of_a_variable_with_a_telling_name_is_a_secret(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = stored(tmp_path / "a.db", a_recording(a_session([a_message(b'{"note": "open sesame please"}')])))
    assert call(capsys, "tuesday", tmp_path / "a.tape", "--store", store)[0] == 0

    monkeypatch.setenv("HOTBIT_API_SECRET", "open sesame please")

    status, _, err = call(capsys, "tuesday", tmp_path / "b.tape", "--store", store)
    assert status == 1
    assert "open sesame" not in err
    assert UPSTREAM.name == "hotbit"


@pytest.mark.parametrize("end", ["", "-wal", "-shm", "-journal"])
def test_no_store_is_replaced_by_an_export(
    end: str, capsys: pytest.CaptureFixture[str], demo_store: Path, tmp_path: Path
) -> None:
    store = tmp_path / "a.db"
    store.write_bytes(demo_store.read_bytes())
    file = Path(f"{store}{end}")

    for asked in (store, demo_store):
        status, _, err = call(capsys, "demo", file, "--store", asked, "--format", "tape", "--force")
        assert (status, f"cannot write {file}: it is a SQLite database or belongs to one" in err) == (1, True)

    assert store.read_bytes() == demo_store.read_bytes()
    assert [path for path in tmp_path.iterdir() if path.read_bytes().startswith(b"{")] == []


@pytest.mark.parametrize("suffix", ["har", "csv", "jsonl", "tape"])
def test_packed_messages_are_no_random_words(
    suffix: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    payloads = [json.dumps({"price": number * 7919 % 1009, "id": number}).encode() for number in range(2000)]
    packed = [gzip.compress(each, mtime=0) for each in payloads]
    items = [IncomingMessage(False, Opcode.BINARY, 0, wire) for wire in packed]
    store = stored(tmp_path / "a.db", a_recording(a_session(items)))

    status, _, err = call(capsys, "tuesday", tmp_path / f"a.{suffix}", "--store", store)

    assert status == 0, err


def test_a_key_in_a_packed_message_of_a_har_is_found(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    # No text, so that it stands in the packed bytes alone.
    wire = gzip.compress(b"\xff AKIA" + b"IOSFODNN7EXAMPLE", mtime=0)
    items = [IncomingMessage(False, Opcode.BINARY, 0, wire)]
    store = stored(tmp_path / "a.db", a_recording(a_session(items)))

    status, _, err = call(capsys, "tuesday", tmp_path / "a.har", "--store", store)

    assert (status, "(aws-access-key)" in err) == (1, True)
