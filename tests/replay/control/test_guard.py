"""Who may use the control API, by headers and token."""

import socket

import pytest
from control_clients import Answer, served
from run_builders import bounded

from wiretape_replay.binding import AddressError
from wiretape_replay.control import MissingTokenError
from wiretape_replay.control.errors import RequestError
from wiretape_replay.control.guard import Guard, is_loopback

LOOPBACK = Guard("127.0.0.1", "127.0.0.1", None)
NAMED = Guard("Replay.Example", "192.0.2.7", "secret")
ANYWHERE = Guard("0.0.0.0", "0.0.0.0", "secret")


def code(guard: Guard, **headers: str) -> str:
    """What a request with these headers is refused with; empty where it is not."""
    given = {name.encode(): value.encode("latin-1") for name, value in headers.items()}
    try:
        guard.check(given)
    except RequestError as exc:
        return exc.code
    return ""


@pytest.mark.parametrize(
    ("guard", "host", "own"),
    [
        pytest.param(LOOPBACK, "127.0.0.1:9001", True, id="address"),
        pytest.param(LOOPBACK, "127.0.0.1", True, id="no port"),
        pytest.param(LOOPBACK, "localhost:9001", True, id="localhost"),
        pytest.param(LOOPBACK, "LocalHost.:9001", True, id="case and dot"),
        pytest.param(LOOPBACK, "[::1]:9001", True, id="IPv6"),
        pytest.param(LOOPBACK, "127.9.9.9", True, id="all of 127"),
        pytest.param(LOOPBACK, "evil.example:9001", False, id="a name that points here"),
        pytest.param(LOOPBACK, "127.0.0.1.evil.example", False, id="a longer name"),
        pytest.param(LOOPBACK, "localhost.evil.example", False, id="a longer localhost"),
        pytest.param(LOOPBACK, "192.0.2.7", False, id="another address"),
        pytest.param(LOOPBACK, "0.0.0.0", False, id="any address"),
        pytest.param(LOOPBACK, "", False, id="empty"),
        pytest.param(LOOPBACK, "::1", False, id="IPv6 without brackets"),
        pytest.param(LOOPBACK, "\xe9", False, id="no ASCII"),
        pytest.param(NAMED, "replay.example:9001", True, id="the name it was bound by"),
        pytest.param(NAMED, "192.0.2.7:9001", True, id="the address of that name"),
        pytest.param(NAMED, "localhost", True, id="localhost of another"),
        pytest.param(NAMED, "192.0.2.8", False, id="a neighbour"),
        pytest.param(ANYWHERE, "192.0.2.8:1", True, id="any address of the machine"),
        pytest.param(ANYWHERE, "[2001:db8::1]:1", True, id="any IPv6 address"),
        pytest.param(ANYWHERE, socket.gethostname(), True, id="the machine's name"),
        pytest.param(ANYWHERE, "evil.example", False, id="a name for any address"),
    ],
)
def test_the_host_header_must_name_this_server(guard: Guard, host: str, own: bool) -> None:
    assert code(guard, host=host, authorization="Bearer secret") == ("" if own else "foreign_host")


def test_a_request_without_a_host_is_refused() -> None:
    assert code(LOOPBACK) == "foreign_host"


@pytest.mark.parametrize(
    ("origin", "own"),
    [
        pytest.param("http://127.0.0.1:9001", True, id="own"),
        pytest.param("HTTP://127.0.0.1:9001", True, id="own in capitals"),
        pytest.param("http://localhost:9001", False, id="another name"),
        pytest.param("http://127.0.0.1:3000", False, id="another port"),
        pytest.param("https://127.0.0.1:9001", False, id="another scheme"),
        pytest.param("https://evil.example", False, id="another site"),
        pytest.param("null", False, id="null"),
        pytest.param("", False, id="empty"),
    ],
)
def test_an_origin_must_be_this_servers_own(origin: str, own: bool) -> None:
    refused = code(LOOPBACK, host="127.0.0.1:9001", origin=origin)
    assert refused == ("" if own else "foreign_origin")


@pytest.mark.parametrize(
    ("authorization", "right"),
    [
        pytest.param("Bearer secret", True, id="right"),
        pytest.param("bearer secret", True, id="scheme in small letters"),
        pytest.param("Bearer  secret ", True, id="spaces"),
        pytest.param("Bearer Secret", False, id="case"),
        pytest.param("Bearer secre", False, id="shorter"),
        pytest.param("Bearer secrets", False, id="longer"),
        pytest.param("Bearer ", False, id="empty"),
        pytest.param("Bearer", False, id="scheme only"),
        pytest.param("Basic secret", False, id="other scheme"),
        pytest.param("secret", False, id="no scheme"),
        pytest.param("Bearer \xff", False, id="no ASCII"),
    ],
)
def test_the_token_must_be_right(authorization: str, right: bool) -> None:
    assert code(NAMED, host="localhost", authorization=authorization) == ("" if right else "token")
    assert code(NAMED, host="localhost") == "token"


@pytest.mark.parametrize(
    ("address", "loopback"),
    [("127.0.0.1", True), ("127.8.0.1", True), ("::1", True), ("0.0.0.0", False), ("::", False), ("192.0.2.1", False)],
)  # fmt: skip
def test_only_loopback_needs_no_token(address: str, loopback: bool) -> None:
    assert is_loopback(address) is loopback


def test_a_server_that_others_reach_does_not_start_without_a_token() -> None:
    async def test() -> None:
        for listen in ("0.0.0.0:0", "[::]:0"):
            with pytest.raises(
                MissingTokenError, match="so it needs a token: give one with --control-token-file"
            ):
                async with served(listen=listen):
                    raise AssertionError

    bounded(test)


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "localhost:0"])
def test_a_token_is_asked_for_wherever_there_is_one(listen: str) -> None:
    async def test() -> None:
        async with served(listen=listen, token="secret") as api:
            assert (await api.get("/v1/health"))["runs"] == 0
            wrong = await api.ask("GET", "/v1/health", headers={"Authorization": ""})
            assert (wrong.status, wrong.code) == (401, "token")
            assert wrong.headers["www-authenticate"] == "Bearer"
            assert "Authorization: Bearer TOKEN" in wrong.sentence
            assert "secret" not in wrong.sentence

    bounded(test)


async def asked_by(headers: dict[str, str], token: str | None = None) -> Answer:
    async with served(token=token) as api:
        return await api.ask("POST", "/v1/runs", {"recording": "one"}, headers=headers)


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        pytest.param({"Host": "evil.example"}, "foreign_host", id="rebound name"),
        pytest.param({"Origin": "https://evil.example"}, "foreign_origin", id="another site"),
    ],
)
def test_pages_of_other_sites_are_refused_before_anything_happens(headers: dict[str, str], code: str) -> None:
    async def test() -> None:
        answer = await asked_by(headers)
        assert (answer.status, answer.code) == (403, code)
        assert "evil" not in answer.sentence
        # The token is not even looked at: whether it was right is nobody's business there.
        assert (await asked_by(headers, "secret")).code == code

    bounded(test)


def test_an_address_that_is_taken_is_named_with_the_option_that_says_another() -> None:
    async def test() -> None:
        async with served() as api:
            taken = api.control.url.removeprefix("http://")
            with pytest.raises(AddressError, match=rf"cannot listen on {taken}: .*--control"):
                async with served(listen=taken):
                    raise AssertionError

    bounded(test)


def test_a_name_without_an_address_is_named() -> None:
    async def test() -> None:
        with pytest.raises(AddressError, match=r"no-such-host\.invalid:0"):
            async with served(listen="no-such-host.invalid:0", token="secret"):
                raise AssertionError

    bounded(test)
