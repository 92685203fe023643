"""What users write for upstreams and addresses."""

import pytest

from wiretape_addons import Target, UsageError, parse_listen, parse_target, parse_targets
from wiretape_protocols import WiretapeError


@pytest.mark.parametrize(
    ("text", "target"),
    [
        pytest.param(
            "hotbit=wss://ws.hotbit.io",
            Target("hotbit", "hotbit", "wss://ws.hotbit.io", "ws.hotbit.io", 443, True, "", ""),
            id="known-name",
        ),
        pytest.param(
            "node:ontology=ws://node:20335/",
            Target("node", "ontology", "ws://node:20335/", "node", 20335, False, "", ""),
            id="named-protocol",
        ),
        pytest.param(
            "feed=ws://[::1]/v2?key=1",
            Target("feed", "json", "ws://[::1]/v2?key=1", "::1", 80, False, "/v2", "key=1"),
            id="generic",
        ),
    ],
)
def test_an_upstream_is_a_name_a_protocol_and_a_url(text: str, target: Target) -> None:
    assert parse_target(text) == target


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("hotbit", "write NAME=URL", id="no-url"),
        pytest.param("=ws://x", "write NAME=URL", id="no-name"),
        pytest.param("a/b=ws://x", "write NAME=URL", id="odd-name"),
        pytest.param("hotbit=http://x", "is not a WebSocket URL", id="http"),
        pytest.param("x=ws://a x=ws://b", "is not a WebSocket URL", id="two-in-one"),
        pytest.param("hotbit=ws://", "is not a WebSocket URL", id="no-host"),
        pytest.param("hotbit=ws://x:99999", "cannot be read", id="port"),
        pytest.param("hotbit=ws://[::1", "cannot be read", id="broken-ipv6"),
        pytest.param("hotbit=ws://me:secret@x", "user name", id="userinfo"),
        pytest.param("hotbit=http://me:secret@x", "is not a WebSocket URL", id="http-with-userinfo"),
        pytest.param("hotbit=ws://me:secret/x@y", "cannot be read", id="password-taken-for-a-port"),
        pytest.param("ws://me:secret@x", "write NAME=URL", id="userinfo-alone"),
        pytest.param("ws://x?a=secret", "write NAME=URL", id="url-alone"),
        pytest.param("x:nosuch=ws://x", "no protocol is called 'nosuch'", id="unknown-protocol"),
    ],
)
def test_anything_else_gets_one_sentence_that_says_what_to_write(text: str, words: str) -> None:
    with pytest.raises(WiretapeError, match=words) as caught:
        parse_target(text)

    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_name_may_stand_only_once() -> None:
    with pytest.raises(UsageError, match="the upstream name a is given twice"):
        parse_targets(["a=ws://x", "a=ws://y"])


@pytest.mark.parametrize(
    ("url", "asked", "joined"),
    [
        pytest.param("ws://x", "/", "/", id="root"),
        pytest.param("ws://x/v2", "/", "/v2", id="base-path"),
        pytest.param("ws://x/v2/", "/trades?a=1", "/v2/trades?a=1", id="below-the-base-path"),
        pytest.param("ws://x/v2?k=1", "/?a=%20", "/v2?k=1&a=%20", id="queries-join"),
    ],
)
def test_the_path_of_the_upstream_comes_before_the_clients(url: str, asked: str, joined: str) -> None:
    assert parse_target(f"x={url}").join(asked) == joined


@pytest.mark.parametrize(
    ("text", "count", "addresses"),
    [
        pytest.param(None, 2, [("127.0.0.1", 8081), ("127.0.0.1", 8082)], id="default"),
        pytest.param("0.0.0.0:9000", 3, [("0.0.0.0", 9000), ("0.0.0.0", 9001), ("0.0.0.0", 9002)], id="up"),
        pytest.param("[::1]:0", 2, [("::1", 0), ("::1", 0)], id="the-system-chooses"),
    ],
)
def test_listeners_count_up_from_the_first(
    text: str | None, count: int, addresses: list[tuple[str, int]]
) -> None:
    assert parse_listen(text, count) == addresses


@pytest.mark.parametrize("text", ["8081", "localhost", ":8081", "h:70000", "h:-1", "h:x"])
def test_a_wrong_address_gets_one_sentence(text: str) -> None:
    with pytest.raises(UsageError, match="write HOST:PORT"):
        parse_listen(text, 1)


def test_listeners_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UsageError, match="2 upstreams do not fit above port 65535"):
        parse_listen("h:65535", 2)
