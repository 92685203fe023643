"""The options that add to what is replaced: refused at once, doubted aloud, shown with the recording."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from wiretape.daemon import daemon
from wiretape.main import run
from wiretape.private_files import open_private
from wiretape.redaction import chosen_rules
from wiretape_store import End, EndKind, Handshake, StoreWriter, UpstreamSpec

RULES = ("member:*:/params/0", "env:WIRETAPE_TEST_GONE")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store of one recording with rules."""
    path = tmp_path / "a.db"
    with StoreWriter(str(path), clock_us=lambda: 1_700_000_000_000_000) as writer:
        spec = UpstreamSpec("feed", "json", "ws://x", "127.0.0.1:0")
        (upstream,) = writer.begin_recording("mine", [spec], redaction_rules=RULES).upstreams
        session = writer.begin_session(upstream.id, 0, Handshake("/", (), 101))
        writer.end_session(session, 1, End(EndKind.EOF, from_client=True))
    return path


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param(["--redact", "login"], "--redact 'login' cannot be used", id="member"),
        pytest.param(["--redact-header", "a b"], "--redact-header 'a b' cannot be used", id="header"),
        pytest.param(["--redact-regex", "x*"], "--redact-regex 'x*' cannot be used", id="pattern"),
        pytest.param(["--redact-env", "WIRETAPE_TEST_GONE"], "it is not set or empty", id="variable"),
    ],
)
def test_a_bad_rule_ends_record_before_it_does_anything(
    options: list[str], words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    status = run(["record", "a=ws://127.0.0.1:9", "--store", str(tmp_path / "a.db"), *options])

    err = capsys.readouterr().err
    assert status == 2
    assert words in err
    assert len(err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_what_a_user_should_think_about_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WIRETAPE_TEST_PIN", "4711")

    rules = chosen_rules(members=(), headers=(), patterns=("hunter2",), variables=("WIRETAPE_TEST_PIN",))

    err = capsys.readouterr().err
    assert len(rules) == 2
    assert err.count("wiretape: ") == 2
    assert "4711" not in err
    assert "hunter2" not in err


def test_the_rules_are_shown_with_the_recording(store: Path) -> None:
    from wiretape.main import wiretape

    as_json = CliRunner().invoke(wiretape, ["stats", "--json", "--store", str(store)])
    as_text = CliRunner().invoke(wiretape, ["stats", "--store", str(store)])

    assert json.loads(as_json.output)["recordings"][0]["redaction_rules"] == list(RULES)
    assert "2 redaction rules" in as_text.output


def test_replay_says_which_variable_it_lacks_and_goes_on(store: Path) -> None:
    with daemon(["replay", "mine", "--store", str(store), "--listen", "127.0.0.1:0"]) as running:
        pass

    assert running.status == 0
    assert "wiretape: WIRETAPE_TEST_GONE is not set: messages with the value" in running.said


def test_a_file_is_its_owners_alone_even_where_it_was_not_before(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_text("old")
    path.chmod(0o644)

    with open_private(path) as file:
        file.write("new \ud800\n")

    assert path.read_text() == "new \\ud800\n"
    assert path.stat().st_mode & 0o777 == 0o600
    with open_private(tmp_path / "another"):
        assert (tmp_path / "another").stat().st_mode & 0o777 == 0o600
    with open_private("/dev/null") as file:
        file.write("gone")
