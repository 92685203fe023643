"""A test whose tape is replayed: a run of the session's daemon, and what becomes of its verdict."""

import base64
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from wiretape.control_client import ControlError, Run, Stepped, Verdict
from wiretape.pytest_plugin.findings import Outcome, told
from wiretape.pytest_plugin.fixture import Awaited, Journal
from wiretape.pytest_plugin.take import Take

__tracebackhide__ = True  # a failure is shown where the test has called us

_NEEDED = ("opened", "missed", "refused", "relaxed")
_LATE_MISS_S = 0.2
_LATE_USE_S = 1.0
"""How long connections that are open at the very end may take to bring what their clients sent last."""
_LOOK_EVERY_S = 0.01


class Replay(Take):
    """The fixture while a tape is replayed."""

    recording = False

    def __init__(self, run: Run, tape: str, command: str, *, strict: bool | str) -> None:
        self._run = run
        self._tape = tape
        self._command = command
        self._strict = strict

    def __repr__(self) -> str:
        return f"<wiretape replay of {self._tape}>"

    @property
    def urls(self) -> dict[str, str]:
        """Where the run listens."""
        return self._run.urls

    def step(
        self,
        messages: int | None = None,
        *,
        method: str | None = None,
        stream: str | None = None,
        until_us: int | None = None,
        upstream: str | None = None,
    ) -> Stepped:
        """Give the run a credit."""
        far = {"messages": messages, "method": method, "stream": stream, "until_us": until_us}
        what = {name: value for name, value in far.items() if value is not None} or {"messages": 1}
        return self._run.step(**what, **({} if upstream is None else {"upstream": upstream}))

    def pause(self) -> None:
        """Pause the run."""
        self._run.pause()

    def resume(self) -> None:
        """Resume the run."""
        self._run.resume()

    def pace(self, pace: str) -> None:
        """Set the run's pace."""
        self._run.set_pace(pace)

    def push(
        self,
        upstream: str,
        payload: str | bytes | Mapping[str, Any] | Sequence[Any],
        *,
        opcode: str | None = None,
        connection: int | None = None,
    ) -> int:
        """Push it to clients of the run."""
        what: dict[str, Any] = {"opcode": opcode, "connection": connection}
        if isinstance(payload, bytes):
            what["payload_base64"] = base64.b64encode(payload).decode()
        else:
            what["payload"] = payload if isinstance(payload, str) else json.dumps(payload)
        return self._run.push(upstream, **{name: value for name, value in what.items() if value is not None})

    def disconnect(
        self,
        upstream: str | None = None,
        code: int | None = 1000,
        reason: str = "",
        *,
        connection: int | None = None,
    ) -> int:
        """End connections of the run."""
        what: dict[str, Any] = {"code": code, "reason": reason}
        if upstream is not None:
            what["upstream"] = upstream
        if connection is not None:
            what["connection"] = connection
        return self._run.disconnect(**what)

    def fault(self, kind: str, **members: Any) -> None:
        """Add it to the run's faults."""
        self._run.add_faults({"kind": kind, **members})

    def clear_faults(self) -> None:
        """Clear the run's faults."""
        self._run.clear_faults()

    @property
    def journal(self) -> Journal:
        """The run's journal."""
        return Journal(self._run.journal())

    def verdict(self) -> Verdict:
        """The run's verdict."""
        return self._run.verdict()

    def _waited_for(self, awaited: Awaited) -> Journal:
        try:
            found = self._run.wait(
                kind=awaited.kinds,
                method=awaited.method,
                upstream=awaited.upstream,
                count=awaited.count,
                timeout_s=awaited.timeout_s,
            )
        except ControlError as exc:
            if exc.code != "timeout":
                raise
            raise awaited.timeout(self.journal) from None
        return Journal(found)

    def failure(self) -> str:
        """What is certain: a message that was not sent may come as long as a connection is open."""
        outcome = self._outcome()
        if not outcome.fails(strict=self._strict):
            return ""
        certain = outcome.verdict.misses.count or outcome.verdict.stalls.count or not self._open()
        return told(outcome) if certain else ""

    def section(self, *, passed: bool) -> str:
        """Everything that differed; of a test that has passed, nothing that may still be made good."""
        try:
            outcome = self._outcome()
        except ControlError as exc:
            return f"wiretape: {exc}"
        return told(outcome.without_unused() if passed and self._strict else outcome)

    def end(self, *, judged: bool) -> str:
        """End the run."""
        outcome = self._last_outcome() if judged else None
        self._run.end()
        return told(outcome) if outcome is not None and outcome.fails(strict=self._strict) else ""

    def _last_outcome(self) -> Outcome:
        self._settle(_LATE_MISS_S)
        outcome = self._outcome()
        if not outcome.verdict.unused.count:
            return outcome
        self._settle(_LATE_USE_S)
        return self._outcome()

    def _settle(self, patience_s: float) -> None:
        """Let connections end whose clients have gone already."""
        deadline = time.monotonic() + patience_s
        while self._open() and time.monotonic() < deadline:
            time.sleep(_LOOK_EVERY_S)

    def _open(self) -> bool:
        upstreams = self._run.describe()["upstreams"]
        return any(connection["open"] for upstream in upstreams for connection in upstream["connections"])

    def _outcome(self) -> Outcome:
        verdict = self._run.verdict()
        entries = [] if verdict.ok else self._run.journal(kind=_NEEDED)
        return Outcome(self._tape, verdict, entries, self._command)
