"""The journal of a test while its tape is recorded: what the recorder has stored so far."""

import json
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from wiretape.control_client import Entry
from wiretape.pytest_plugin.fixture import Awaited, Journal

_ANSWERED = {"call", "subscribe", "unsubscribe", "auth"}
"""The roles of messages that get an answer."""
_STORED_WITHIN_S = 0.5
"""What the recorder relays is stored, and seen by `wiretape tail`, well within this."""


class RecordingJournal:
    """
    Follows a recording by `wiretape tail`, from the first question on.

    It tells of messages only, in the words of a replay: a client's is `matched` (when its answer has
    come, where it gets one, so that the upstream has seen it), a push is `pushed`.
    """

    def __init__(self, recording: str, store: Path) -> None:
        self._command = [sys.executable, "-m", "wiretape", "tail", recording, "--json", "--store", str(store)]
        self._process: subprocess.Popen[str] | None = None
        self._entries: list[Entry] = []
        self._sessions: dict[str, tuple[str, int]] = {}
        """The upstream of each session, and the number of the connection to it."""
        self._asked: dict[tuple[str, int], Entry] = {}
        """What has no answer yet, by session and number."""
        self._news = threading.Condition()

    def entries(self) -> Journal:
        """What is known, once everything relayed before has had the time to be stored."""
        self._follow()
        with self._news:
            known = -1
            while known != len(self._entries):
                known = len(self._entries)
                self._news.wait(_STORED_WITHIN_S)
            return Journal(self._entries)

    def wait(self, awaited: Awaited) -> Journal:
        """Wait for what a test waits for. Raises TimeoutError."""
        self._follow()
        deadline = time.monotonic() + awaited.timeout_s
        with self._news:
            while len(found := awaited.found_in(Journal(self._entries))) < awaited.count:
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    raise awaited.timeout(Journal(self._entries))
                self._news.wait(left_s)
            return found

    def close(self) -> None:
        """Follow no more."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._reader.join()
            if self._process.stdout is not None:
                self._process.stdout.close()

    def _follow(self) -> None:
        if self._process is None:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                process_group=0,
            )
            self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
            self._reader.start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        for line in process.stdout or ():
            what = json.loads(line)
            with self._news:
                self._told(what)
                self._news.notify_all()

    def _told(self, what: dict[str, Any]) -> None:
        session, role = what["session"], what["role"]
        if session not in self._sessions:
            earlier = sum(name == what["upstream"] for name, _ in self._sessions.values())
            self._sessions[session] = what["upstream"], earlier + 1
            self._add(self._entry("opened", what | {"seq": None, "method": None, "at_us": 0}))
        if role == "push":
            # A replay tells of runs of pushes, and names no method.
            self._add(self._entry("pushed", what | {"method": None}, pushes=1))
        elif role in _ANSWERED:
            self._asked[session, what["seq"]] = self._entry("matched", what)
        elif role == "answer" and (session, what["answers"]) in self._asked:
            self._add(self._asked.pop((session, what["answers"])))
        elif what["from_client"] and role != "background":
            self._add(self._entry("matched", what))

    def _entry(self, kind: str, what: dict[str, Any], pushes: int | None = None) -> Entry:
        upstream, connection = self._sessions[what["session"]]
        return Entry(
            number=0,
            kind=kind,
            upstream=upstream,
            connection=connection,
            session=what["session"],
            at_us=what["at_us"],
            seq=what["seq"],
            pushes=pushes,
            method=what["method"] or "",
        )

    def _add(self, entry: Entry) -> None:
        self._entries.append(replace(entry, number=len(self._entries) + 1))
