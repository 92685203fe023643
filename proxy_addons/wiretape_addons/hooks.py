"""
The recorder under somebody else's mitmproxy: fed by the `websocket_*` hooks.

mitmproxy, mitmdump and mitmweb need those hooks for their own views, so the connection is not a raw
stream there. What they hide is not recorded: pings, pongs, fragments and compressed frames.
"""

import logging
import os
import time
from collections.abc import Sequence
from typing import Any

from mitmproxy import ctx, exceptions, http
from mitmproxy.proxy import server_hooks

from wiretape_addons.brake import brake
from wiretape_addons.clock import now_us
from wiretape_addons.feed import Ending, Opening
from wiretape_addons.handshakes import is_upgrade, opening_of
from wiretape_addons.outlet import Outlet, OutletSettings, RecordingStoppedError
from wiretape_addons.upstreams import Target, parse_targets
from wiretape_protocols import RedactionRule, WiretapeError, doubts_about, require_values, rules_of
from wiretape_store import UpstreamSpec, shown

logger = logging.getLogger(__name__)

# In the order in which `rules_of` takes them.
_RULE_OPTIONS = {
    "wiretape_redact": "Replace members of messages too, as METHOD:POINTER, such as login:/params/password.",
    "wiretape_redact_header": "Replace header fields of this name too.",
    "wiretape_redact_regex": "Replace what this pattern finds too: its groups, or all of it.",
    "wiretape_redact_env": "Replace the value of this environment variable, wherever it stands.",
}


class HookRecorder:
    """Records the WebSocket connections to the upstreams that the options name."""

    def __init__(self) -> None:
        self._outlet: Outlet | None = None
        self._targets: Sequence[Target] = ()
        self._rules: tuple[RedactionRule, ...] = ()
        # Handshakes under way, by flow id: when they began, what was asked for, and the client's connection.
        self._asked: dict[str, tuple[int, str, str]] = {}
        # The keys of open connections, by flow id.
        self._keys: dict[str, int] = {}
        self._next_key = 0

    def load(self, loader: Any) -> None:
        """Declare the options."""
        loader.add_option("wiretape_store", str, "wiretape.db", "Where to record: a path or a database URL.")
        loader.add_option(
            "wiretape_recording", str, "", "The recording's name; made from the time when empty."
        )
        loader.add_option(
            "wiretape_upstreams",
            Sequence[str],
            [],
            "The upstreams to record, as NAME[:PROTOCOL]=URL. Traffic to others passes unrecorded.",
        )

        for name, what in _RULE_OPTIONS.items():
            loader.add_option(name, Sequence[str], [], what)

    def configure(self, updated: set[str]) -> None:
        """Read the upstreams and the rules."""
        try:
            if "wiretape_upstreams" in updated:
                self._targets = parse_targets(ctx.options.wiretape_upstreams)
            if updated & _RULE_OPTIONS.keys():
                self._rules = rules_of(*(getattr(ctx.options, name) for name in _RULE_OPTIONS))
                require_values(self._rules, os.environ)
        except WiretapeError as exc:
            raise exceptions.OptionsError(str(exc)) from exc

    async def running(self) -> None:
        """Open the store once the proxy runs."""
        if not self._targets:
            logger.error(
                "wiretape records nothing: set wiretape_upstreams, such as hotbit=wss://ws.hotbit.io"
            )
            return
        for doubt in doubts_about(self._rules, os.environ):
            logger.warning("wiretape: %s", doubt)
        outlet = Outlet(self._fail, OutletSettings(redaction_rules=self._rules))
        upstreams = [UpstreamSpec(t.name, t.protocol, t.url, "") for t in self._targets]
        try:
            name = await outlet.start(
                ctx.options.wiretape_store, ctx.options.wiretape_recording or None, upstreams
            )
        except RecordingStoppedError as exc:
            self._fail(str(exc))
            return
        self._outlet = outlet
        logger.info("wiretape records %s into %s", name, shown(ctx.options.wiretape_store))

    async def done(self) -> None:
        """Store everything before mitmproxy ends."""
        if self._outlet is not None:
            try:
                await self._outlet.stop(now_us())
            except RecordingStoppedError as exc:
                logger.error("wiretape: %s", exc)  # noqa: TRY400 - the sentence is all there is to say

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Remember when a handshake began."""
        if self._outlet is not None and is_upgrade(flow) and self._number(flow) is not None:
            self._asked[flow.id] = (now_us(), flow.request.path, flow.client_conn.id)

    def response(self, flow: http.HTTPFlow) -> None:
        """A 101 opens a session, anything else is a refused one."""
        key = self._open(flow, None)
        if key is None or self._outlet is None or flow.response is None:
            return
        if flow.response.status_code == 101:
            self._keys[flow.id] = key
            brake(ctx.master.addons.get("proxyserver"), flow.client_conn.id, self._outlet.room)
        else:
            self._outlet.end(key, Ending(from_client=False), now_us())

    def error(self, flow: http.HTTPFlow) -> None:
        """There will be no answer."""
        key = self._open(flow, flow.error.msg if flow.error else "no answer")
        if key is not None and self._outlet is not None:
            self._outlet.end(key, Ending(None), now_us())

    def server_connect_error(self, data: server_hooks.ServerConnectionHookData) -> None:
        """
        An upstream cannot be reached.

        With mitmproxy's eager strategy that comes before any request, so nothing is known of the
        handshake; a request that waits for the connection is told by `error` instead.
        """
        if self._outlet is None or any(asked[2] == data.client.id for asked in self._asked.values()):
            return
        number = self._number_at(data.server.address)
        if number is not None:
            opening = Opening(
                number, time.time_ns() // 1000, "", [], None, [], "", data.server.error or "no connection"
            )
            self._outlet.open(self._next_key, opening, now_us())
            self._outlet.end(self._next_key, Ending(None), now_us())
            self._next_key += 1

    def websocket_message(self, flow: http.HTTPFlow) -> None:
        """A whole message passes."""
        key = self._keys.get(flow.id)
        if key is None or self._outlet is None or flow.websocket is None:
            return
        message = flow.websocket.messages[-1]
        self._outlet.message(
            key, message.content, int(message.type), from_client=message.from_client, at_us=now_us()
        )

    def websocket_end(self, flow: http.HTTPFlow) -> None:
        """The connection is over; 1006 is mitmproxy's word for an end without a close frame."""
        key = self._keys.pop(flow.id, None)
        if key is None or self._outlet is None or flow.websocket is None:
            return
        data = flow.websocket
        code = None if data.close_code in {None, 1006} else data.close_code
        self._outlet.end(key, Ending(data.closed_by_client, code, data.close_reason or None), now_us())

    def _open(self, flow: http.HTTPFlow, unreachable: str | None) -> int | None:
        asked = self._asked.pop(flow.id, None)
        number = self._number(flow)
        if asked is None or number is None or self._outlet is None:
            return None
        key = self._next_key
        self._next_key += 1
        body = (flow.response.raw_content or b"") if flow.response else b""
        self._outlet.open(key, opening_of(flow, number, asked[1], body, unreachable), asked[0])
        return key

    def _number(self, flow: http.HTTPFlow) -> int | None:
        return self._number_at((flow.request.host, flow.request.port))

    def _number_at(self, address: tuple[str, int] | None) -> int | None:
        """Which upstream has this address; None for none of ours."""
        for number, target in enumerate(self._targets):
            if address is not None and address[:2] == (target.host, target.port):
                return number
        return None

    def _fail(self, text: str) -> None:
        """Recording ends loudly: unrecorded traffic must not pass for recorded."""
        logger.error("wiretape stops, and mitmproxy with it: %s", text)
        ctx.master.shutdown()
