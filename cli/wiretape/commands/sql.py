"""`wiretape sql`: one question to the store, in SQL."""

import shutil
import sys

import click

from wiretape import query_output
from wiretape.options import json_option, store_option
from wiretape_store.queries.query import open_query


@click.command("sql", short_help="Ask a store in SQL.")
@click.argument("statement", required=False)
@store_option
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV (RFC 4180), with a header.")
def command(statement: str | None, store: str, as_json: bool, as_csv: bool) -> None:
    """
    Run one SQL STATEMENT, read from stdin without it, on the store, which it cannot change.

    Besides the tables there are the views sessions, messages, calls and pushes, and the functions
    payload(message) and json(message, pointer); docs/querying.md describes them. Which calls took longest:

    wiretape sql 'select message, method, took_ms from calls order by took_ms desc limit 10'
    """
    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other")
    with open_query(store) as query:
        result = query.run(_statement(statement))
        if as_json:
            pieces = query_output.json_array(result)
        elif as_csv:
            pieces = query_output.csv(result)
        else:
            width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
            pieces = query_output.table(result, width)
        sys.stdout.writelines(pieces)


def _statement(given: str | None) -> str:
    if given is None or given == "-":
        if given is None and sys.stdin.isatty():
            raise click.UsageError("no statement: give it as an argument, or write it to stdin")
        return sys.stdin.read()
    return given
