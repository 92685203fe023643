"""What each operation does: a request in, an answer out."""

import time
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from wiretape_protocols import Opcode
from wiretape_replay.control.bodies import read_body, read_number, read_query
from wiretape_replay.control.errors import ConflictError, MalformedError, RequestError
from wiretape_replay.control.openapi import DOCUMENT
from wiretape_replay.control.operations import OPERATIONS, Operation
from wiretape_replay.control.schemas import LONGEST_REASON, MOST_FAULTS, PARAMETERS
from wiretape_replay.control.settings import ControlSettings
from wiretape_replay.control.shapes import (
    ended_object,
    fault_objects,
    read_faults_of,
    read_filter,
    read_payload,
    read_wanted,
    run_object,
    upstream_named,
    verdict_object,
)
from wiretape_replay.control.waiting import EventStream, Waited, wait_for
from wiretape_replay.run import Run
from wiretape_replay.runs import LiveRun, Runs
from wiretape_replay.settings import Pace
from wiretape_replay.stepping import Step

_OPCODES = {None: None, "text": Opcode.TEXT, "binary": Opcode.BINARY}
_BY_NAME = {operation.name: operation for operation in OPERATIONS}
Object = dict[str, Any]


class Routes:
    """
    A method for each operation, under its name.

    They raise RequestError and what `runs` raises; `app` makes answers of that.
    """

    def __init__(self, runs: Runs, settings: ControlSettings, version: str) -> None:
        self._runs = runs
        self._settings = settings
        self._version = version

    def all(self) -> Sequence[Route]:
        """Every operation as Starlette's router takes it."""
        routes = [Route(each.path, self._endpoint(each), methods=[each.method]) for each in OPERATIONS]
        for route, operation in zip(routes, OPERATIONS, strict=True):
            # Starlette adds HEAD to GET, and a HEAD of an event stream would never end.
            route.methods = {operation.method}
        return routes

    async def _openapi(self, _: Request) -> Response:
        return JSONResponse(DOCUMENT)

    async def _health(self, _: Request) -> Response:
        return JSONResponse({"version": self._version, "runs": len(self._runs)})

    async def _list_runs(self, request: Request) -> Response:
        return JSONResponse({"runs": [run_object(live, request.url.hostname) for live in self._runs]})

    async def _create_run(self, request: Request) -> Response:
        given = await self._body(request, "create_run")
        live = await self._runs.begin(read_wanted(given, self._settings.run_stopping_us))
        return JSONResponse(run_object(live, request.url.hostname), HTTPStatus.CREATED)

    async def _get_run(self, request: Request) -> Response:
        return JSONResponse(run_object(self._run(request), request.url.hostname))

    async def _end_run(self, request: Request) -> Response:
        live = await self._runs.end(request.path_params["id"])
        return JSONResponse(ended_object(live, time.time_ns() // 1000))

    async def _get_verdict(self, request: Request) -> Response:
        return JSONResponse(verdict_object(self._run(request).verdict()))

    async def _step(self, request: Request) -> Response:
        given = await self._body(request, "step")
        run = self._run(request).run
        upstream, connection = given.pop("upstream", None), given.pop("connection", None)
        pushed, owed = run.step(Step(**given), upstream=upstream, connection=connection)
        return JSONResponse({"pushed": pushed, "owed": owed})

    async def _pause(self, request: Request) -> Response:
        await self._body(request, "pause")
        live = self._run(request)
        live.run.pause()
        return JSONResponse(run_object(live, request.url.hostname))

    async def _resume(self, request: Request) -> Response:
        await self._body(request, "resume")
        live = self._run(request)
        live.run.resume()
        return JSONResponse(run_object(live, request.url.hostname))

    async def _set_pace(self, request: Request) -> Response:
        given = await self._body(request, "set_pace")
        live = self._run(request)
        live.run.set_pace(Pace.parse(given["pace"]))
        return JSONResponse(run_object(live, request.url.hostname))

    async def _push(self, request: Request) -> Response:
        given = await self._body(request, "push")
        run = self._run(request).run
        upstream, opcode = upstream_named(run, given.get("upstream")), _OPCODES[given.get("opcode")]
        count = run.push(upstream, read_payload(given), opcode, connection=given.get("connection"))
        return JSONResponse({"connections": count})

    async def _disconnect(self, request: Request) -> Response:
        given = await self._body(request, "disconnect")
        run = self._run(request).run
        if len(given.get("reason", "").encode()) > LONGEST_REASON:
            raise MalformedError(f"reason is too long: a close frame has room for {LONGEST_REASON} bytes")
        return JSONResponse({"connections": run.disconnect(**given)})

    async def _get_faults(self, request: Request) -> Response:
        return self._faults(self._run(request).run)

    async def _set_faults(self, request: Request) -> Response:
        given = await self._body(request, "set_faults")
        run = self._run(request).run
        run.set_faults(read_faults_of(given["faults"], "faults"))
        return self._faults(run)

    async def _add_faults(self, request: Request) -> Response:
        given = await self._body(request, "add_faults")
        run = self._run(request).run
        faults = run.faults + read_faults_of(given["faults"], "faults")
        if len(faults) > MOST_FAULTS:
            raise ConflictError(
                "too_many_faults", f"a run has {MOST_FAULTS} faults at most: clear some first"
            )
        run.set_faults(faults)
        return self._faults(run)

    async def _clear_faults(self, request: Request) -> Response:
        run = self._run(request).run
        run.set_faults(())
        return self._faults(run)

    @staticmethod
    def _faults(run: Run) -> Response:
        return JSONResponse({"faults": fault_objects(run.faults)})

    async def _get_journal(self, request: Request) -> Response:
        live, query = self._queried(request, "get_journal")
        journal = live.run.journal
        entries = read_filter(query, live.run).first(journal, query["limit"])
        return JSONResponse({"entries": [each.to_object() for each in entries], "last": journal.count})

    async def _count_entries(self, request: Request) -> Response:
        live, query = self._queried(request, "count_entries")
        count = sum(1 for _ in read_filter(query, live.run).of(live.run.journal))
        return JSONResponse({"count": count})

    async def _wait_for_entries(self, request: Request) -> Response:
        live, query = self._queried(request, "wait_for_entries")
        wanted = read_filter(query, live.run)
        count, timeout_s = query["count"], query["timeout_s"]
        waited, entries = await wait_for(live.watched, request.receive, wanted, count, timeout_s)
        if waited is Waited.DEADLINE:
            sentence = (
                f"{len(entries)} of {count} entries came within {timeout_s:g} s: look at the journal for "
                "what came instead, or wait longer"
            )
            raise RequestError(HTTPStatus.REQUEST_TIMEOUT, "timeout", sentence)
        if waited is Waited.OVER:
            raise ConflictError(
                "run_ended", f"{live.id} has ended, and {len(entries)} of {count} entries came"
            )
        return JSONResponse({"entries": [each.to_object() for each in entries]})

    async def _stream_journal(self, request: Request) -> Response:
        live, query = self._queried(request, "stream_journal")
        if (last := request.headers.get("last-event-id")) is not None:
            query["after"] = read_number(last, PARAMETERS["after"], "the header Last-Event-ID")
        return EventStream(
            live.watched,
            read_filter(query, live.run),
            heartbeat_s=self._settings.heartbeat_s,
            patience_s=self._settings.patience_s,
        )

    def _endpoint(self, operation: Operation) -> Callable[[Request], Awaitable[Response]]:
        serve: Callable[[Request], Awaitable[Response]] = getattr(self, f"_{operation.name}")

        async def endpoint(request: Request) -> Response:
            if not operation.query:
                read_query(request.query_params.multi_items(), ())
            return await serve(request)

        return endpoint

    def _run(self, request: Request) -> LiveRun:
        return self._runs.find(request.path_params["id"])

    def _queried(self, request: Request, operation: str) -> tuple[LiveRun, Object]:
        live = self._run(request)
        return live, read_query(request.query_params.multi_items(), _BY_NAME[operation].query)

    async def _body(self, request: Request, operation: str) -> Object:
        schema = _BY_NAME[operation].body
        assert schema is not None
        return await read_body(request, schema, self._settings.body_bytes)
