"""
A client of the daemon's control API (docs/control.md), with nothing but the standard library.

Each call is a connection of its own, so one client may be used from any number of threads.
"""

import http.client
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, Self
from urllib.parse import quote, urlencode, urlsplit

__tracebackhide__ = True  # pytest shows a failure where the test has called us

_LONGEST_WAIT_S = 60.0
"""What the server lets one request wait at most; longer waits are several requests."""
_PAGE = 1000


class ControlError(Exception):
    """The control API refused a call; the text is the server's sentence."""

    def __init__(self, code: str, message: str, status: int | None = None) -> None:
        """Keep what the server said; `status` is None when it did not answer at all."""
        super().__init__(code, message, status)
        self.code = code
        """A word for programs: `unknown_run`, `timeout`, ...; `unreachable` without an answer."""
        self.message = message
        self.status = status

    def __str__(self) -> str:
        """The server's sentence."""
        return self.message


class Difference(NamedTuple):
    """A member in which a missed message differs from the nearest recorded one."""

    pointer: str
    """A JSON pointer (RFC 6901) into both payloads."""
    recorded: str | None
    """As JSON; None where the recorded message has no such member."""
    sent: str | None


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a run's journal; what does not apply is left at its default."""

    number: int
    """Counts the run's entries from 1."""
    kind: str
    upstream: str = ""
    connection: int | None = None
    """Counts the connections to the upstream from 1."""
    session: str = ""
    at_us: int = 0
    """Since the connection opened."""
    seq: int | None = None
    """The recorded message, counted as in the session."""
    last_seq: int | None = None
    pushes: int | None = None
    method: str = ""
    detail: str = ""
    payload: str = ""
    """The beginning of the client's message, redacted."""
    nearest: str = ""
    """The recorded message most like a missed one, redacted."""
    differs: tuple[Difference, ...] = ()
    why: str = ""
    """Of a miss: `different`, `used up` or `nothing left`."""

    @classmethod
    def of(cls, what: Mapping[str, Any]) -> Self:
        """Read the server's JSON; members that a newer server added are left out."""
        known = {each.name: what[each.name] for each in fields(cls) if each.name in what}
        if "differs" in known:
            known["differs"] = tuple(
                Difference(each["pointer"], each.get("recorded"), each.get("sent"))
                for each in known["differs"]
            )
        return cls(**known)


@dataclass(frozen=True, slots=True)
class Findings:
    """How often something happened, and the first hundred in words."""

    count: int
    named: tuple[str, ...]


class Verdict(NamedTuple):
    """Everything in which a run differs from its recording so far."""

    ok: bool
    misses: Findings
    unused: Findings
    stalls: Findings
    relaxed: Findings

    @classmethod
    def of(cls, what: Mapping[str, Any]) -> Self:
        """Read the server's JSON."""
        kinds = (what[kind] for kind in ("misses", "unused", "stalls", "relaxed"))
        return cls(what["ok"], *(Findings(each["count"], tuple(each["named"])) for each in kinds))


class Stepped(NamedTuple):
    """What a step did."""

    pushed: int
    """Messages that went at once."""
    owed: int
    """Messages that go as soon as they are free to."""


class ControlClient:
    """The control API at a URL such as `http://127.0.0.1:9001`."""

    def __init__(self, url: str, token: str | None = None, *, timeout_s: float = 30.0) -> None:
        parts = urlsplit(url)
        self.url = url
        self._host = parts.hostname or "127.0.0.1"
        self._port = parts.port
        self._token = token
        self._timeout_s = timeout_s

    def health(self) -> dict[str, Any]:
        """The server's version and the number of its runs."""
        return self.call("GET", "/v1/health")

    def create_run(
        self,
        recording: str | None = None,
        *,
        tape: str | None = None,
        settings: Mapping[str, Any] | None = None,
        addresses: str = "ports",
    ) -> "Run":
        """Begin a run of a recording that the daemon has, or of the text of a tape."""
        what = {"recording": recording, "tape": tape, "addresses": addresses, "settings": settings}
        body = {name: value for name, value in what.items() if value is not None}
        return Run(self, self.call("POST", "/v1/runs", body))

    def runs(self) -> list["Run"]:
        """The runs that have not ended."""
        return [Run(self, what) for what in self.call("GET", "/v1/runs")["runs"]]

    def run(self, run_id: str) -> "Run":
        """The run of an id."""
        return Run(self, self.call("GET", f"/v1/runs/{quote(run_id, safe='')}"))

    def call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, patience_s: float = 0.0
    ) -> dict[str, Any]:
        """
        Make one request, and return what it is answered with.

        `patience_s` is how much longer than usual the answer may take. Raises ControlError.
        """
        connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s + patience_s)
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            status, text = response.status, response.read()
        except (OSError, http.client.HTTPException) as exc:
            why = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
            raise ControlError(
                "unreachable", f"the control API at {self.url} does not answer: {why}"
            ) from exc
        finally:
            connection.close()
        return _read(status, text)


class Run:
    """One run of a daemon, by the control API."""

    def __init__(self, client: ControlClient, what: Mapping[str, Any]) -> None:
        self._client = client
        self.id: str = what["id"]
        self.urls: dict[str, str] = dict(what["urls"])
        """Where each upstream's clients connect."""
        self.what = what
        """All that the server said of the run when it was last asked."""
        self._path = f"/v1/runs/{quote(self.id, safe='')}"

    def describe(self) -> dict[str, Any]:
        """Ask how the run stands: its pace, settings, faults, connections."""
        self.what = answer = self._client.call("GET", self._path)
        return answer

    def step(self, **what: Any) -> Stepped:
        """Let pushes go: `messages=`, `method=`, `stream=` or `until_us=`, and `upstream=`."""
        answer = self._post("step", what)
        return Stepped(answer["pushed"], answer["owed"])

    def pause(self) -> None:
        """Hold everything that is not an answer."""
        self._post("pause")

    def resume(self) -> None:
        """Go on after `pause`."""
        self._post("resume")

    def set_pace(self, pace: str) -> None:
        """Change the pace: `asap`, `realtime`, `step`, `x10`, ..."""
        self._post("pace", {"pace": pace})

    def push(self, upstream: str, **what: Any) -> int:
        """Send clients a message: `payload=` or `payload_base64=`; returns to how many it went."""
        connections: int = self._post("push", {"upstream": upstream, **what})["connections"]
        return connections

    def disconnect(self, **what: Any) -> int:
        """End connections: `upstream=`, `code=`, `reason=`, `connection=`; returns how many."""
        connections: int = self._post("disconnect", what)["connections"]
        return connections

    def faults(self) -> list[dict[str, Any]]:
        """The faults that are set."""
        found: list[dict[str, Any]] = self._client.call("GET", f"{self._path}/faults")["faults"]
        return found

    def add_faults(self, *faults: Mapping[str, Any]) -> None:
        """Set these faults besides those that are set."""
        self._post("faults", {"faults": list(faults)})

    def set_faults(self, *faults: Mapping[str, Any]) -> None:
        """Set these faults and no others."""
        self._client.call("PUT", f"{self._path}/faults", {"faults": list(faults)})

    def clear_faults(self) -> None:
        """Set no faults."""
        self._client.call("DELETE", f"{self._path}/faults")

    def journal(self, **filters: Any) -> list[Entry]:
        """All entries so far that the filters let through: `kind=`, `method=`, `upstream=`, ..."""
        entries: list[Entry] = []
        after = filters.pop("after", 0)
        while True:
            page = self._get("journal", **filters, after=after, limit=_PAGE)["entries"]
            entries += map(Entry.of, page)
            if len(page) < _PAGE:
                return entries
            after = entries[-1].number

    def count(self, **filters: Any) -> int:
        """How many entries the filters let through."""
        count: int = self._get("journal/count", **filters)["count"]
        return count

    def wait(self, *, count: int = 1, timeout_s: float, **filters: Any) -> list[Entry]:
        """Wait until so many entries match the filters. Raises ControlError `timeout`."""
        left_s = timeout_s
        while True:
            patience_s = min(left_s, _LONGEST_WAIT_S)
            left_s -= patience_s
            try:
                answer = self._get(
                    "journal/wait", patience_s, **filters, count=count, timeout_s=round(patience_s, 3)
                )
            except ControlError as exc:
                if exc.code != "timeout" or left_s <= 0:
                    raise
            else:
                return [Entry.of(each) for each in answer["entries"]]

    def verdict(self) -> Verdict:
        """How the run compares with the recording so far."""
        return Verdict.of(self._get("verdict"))

    def end(self) -> Verdict:
        """Close the run's connections and forget it; returns its last verdict."""
        return Verdict.of(self._client.call("DELETE", self._path)["verdict"])

    def _post(self, what: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return self._client.call("POST", f"{self._path}/{what}", body or {})

    def _get(self, what: str, patience_s: float = 0.0, **query: Any) -> dict[str, Any]:
        text = urlencode(list(_pairs(query)))
        return self._client.call(
            "GET", f"{self._path}/{what}" + (f"?{text}" if text else ""), patience_s=patience_s
        )


def _pairs(query: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """A query's parameters; a list is one repeated, None one left out."""
    for name, value in query.items():
        if isinstance(value, Sequence) and not isinstance(value, str):
            yield from ((name, str(each)) for each in value)
        elif value is not None:
            yield name, str(value)


def _read(status: int, text: bytes) -> dict[str, Any]:
    try:
        what = json.loads(text)
    except ValueError:
        what = None
    if not isinstance(what, dict):
        raise ControlError("no_json", f"the control API answered {status} and no JSON object", status)
    if status >= http.client.BAD_REQUEST:
        error = what.get("error")
        if not isinstance(error, dict):
            error = {}
        message = error.get("message", f"the control API answered {status}")
        raise ControlError(str(error.get("code", "unknown")), str(message), status)
    return what
