"""How a daemon says that it is ready."""

import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path

import pytest

from wiretape.ready import notify, ready_file, tell_ready


@dataclass
class At:
    upstream: str
    protocol: str
    url: str


@pytest.mark.parametrize("abstract", [False, True], ids=["path", "abstract"])
def test_systemd_is_told(abstract: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"@wiretape-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(address.replace("@", "\0", 1))
        systemd.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", address)

        tell_ready(None, "demo", [])

        assert systemd.recv(100) == b"READY=1"


def test_nothing_happens_outside_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)

    assert notify("READY=1") is False


def test_the_ready_file_is_whole_and_alone(tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    ready.write_text("of an earlier run")

    with ready_file(str(ready)):
        assert not ready.exists()
        tell_ready(str(ready), "demo", [At("hotbit", "hotbit", "ws://127.0.0.1:8081")])

        assert json.loads(ready.read_text()) == {
            "pid": os.getpid(),
            "recording": "demo",
            "listeners": [{"upstream": "hotbit", "protocol": "hotbit", "url": "ws://127.0.0.1:8081"}],
        }
        assert list(tmp_path.iterdir()) == [ready]
    assert list(tmp_path.iterdir()) == []


def test_the_ready_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "ready.json"

    with ready_file(str(path)):
        tell_ready(str(path), "demo", [At("a", "json", "ws://127.0.0.1:1")])
        mode = path.stat().st_mode & 0o777

    assert mode == 0o600
