"""The addon's options: a bad rule stops mitmdump at its start, with the sentence that `record` says."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("wiretape_redact=login", "--redact 'login' cannot be used"),
        ("wiretape_redact_regex=(a+)+", "a repetition within a repetition"),
        ("wiretape_redact_env=WIRETAPE_TEST_GONE", "it is not set or empty"),
    ],
)
def test_a_bad_rule_stops_mitmdump(option: str, words: str, tmp_path: Path) -> None:
    mitmdump = Path(sys.executable).parent / "mitmdump"
    command = [str(mitmdump), "-s", str(ROOT / "proxy_addons" / "record.py"), "--listen-port", "0"]
    command += ["--set", f"wiretape_store={tmp_path / 'a.db'}", "--set", f"confdir={tmp_path}"]

    done = subprocess.run(
        [*command, "--set", option], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode != 0
    assert words in done.stdout + done.stderr
    assert not (tmp_path / "a.db").exists()
