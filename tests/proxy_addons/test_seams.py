"""The places in mitmproxy that the recorder stands on; a new mitmproxy that moves one is named here."""

import inspect
import warnings

with warnings.catch_warnings():
    # What mitmproxy's own dependencies warn of is not ours to fail for.
    warnings.simplefilter("ignore")
    from mitmproxy.options import Options
    from mitmproxy.proxy import server
    from mitmproxy.proxy.layers import http, tcp


def source_of(thing: object) -> str:
    return inspect.getsource(thing)  # type: ignore[arg-type]


def test_an_upgraded_connection_becomes_plain_tcp_without_the_websocket_option() -> None:
    text = source_of(http.HttpStream.flow_done)

    assert "options.rawtcp" in text, (
        "mitmproxy does not turn a 101 into a TCP layer any more: the tap sees nothing"
    )
    assert "TCPLayer" in text


def test_the_options_of_the_tap_exist() -> None:
    options = Options()

    assert [name for name in ("websocket", "rawtcp", "http2", "ssl_insecure") if name not in options] == []


def test_a_message_is_taken_from_the_list_after_it_was_handed_over() -> None:
    text = source_of(tcp.TCPLayer.relay_messages)

    assert text.index("messages.append") < text.index("TcpMessageHook") < text.index("SendData"), (
        "mitmproxy does not keep the message beside its list any more: emptying the list would lose it"
    )


def test_a_connection_waits_for_its_writers_between_two_reads() -> None:
    text = source_of(server.ConnectionHandler.handle_connection)

    assert text.index("reader.read(") < text.index("await self.drain_writers()"), (
        "mitmproxy does not wait for drain_writers after each read any more: the brake does not hold"
    )


def test_the_readers_of_both_sides_are_held_when_a_connection_ends() -> None:
    text = source_of(server.ConnectionHandler.handle_connection)

    assert text.index("ConnectionClosed(connection)") < text.index("self.transports.pop(connection)"), (
        "mitmproxy drops a connection's reader before tcp_end: nothing tells which side ended it"
    )
