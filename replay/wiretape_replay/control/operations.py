"""The table of everything the control API does; routes and the OpenAPI document are made from it."""

from dataclasses import dataclass
from http import HTTPStatus

FILTERS = ("kind", "upstream", "method", "session", "connection", "after")
_RUN = "/v1/runs/{id}"


@dataclass(frozen=True, slots=True)
class Operation:
    """One method on one path."""

    name: str
    method: str
    path: str
    summary: str
    answer: str
    """The schema of the answer; empty where it is none of ours."""
    body: str | None = None
    query: tuple[str, ...] = ()
    """The parameters in `schemas.PARAMETERS` that it takes."""
    status: HTTPStatus = HTTPStatus.OK
    errors: tuple[HTTPStatus, ...] = ()
    """Besides those that every operation has."""
    events: bool = False
    """The answer is a stream of server-sent events, each with the JSON of `answer`."""


_NOT_FOUND = (HTTPStatus.NOT_FOUND,)
_NOT_NOW = (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)

OPERATIONS = (
    Operation("openapi", "GET", "/v1/openapi.json", "This document.", ""),
    Operation("health", "GET", "/v1/health", "Which wiretape this is, and how much it has to do.", "Health"),
    Operation("list_runs", "GET", "/v1/runs", "All runs.", "Runs"),
    Operation(
        "create_run", "POST", "/v1/runs", "Begin a run of a recording, a session or a tape.", "Run",
        body="NewRun", status=HTTPStatus.CREATED, errors=_NOT_NOW,
    ),
    Operation("get_run", "GET", _RUN, "A run.", "Run", errors=_NOT_FOUND),
    Operation(
        "end_run", "DELETE", _RUN, "End a run: its connections are closed and its memory is freed.", "Ended",
        errors=_NOT_FOUND,
    ),
    Operation(
        "get_verdict", "GET", f"{_RUN}/verdict", "How the client and the recording differ so far.", "Verdict",
        errors=_NOT_FOUND,
    ),
    Operation("step", "POST", f"{_RUN}/step", "Let pushes go.", "Stepped", body="Step", errors=_NOT_NOW),
    Operation("pause", "POST", f"{_RUN}/pause", "Send no more pushes.", "Run", body="Nothing", errors=_NOT_FOUND),
    Operation(
        "resume", "POST", f"{_RUN}/resume", "Go on after a pause.", "Run", body="Nothing", errors=_NOT_FOUND
    ),
    Operation("set_pace", "POST", f"{_RUN}/pace", "Change the pace.", "Run", body="NewPace", errors=_NOT_FOUND),
    Operation(
        "push", "POST", f"{_RUN}/push", "Send a message that is not in the recording.", "Reached",
        body="Push", errors=_NOT_NOW,
    ),
    Operation(
        "disconnect", "POST", f"{_RUN}/disconnect", "End connections.", "Reached",
        body="Disconnect", errors=_NOT_NOW,
    ),
    Operation("get_faults", "GET", f"{_RUN}/faults", "What goes wrong.", "Faults", errors=_NOT_FOUND),
    Operation(
        "set_faults", "PUT", f"{_RUN}/faults", "Let these things go wrong, and no others.", "Faults",
        body="NewFaults", errors=_NOT_FOUND,
    ),
    Operation(
        "add_faults", "POST", f"{_RUN}/faults", "Let these things go wrong as well.", "Faults",
        body="NewFaults", errors=_NOT_NOW,
    ),
    Operation("clear_faults", "DELETE", f"{_RUN}/faults", "Let nothing go wrong.", "Faults", errors=_NOT_FOUND),
    Operation(
        "get_journal", "GET", f"{_RUN}/journal", "What happened, in order.", "Journal",
        query=(*FILTERS, "limit"), errors=_NOT_FOUND,
    ),
    Operation(
        "count_entries", "GET", f"{_RUN}/journal/count", "How many entries there are.", "Count",
        query=FILTERS, errors=_NOT_FOUND,
    ),
    Operation(
        "wait_for_entries", "GET", f"{_RUN}/journal/wait", "Wait for entries, the earliest of them; a long poll.",
        "Waited", query=(*FILTERS, "count", "timeout_s"), errors=(*_NOT_NOW, HTTPStatus.REQUEST_TIMEOUT),
    ),
    Operation(
        "stream_journal", "GET", f"{_RUN}/journal/stream", "Entries as they come, as server-sent events.",
        "Entry", query=FILTERS, errors=_NOT_FOUND, events=True,
    ),
)  # fmt: skip
