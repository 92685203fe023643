"""A session with secrets in every place: none is left anywhere, and the live ones still match at replay."""

import asyncio
import base64
import gzip
import json
import sqlite3
import zlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from click.testing import CliRunner
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.http11 import Request, Response

from recorders import FEEDS, recorder
from wiretape.daemon import daemon
from wiretape.main import wiretape
from wiretape_protocols import decode
from wiretape_store import StoreReader
from wiretape_store.chunks import Packer

SECRETS = {
    "bearer": "bearer-zzq81-4f",
    "cookie": "cookie-hh2-91ba",
    "set-cookie": "setcookie-77-aa01",
    "query": "query-pp9-31c7",
    "url": "urlkey-0a-55f2",
    "key": "k-3f9a7c-0042",
    "sign": "5EBE2294ECD0E0F08EAB7690D2A6EE69",
    "custom": "custom-hdr-8812",
    "variable": 'p/a"ss wörd+123',
    "account": "acct-90817263",
    "pin": "pin-71625344",
}
RULES = (
    ("redact", "*:/params/*/pin"),
    ("redact", "order.query:/result/pins/*"),
    ("redact-header", "X-Custom"),
    ("redact-regex", "acct-[0-9]+"),
    ("redact-env", "TEST_WIRETAPE_SECRET"),
)
FORMATS = ("tape", "har", "flow", "csv", "jsonl")
_DEADLINE_S = 30


def forms(secret: str) -> Iterator[bytes]:
    """A secret as itself and as encodings may hide it."""
    plain = secret.encode()
    yield plain
    yield json.dumps(secret)[1:-1].encode()
    yield json.dumps(json.dumps(secret)[1:-1])[1:-1].encode()
    yield from (quote(secret, safe=safe).encode() for safe in ("", "/", "/+"))
    yield from (plain.hex().encode(), plain.hex().upper().encode())
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + plain)[4 if before else 0 :]
        yield encoded[: (len(plain) - 3) // 3 * 4]


def leaks(text: bytes) -> list[str]:
    """The names of the secrets that are anywhere in these bytes."""
    return [name for name, secret in SECRETS.items() if any(form in text for form in forms(secret))]


def unpacked(data: bytes) -> bytes:
    """What bytes hold, if they are packed."""
    return decode(data).payload


def inside(store: Path) -> Iterator[bytes]:
    """All that the tables of a store hold, chunks unpacked, whatever they are packed with."""
    connection = sqlite3.connect(store)
    packer = Packer()
    try:
        tables = [
            name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")
        ]
        for table in tables:
            for row in connection.execute(f'select * from "{table}"'):
                yield repr(row).encode()
                yield from (unpacked(value) for value in row if isinstance(value, bytes))
        for (data,) in connection.execute("select data from chunk"):
            for _, piece in packer.unpack(data):
                yield piece
                yield unpacked(piece)
    finally:
        connection.close()


def answer(number: int, result: object, **more: object) -> bytes:
    return json.dumps({"error": None, "result": result, "id": number, **more}).encode()


async def upstream(server: ServerConnection) -> None:
    """An exchange that repeats whatever it was told in confidence."""
    s = SECRETS
    async for message in server:
        request = json.loads(gzip.decompress(message) if isinstance(message, bytes) else message)
        if request["method"] == "server.auth":
            push = {"method": "asset.update", "params": [{"pin": s["pin"], "by": s["key"]}], "id": None}
            await server.send(gzip.compress(json.dumps(push).encode()))
            await server.send(gzip.compress(answer(1, {"status": "success"})))
        elif request["method"] == "order.query":
            result = {"pins": [s["pin"]], "of": s["account"], "nested": json.dumps({"x": s["variable"]})}
            await server.send(zlib.compress(answer(2, result)))
        else:
            news = {
                "method": "news.update",
                "params": [s["bearer"], s["cookie"], s["set-cookie"]],
                "id": None,
            }
            await server.send(json.dumps(news))
            twice = gzip.compress(s["variable"].encode()) + gzip.compress(b"another member")
            await server.send(twice)
            await server.send(answer(3, quote(s["variable"])).decode())


def respond(_: ServerConnection, request: Request) -> Response | None:
    if "/refuse" not in request.path:
        return None
    body = gzip.compress(f"no {SECRETS['bearer']} {SECRETS['variable']} {SECRETS['account']}".encode())
    headers = {"Content-Encoding": "gzip", "Content-Length": str(len(body)), "X-Token": SECRETS["pin"]}
    return Response(403, "Forbidden", Headers(headers), body)


async def give_cookie(_: ServerConnection, __: Request, response: Response) -> None:
    response.headers["Set-Cookie"] = f"session={SECRETS['set-cookie']}; Path=/"


async def client(url: str) -> list[str | bytes]:
    """Do what the live client does, at recording and at replay alike; what it got."""
    s = SECRETS
    target = f"/ws/{quote(s['variable'], safe='')}?token={s['query']}&a={s['account']}"
    headers = {
        "Authorization": f"Bearer {s['bearer']}",
        "Cookie": f"session={s['cookie']}; lang=en",
        "X-Custom": s["custom"],
        "X-Note": s["account"],
    }
    got: list[str | bytes] = []
    async with connect(
        url + target, additional_headers=headers, proxy=None, ping_interval=None
    ) as connection:
        auth = {"method": "server.auth", "params": [s["key"], s["sign"]], "id": 1}
        await connection.send(json.dumps(auth))
        got += [await connection.recv() for _ in range(2)]
        query = {"method": "order.query", "params": [s["variable"], s["account"], {"pin": s["pin"]}], "id": 2}
        await connection.send(json.dumps(query, ensure_ascii=False))
        got.append(await connection.recv())
        again = {"method": "asset.query", "params": [s["variable"], s["sign"], s["bearer"]], "id": 3}
        await connection.send(gzip.compress(json.dumps(again).encode()))
        got += [await connection.recv() for _ in range(3)]
        await (await connection.ping(s["variable"].encode()))
        await connection.close(4001, f"bye {s['variable']} {s['key']} {s['account']}")
    with pytest.raises(InvalidStatus):
        await connect(f"{url}/refuse?token={s['query']}", additional_headers=headers, proxy=None)
    return got


async def written_ahead(store: Path) -> bytes:
    """The store's files as soon as the recorder has written both sessions, while it still runs."""
    async with asyncio.timeout(_DEADLINE_S):
        while True:
            with StoreReader(str(store)) as reader:
                if [session.end.code for session in reader.sessions()] == [4001, 403]:
                    break
            await asyncio.sleep(0)
    return b"".join(path.read_bytes() for path in store.parent.glob("*.db*"))


def command_lines_of(module: str) -> bytes:
    """The command lines of all processes that run a module."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes())
        except OSError:
            continue
    return b"".join(line for line in found if module.encode() in line)


async def record(feed: str, store: Path) -> tuple[list[str | bytes], list[bytes]]:
    """Record the session; what the client got, and whatever could be seen meanwhile."""
    said: list[str] = []

    async def handle(server: ServerConnection) -> None:
        try:
            await upstream(server)
        except ConnectionClosed:
            return

    async with serve(
        handle, "127.0.0.1", 0, process_request=respond, process_response=give_cookie, ping_interval=None
    ) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        if feed == "tap":
            url += f"/v1?apikey={SECRETS['url']}"
        async with recorder(feed, {"hotbit": url}, store, rules=RULES, said=said) as urls:
            got = await client(urls["hotbit"])
            seen = [await written_ahead(store), command_lines_of("wiretape_addons.intake")]
            assert b"wiretape_addons.intake" in seen[1]
    # mitmdump prints each request for its user, as it does without wiretape.
    ours = [line for line in "".join(said).splitlines() if feed == "tap" or "wiretape" in line]
    return got, [*seen, "\n".join(ours).encode()]


def exported(store: Path, folder: Path) -> Iterator[bytes]:
    """What the commands print and export, unpacked where it is packed."""
    runner = CliRunner()
    with StoreReader(str(store)) as reader:
        ids = [session.id for session in reader.sessions()]
    shown = [["show", session, *how] for session in ids for how in ([], ["--json"], ["--raw"])]
    for arguments in (*shown, ["sessions"], ["sessions", "--json"]):
        result = runner.invoke(wiretape, [*arguments, "--store", str(store)])
        assert result.exit_code == 0, result.output
        yield result.output.encode()
    for suffix in FORMATS:
        path = folder / f"out.{suffix}"
        result = runner.invoke(wiretape, ["export", "test", str(path), "--store", str(store)])
        # Without --force: what is exported has nothing that looks like a secret.
        assert result.exit_code == 0, (result.output, result.exception)
        yield path.read_bytes()
        assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("feed", FEEDS)
def test_no_secret_is_left_anywhere_and_the_live_ones_match(
    feed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_WIRETAPE_SECRET", SECRETS["variable"])
    (tmp_path / "store").mkdir()
    store = tmp_path / "store" / "a.db"

    got, seen = asyncio.run(record(feed, store))

    # What the client itself saw had them: the search below can find something.
    as_bytes = [message.encode() if isinstance(message, str) else message for message in got]
    told = leaks(b"".join(map(unpacked, as_bytes)))
    assert told == ["bearer", "cookie", "set-cookie", "key", "variable", "account", "pin"]
    for text in seen:
        assert leaks(text) == []
    for path in sorted(tmp_path.rglob("*")):
        assert not path.is_file() or leaks(path.read_bytes()) == [], path
    for text in inside(store):
        assert leaks(text) == [], text
    for text in exported(store, tmp_path):
        assert leaks(text) == [], text

    for what in ("test", str(tmp_path / "out.tape")):
        journal = tmp_path / "journal.jsonl"
        arguments = ["replay", what, "--store", str(store), "--listen", "127.0.0.1:0", "--strict"]
        with daemon([*arguments, "--journal", str(journal)]) as running:
            replayed = asyncio.run(client(running.urls["hotbit"]))
        assert running.status == 0, running.said
        assert len(replayed) == len(got)
        assert leaks(journal.read_bytes() + running.said.encode()) == []
        assert journal.read_text().count('"matched"') == 3
        assert journal.stat().st_mode & 0o777 == 0o600
