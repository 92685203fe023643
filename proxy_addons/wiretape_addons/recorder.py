"""
Runs a recorder: mitmproxy in a master of its own, with only the addons that a tap needs.

The order of ending is here: stop listening and relaying, let the writer store everything, report.
"""

import asyncio
import logging
import os
import signal
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mitmproxy.addons import next_layer, tlsconfig
from mitmproxy.addons.core import Core
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.master import Master
from mitmproxy.options import Options
from mitmproxy.proxy import server

from wiretape_addons.clock import now_us
from wiretape_addons.outlet import Outlet, OutletSettings
from wiretape_addons.tap import Tap, place_of
from wiretape_addons.upstreams import Target
from wiretape_protocols import RedactionRule, WiretapeError
from wiretape_store import KeepWire, UpstreamSpec

# mitmproxy ends connections that were silent for this long; a subscription may be silent for days.
_NEVER_S = 10 * 365 * 86_400
_CLOSE_DEADLINE_S = 5.0


class ListenError(WiretapeError):
    """An address cannot be listened on."""

    def __init__(self, host: str, port: int, why: str) -> None:
        super().__init__(host, port, why)
        self.host, self.port, self.why = host, port, why

    def __str__(self) -> str:
        return f"cannot listen on {self.host}:{self.port} ({self.why}): choose another address with --listen"


@dataclass(frozen=True, slots=True)
class RecorderSettings:
    """What `wiretape record` is told."""

    targets: Sequence[Target]
    listen: Sequence[tuple[str, int]]
    store: str
    recording: str | None = None
    insecure: bool = False
    """Do not verify the certificates of wss:// upstreams."""
    upstream_ca: str | None = None
    """A PEM file with the certificates to verify them by."""
    pass_unrecorded: bool = False
    """Relay on when the store cannot be written, and record the gap when it can again."""
    redaction_rules: tuple[RedactionRule, ...] = ()
    """What is replaced besides the protocols' secrets; their variables are those of this process."""
    keep_wire: KeepWire = KeepWire.NEEDED


@dataclass(frozen=True, slots=True)
class Listener:
    """Where the clients of one upstream connect."""

    upstream: str
    protocol: str
    url: str


@dataclass(frozen=True, slots=True)
class Ready:
    """Everything listens and the store is open."""

    recording: str
    listeners: tuple[Listener, ...]


async def run_recorder(
    settings: RecorderSettings, on_ready: Callable[[Ready], None], on_warning: Callable[[str], None]
) -> None:
    """
    Record until SIGINT or SIGTERM; everything is stored when this returns.

    Raises ListenError before anything is recorded, and RecordingStoppedError when the store cannot be
    written, after closing the connections: unrecorded traffic must not pass for recorded. `on_warning`
    gets a sentence when recording goes on, but not as it should.
    """
    stop = asyncio.Event()
    outlet_settings = OutletSettings(
        pass_unrecorded=settings.pass_unrecorded,
        redaction_rules=settings.redaction_rules,
        keep_wire=settings.keep_wire,
    )
    outlet = Outlet(lambda _: stop.set(), outlet_settings, on_warning=on_warning)
    error: WiretapeError | None = None
    with tempfile.TemporaryDirectory(prefix="wiretape-") as confdir:
        proxyserver = Proxyserver()
        tap = Tap(outlet, settings.targets, proxyserver)
        listening = asyncio.Event()
        master = _master(settings, confdir, proxyserver, tap, _Running(listening))
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(master.run())
            try:
                await listening.wait()
                await _record(settings, proxyserver, outlet, tap, on_ready)
                await stop.wait()
            except WiretapeError as exc:
                error = exc
            tap.stop()
            await _disconnect(proxyserver)
            master.shutdown()
            try:
                await outlet.stop(now_us())
            except WiretapeError as exc:
                error = error or exc
    if error is not None:
        raise error


async def _record(
    settings: RecorderSettings,
    proxyserver: Proxyserver,
    outlet: Outlet,
    tap: Tap,
    on_ready: Callable[[Ready], None],
) -> None:
    """Open the store for what listens, and let the clients in."""
    addresses = [
        _address(proxyserver, mode, at) for mode, at in zip(_modes(settings), settings.listen, strict=True)
    ]
    upstreams = [
        UpstreamSpec(target.name, target.protocol, target.url, address)
        for target, address in zip(settings.targets, addresses, strict=True)
    ]
    name = await outlet.start(settings.store, settings.recording, upstreams)
    logging.getLogger("mitmproxy").addHandler(_errors_to_stderr())
    tap.let_in()
    on_ready(Ready(name, tuple(Listener(u.name, u.protocol, f"ws://{u.listen}") for u in upstreams)))


def _modes(settings: RecorderSettings) -> list[str]:
    return [
        f"reverse:{place_of(number)}@{host}:{port}" for number, (host, port) in enumerate(settings.listen)
    ]


def _address(proxyserver: Proxyserver, mode: str, asked: tuple[str, int]) -> str:
    """Where a listener really is, as HOST:PORT. Raises ListenError when it is not."""
    instance = proxyserver.servers[mode]
    if not instance.is_running or not instance.listen_addrs:
        exc = instance.last_exception
        # The text of asyncio's own error holds the address once more; the system's is looked up.
        number = exc.errno if isinstance(exc, OSError) else None
        why = os.strerror(number) if number else str(exc)
        raise ListenError(*asked, why)
    host, port = instance.listen_addrs[0][:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _master(settings: RecorderSettings, confdir: str, *addons: object) -> Master:
    """A mitmproxy that relays and calls the tap, and does nothing else."""
    master = Master(Options(mode=_modes(settings), confdir=confdir))
    master.addons.add(Core(), next_layer.NextLayer(), *addons)
    if any(target.tls for target in settings.targets):
        # Only then, since it makes a certificate authority, which takes a while.
        master.addons.add(tlsconfig.TlsConfig())
    master.options.update(
        websocket=False,
        rawtcp=True,
        http2=False,
        connection_strategy="lazy",
        keep_host_header=True,
        ssl_insecure=settings.insecure,
        ssl_verify_upstream_trusted_ca=settings.upstream_ca,
    )
    if "tcp_timeout" in master.options:
        master.options.update(tcp_timeout=_NEVER_S)
    else:
        # mitmproxy 12.2.0 and 12.2.1 have a constant where later ones have the option.
        server.TCP_TIMEOUT = _NEVER_S  # type: ignore[attr-defined]
    return master


class _Running:
    """Says when mitmproxy has tried to listen."""

    def __init__(self, listening: asyncio.Event) -> None:
        self._listening = listening

    def running(self) -> None:
        """Called by mitmproxy once its servers are set up or have failed."""
        self._listening.set()


async def _disconnect(proxyserver: Proxyserver) -> None:
    """Stop listening and close every connection, so that nothing passes after the last record."""
    await proxyserver.servers.update([])
    handlers = [
        transport.handler
        for connection in list(proxyserver.connections.values())
        for transport in list(connection.transports.values())
        if transport.handler is not None
    ]
    for handler in handlers:
        handler.cancel("the recorder ends")
    if handlers:
        await asyncio.wait(handlers, timeout=_CLOSE_DEADLINE_S)


def _errors_to_stderr() -> logging.Handler:
    handler = logging.StreamHandler()
    handler.setLevel(logging.ERROR)
    handler.setFormatter(logging.Formatter("mitmproxy: %(message)s"))
    return handler
