"""`wiretape verify`: what it prints, and its processes."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from wiretape import verifying
from wiretape.commands import verify
from wiretape.main import run
from wiretape.progress import ProgressLine
from wiretape.verifying import Plan, VerifierError, verify_in_processes
from wiretape_replay.verification import RunFound, Verification


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = run(["verify", *arguments])
    out, err = capsys.readouterr()
    return status, out, err


def test_processes_with_other_hash_seeds_give_the_same_digest(
    capsys: pytest.CaptureFixture[str], demo_store: Path
) -> None:
    """The shorter form of the proof; `wiretape verify demo --runs 1000` is the whole."""
    alone = json.loads(call(capsys, "demo", "--store", str(demo_store), "--json")[1])
    status, out, _ = call(
        capsys, "demo", "--store", str(demo_store), "--runs", "20", "--processes", "2", "--seed", "5", "--json"
    )  # fmt: skip
    together = json.loads(out)
    assert (status, together["ok"], together["runs"], together["processes"]) == (0, True, 20, 2)
    assert (together["sessions"], together["messages"]) == (alone["sessions"], alone["messages"])
    assert together["digests"] == alone["digests"]
    assert [len(digest) for digest in together["digests"]] == [64]


def test_it_says_in_a_line_what_was_played(capsys: pytest.CaptureFixture[str], demo_store: Path) -> None:
    status, out, err = call(capsys, "s2", "--store", str(demo_store), "--runs", "3")
    assert (status, err) == (0, "")
    assert out.startswith("s2: 1 sessions, 6 upstream messages, 3 runs: the same bytes every time (sha256 ")


def test_a_share_for_each_process() -> None:
    shares = list(Plan(runs=10, parallel=4, processes=3, seed=7).shares())
    assert [(share.first, share.runs) for share in shares] == [(0, 3), (3, 3), (6, 4)]
    assert {(share.parallel, share.seed) for share in shares} == {(4, 7)}
    assert [share.runs for share in Plan(runs=2, processes=5).shares()] == [1, 1]


@pytest.mark.parametrize(
    ("runs", "processors", "expected"),
    [(1, 8, 1), (99, 8, 1), (100, 1, 2), (100, 8, 2), (1000, 2, 2), (1000, 64, 20), (1000, None, 2)],
)
def test_many_runs_are_spread_over_the_processors(
    runs: int, processors: int | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify.os, "cpu_count", lambda: processors)  # type: ignore[attr-defined]
    assert verify._processes_for(runs) == expected


def test_twenty_differences_are_printed_and_the_others_counted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, demo_store: Path
) -> None:
    found = [RunFound(number, "ab" * 32, (f"s1, run {number + 1}: wrong",)) for number in range(23)]
    result = Verification("demo", 23, 4, 173, found)
    monkeypatch.setattr(verify, "verify_recording", lambda *_, **__: result)
    status, out, _ = call(capsys, "demo", "--store", str(demo_store), "--runs", "23")
    lines = out.splitlines()
    assert status == 3
    assert lines[:2] == ["s1, run 1: wrong", "s1, run 2: wrong"]
    assert lines[20:] == [
        "and 3 more",
        "demo: 4 sessions, 173 upstream messages, 23 runs: 23 differences (sha256 abababababababab)",
    ]


def test_a_terminal_sees_how_far_it_is() -> None:
    class Line(ProgressLine):
        said: tuple[str, ...] = ()

        def show(self, text: str) -> None:
            self.said += (text,)

    line = Line()
    watch = verify._Watch(line, 1000)
    watch.see(RunFound(0, "", ()))
    watch.see(RunFound(1, "", ("wrong",)))
    watch.see(RunFound(2, "", ()))
    assert line.said == ("1 of 1,000 runs", "2 of 1,000 runs, 1 differ", "3 of 1,000 runs, 1 differ")


def test_a_process_that_fails_is_named_with_what_it_said(demo_store: Path) -> None:
    with pytest.raises(VerifierError) as failed:
        verify_in_processes("nosuch", str(demo_store), Plan(2, processes=2), lambda _: None)
    assert "of the verification ended with status 1: " in str(failed.value)
    assert "nosuch" in str(failed.value)


@pytest.fixture
def as_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let a shell script stand in for the processes."""

    def use(script: str) -> None:
        path = tmp_path / "process"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(path))

    return use


def test_a_process_that_hangs_is_ended_with_a_sentence(
    as_process: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifying, "_SILENT_S", 0.1)
    as_process('echo \'{"sessions": 1, "messages": 1}\'; exec tail -f /dev/null')
    with pytest.raises(VerifierError, match="hangs: no sign of life for 0 s"):
        verify_in_processes("demo", "x", Plan(2, processes=2), lambda _: None)


def test_a_process_that_ends_without_a_word_is_told(as_process: Callable[[str], None]) -> None:
    as_process("exit 1")
    with pytest.raises(
        VerifierError, match="process 1 of the verification ended with status 1: it said nothing"
    ):
        verify_in_processes("demo", "x", Plan(1), lambda _: None)


def test_a_process_gets_the_store_and_its_hash_seed_by_its_environment(
    as_process: Callable[[str], None],
) -> None:
    as_process('echo "[0, \\"$WIRETAPE_STORE $PYTHONHASHSEED\\", [\\"$*\\"], false]"')
    result = verify_in_processes(
        "demo", "postgresql://u:secret@h/d", Plan(1, parallel=3, seed=2**32 - 1), lambda _: None
    )
    assert result.digests == ["postgresql://u:secret@h/d 0"]
    assert result.differences == [
        "-m wiretape verify demo --tell --first 0 --runs 1 --processes 1 --parallel 3 --seed 4294967295"
    ]


def test_what_a_process_tells(capsys: pytest.CaptureFixture[str], demo_store: Path) -> None:
    status, out, _ = call(
        capsys, "s2", "--store", str(demo_store), "--tell", "--first", "4", "--runs", "2", "--parallel", "1"
    )
    told = [json.loads(line) for line in out.splitlines()]
    assert status == 0
    assert told[0] == {"sessions": 1, "messages": 6}
    assert told[1] is None
    assert [(run, differences, hangs) for run, _, differences, hangs in told[2:]] == [
        (4, [], False),
        (5, [], False),
    ]
