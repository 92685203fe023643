"""`wiretape grep`: messages by what is in their payloads, and by who sent them when."""

import click

from wiretape.grep_output import Shape, limited, print_count, print_messages, print_sessions
from wiretape.moments import moment
from wiretape.options import json_option, store_option
from wiretape.sources import opened_by
from wiretape.status import DONE, FAILED
from wiretape_store.queries.grep import Moment, Search, StoreSearcher
from wiretape_store.queries.json_pointer import Pointer
from wiretape_store.queries.payload_matching import Matcher, inverted, text_matcher, value_matcher

_NEIGHBOURS = click.IntRange(min=0, max=1_000_000, clamp=True)
"""More than a million on either side are asked for by nobody, and a range of numbers has its limits."""


@click.command("grep", short_help="Find messages by what is in them.")
@click.argument("pattern", required=False)
@click.argument("what", required=False)
@store_option
@json_option
@click.option("--raw", is_flag=True, help="As --json, with the exact bytes of each message added.")
@click.option("--fixed", "-F", is_flag=True, help="PATTERN is a text, not a regular expression.")
@click.option("--ignore-case", "-i", is_flag=True, help="Upper and lower case of PATTERN are the same.")
@click.option("--pointer", metavar="P", help="Look at the value at the JSON pointer P alone.")
@click.option("--value", metavar="V", help="That value must be V, spelled as in the message.")
@click.option("--invert", "-v", is_flag=True, help="Find what PATTERN, --pointer and --value do not.")
@click.option("--upstream", metavar="NAME", help="Only messages to and from this upstream.")
@click.option("--method", metavar="GLOB", help="Only messages of such a method.")
@click.option("--stream", metavar="GLOB", help="Only pushes of such a stream.")
@click.option("--from", "sender", type=click.Choice(["client", "upstream"]), help="Only what this side sent.")
@click.option(
    "--since",
    type=moment,
    metavar="TIME",
    help="Only from then on: ISO 8601 (UTC), or seconds into the session.",
)
@click.option("--until", type=moment, metavar="TIME", help="Only what was sent before then.")
@click.option("--max-count", "-m", type=click.IntRange(min=1), metavar="N", help="Stop after N messages.")
@click.option("--count", "-c", is_flag=True, help="Print only how many there are; with -l, in each session.")
@click.option("--sessions", "-l", "only_sessions", is_flag=True, help="Print only the ids of the sessions.")
@click.option("--quiet", "-q", is_flag=True, help="Print nothing: the exit status says it.")
@click.option(
    "--after", "-A", type=_NEIGHBOURS, default=0, metavar="N", help="Print N messages after each too."
)
@click.option(
    "--before", "-B", type=_NEIGHBOURS, default=0, metavar="N", help="Print N messages before each too."
)
@click.option("--context", "-C", type=_NEIGHBOURS, default=0, metavar="N", help="Both -A and -B.")
def command(
    pattern: str | None,
    what: str | None,
    store: str,
    as_json: bool,
    raw: bool,
    fixed: bool,
    ignore_case: bool,
    pointer: str | None,
    value: str | None,
    invert: bool,
    upstream: str | None,
    method: str | None,
    stream: str | None,
    sender: str | None,
    since: Moment | None,
    until: Moment | None,
    max_count: int | None,
    count: bool,
    only_sessions: bool,
    quiet: bool,
    after: int,
    before: int,
    context: int,
) -> int:
    """
    Print the messages of the recording, session or tape file WHAT (of the whole store without it) in whose
    decoded payload the regular expression PATTERN is found. An empty PATTERN is found in all of them.

    Exit status: 0 found, 1 nothing found or a failure (then stderr says which), 2 usage.
    """
    text = None if pattern is None else text_matcher(pattern, fixed=fixed, ignore_case=ignore_case)
    wanted = Search(
        matcher=_matcher(text, pointer, value, invert=invert),
        upstream=upstream,
        method=method,
        stream=stream,
        from_client=None if sender is None else sender == "client",
        since=since,
        until=until,
    )
    if wanted == Search():
        raise click.UsageError("nothing to look for: give a PATTERN, --pointer or another filter")
    shape = Shape(as_json or raw, raw, before or context, after or context)
    with opened_by(StoreSearcher, store, what) as (searcher, name):
        found = limited(searcher.search(wanted, name), 1 if quiet else max_count)
        if quiet:
            total = sum(len(seqs) for _, seqs in found)
        elif only_sessions:
            total = print_sessions(found, as_json=shape.as_json, with_counts=count)
        elif count:
            total = print_count(found, as_json=shape.as_json)
        else:
            total = print_messages(searcher, found, shape)
        for damage in searcher.damage:
            click.echo(f"wiretape: {damage}", err=True)
    return DONE if total and not searcher.damage else FAILED


def _matcher(text: Matcher | None, pointer: str | None, value: str | None, *, invert: bool) -> Matcher | None:
    """What the options ask of the payload; None where they ask nothing."""
    if value is not None and pointer is None:
        raise click.UsageError("--value needs --pointer: say where the value is, like --pointer /params/0")
    matcher = text if pointer is None else value_matcher(Pointer(pointer), value, text)
    if matcher is None and invert:
        raise click.UsageError("--invert needs a PATTERN or --pointer")
    return inverted(matcher) if matcher is not None and invert else matcher
