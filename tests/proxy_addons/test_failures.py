"""What a recorder does when something under it breaks: nothing handed over is lost, nothing is silent."""

import asyncio
import os
import signal
import ssl
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

from recorders import recorder
from wiretape.daemon import DaemonError, daemon_beside
from wiretape_addons import Outlet, OutletSettings, RecordingStoppedError
from wiretape_addons.feed import Ending, Opening
from wiretape_store import EndKind, StoreReader, UpstreamSpec


async def echo(server: ServerConnection) -> None:
    async for message in server:
        await server.send(message)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_killed_recorder_leaves_everything_it_handed_over(tmp_path: Path) -> None:
    async def run() -> int:
        async with serve(echo, "127.0.0.1", 0, ping_interval=None) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            arguments = [
                "record",
                f"e:opaque={url}",
                "--listen",
                "127.0.0.1:0",
                "--store",
                str(tmp_path / "a.db"),
            ]
            writer = 0
            with pytest.raises(DaemonError):  # noqa: PT012 - it is raised when the block is left
                async with daemon_beside(arguments) as running:
                    (writer,) = children(running.process.pid)
                    connection = await connect(running.urls["e"], proxy=None, ping_interval=None)
                    for number in range(300):
                        await connection.send(str(number))
                        assert await connection.recv() == str(number)
                    running.process.kill()
                    with pytest.raises(ConnectionClosed):
                        await connection.recv()
            return writer

    writer = asyncio.run(run())
    # The writer ends by itself, once it has stored what it was handed.
    while Path(f"/proc/{writer}").exists() and b"intake" in Path(f"/proc/{writer}/cmdline").read_bytes():
        os.sched_yield()

    with StoreReader(str(tmp_path / "a.db")) as reader:
        (session,) = reader.sessions()
        wires = [message.wire for message in reader.messages(session.id)]
    assert wires == [str(number).encode() for number in range(300) for _ in range(2)]
    assert session.end.kind is EndKind.INTERRUPTED


def test_a_killed_writer_stops_the_recorder_loudly(tmp_path: Path) -> None:
    async def run() -> None:
        async with serve(echo, "127.0.0.1", 0, ping_interval=None) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            arguments = [
                "record",
                f"e:opaque={url}",
                "--listen",
                "127.0.0.1:0",
                "--store",
                str(tmp_path / "a.db"),
            ]
            words = "the writer's process ended before everything was stored"
            with pytest.raises(DaemonError, match=words):  # noqa: PT012 - raised when the block is left
                async with daemon_beside(arguments) as running:
                    connection = await connect(running.urls["e"], proxy=None, ping_interval=None)
                    (writer,) = children(running.process.pid)
                    os.kill(writer, signal.SIGKILL)
                    # Unrecorded traffic must not pass for recorded: the connection goes with the writer.
                    with pytest.raises(ConnectionClosed):
                        await connection.recv()

    asyncio.run(run())


def start_record(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "wiretape", "record", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    async def run() -> subprocess.CompletedProcess[str]:
        async with serve(echo, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            listen = ["--listen", f"127.0.0.1:{port}", "--store", str(tmp_path / "a.db")]
            return await asyncio.to_thread(start_record, "a=ws://127.0.0.1:9", *listen)

    done = asyncio.run(run())

    assert done.returncode == 1
    assert done.stderr.startswith("wiretape: cannot listen on 127.0.0.1:")
    assert "choose another address with --listen" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "a.db").exists()


def test_a_store_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    done = start_record(
        "a=ws://127.0.0.1:9", "--listen", "127.0.0.1:0", "--store", str(tmp_path / "no" / "a.db")
    )

    assert done.returncode == 1
    assert str(tmp_path / "no" / "a.db") in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_recording_name_is_used_once(tmp_path: Path) -> None:
    async def run() -> subprocess.CompletedProcess[str]:
        async with serve(echo, "127.0.0.1", 0) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with recorder("tap", {"a:opaque": url}, tmp_path / "a.db", name="once"):
                pass
            again = ["--store", str(tmp_path / "a.db"), "--recording", "once", "--listen", "127.0.0.1:0"]
            return await asyncio.to_thread(start_record, f"a={url}", *again)

    done = asyncio.run(run())

    assert done.returncode == 1
    assert "once" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_writer_that_falls_behind_slows_the_connection_and_loses_nothing(tmp_path: Path) -> None:
    store = str(tmp_path / "a.db")
    chunk = b"\x82\x7e\xff\xff" + b"x" * 65535

    async def run() -> int:
        outlet = Outlet(pytest.fail, OutletSettings(queue_bytes=200_000))
        await outlet.start(store, "slow", [UpstreamSpec("a", "opaque", "ws://x", "")])
        outlet.open(0, Opening(0, 1, "/", [], 101, [], "", None), 1)
        for _ in range(200):
            outlet.data(0, chunk, from_client=False, at_us=2)
            await outlet.room()
        outlet.end(0, Ending(from_client=False), 3)
        await outlet.stop(4)
        return outlet.waits

    waits = asyncio.run(run())

    with StoreReader(store) as reader:
        (session,) = reader.sessions()
        assert sum(len(message.wire) for message in reader.messages(session.id)) == 200 * 65535
    assert waits > 0


def test_a_writer_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(b"not a database" * 100)

    async def run() -> None:
        outlet = Outlet(lambda _: None)
        with pytest.raises(RecordingStoppedError, match=r"a\.db"):
            await outlet.start(str(tmp_path / "a.db"), None, [UpstreamSpec("a", "opaque", "ws://x", "")])

    asyncio.run(run())

    assert (tmp_path / "a.db").read_bytes() == b"not a database" * 100


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A self-signed certificate of localhost and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert_file.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return cert_file, key_file


@pytest.mark.parametrize(
    ("trust", "kind"),
    [
        pytest.param([], EndKind.UNREACHABLE, id="not-trusted"),
        pytest.param(["--insecure"], EndKind.CLOSED, id="insecure"),
        pytest.param(["--upstream-ca"], EndKind.CLOSED, id="own-ca"),
    ],
)
def test_wss_upstreams_are_verified_unless_told_otherwise(
    trust: list[str], kind: EndKind, certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    cert_file, key_file = certificate
    options = [*trust, str(cert_file)] if trust == ["--upstream-ca"] else trust
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert_file, key_file)

    async def run() -> None:
        async with serve(echo, "127.0.0.1", 0, ssl=context) as server:
            url = f"wss://localhost:{server.sockets[0].getsockname()[1]}"
            async with recorder("tap", {"a:opaque": url}, tmp_path / "a.db", options=options) as urls:
                if kind is EndKind.UNREACHABLE:
                    with pytest.raises(InvalidStatus):
                        await connect(urls["a"], proxy=None)
                    return
                async with connect(urls["a"], proxy=None) as connection:
                    await connection.send("over TLS")
                    assert await connection.recv() == "over TLS"

    asyncio.run(run())

    with StoreReader(str(tmp_path / "a.db")) as reader:
        (session,) = reader.sessions()
    assert session.end.kind is kind
