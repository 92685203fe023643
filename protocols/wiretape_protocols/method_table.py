"""
The tables of `docs/protocols.md`, made from the adapters themselves.

Owns the Markdown between the page's markers. After a change of the tables of methods, write it anew:

    python -c "from pathlib import Path; from wiretape_protocols.method_table import fill_page
    page = Path('docs/protocols.md'); page.write_text(fill_page(page.read_text()))"
"""

import re
from collections.abc import Iterable, Sequence

from wiretape_protocols.adapter import MethodInfo, Protocol
from wiretape_protocols.ontology_errors import ERROR_CODES
from wiretape_protocols.registry import BUILT_IN

_MARKED = re.compile(r"(<!-- table: (?P<name>[a-z-]+) -->\n).*?(<!-- end of table -->)", re.DOTALL)
_ERRORS = "ontology-errors"


def method_table(protocol: Protocol) -> str:
    """The methods and pushes of an adapter as a Markdown table."""
    header = ("method or push", "role", "matched by", "stream", "secret", "changes the world", "documented")
    return _table(header, map(_method_row, protocol.methods()))


def error_table() -> str:
    """The error codes of the Ontology node as a Markdown table."""
    header = ("Error", "Desc", "meaning", "documented", "sent on a WebSocket")
    return _table(
        header,
        (
            (str(code.code), _code(code.desc), code.meaning, _yes(code.documented), _yes(code.sent))
            for code in ERROR_CODES
        ),
    )


def fill_page(page: str) -> str:
    """The page with what stands between its markers written anew; KeyError for an unknown marker."""
    tables = {protocol.name: method_table(protocol) for protocol in BUILT_IN} | {_ERRORS: error_table()}
    return _MARKED.sub(lambda found: f"{found[1]}{tables[found['name']]}{found[3]}", page)


def _method_row(method: MethodInfo) -> Sequence[str]:
    return (
        _code(method.name) if not method.name.startswith("(") else method.name,
        method.role.name.lower(),
        method.match,
        method.stream,
        method.secrets,
        _yes(method.effects),
        _yes(method.documented),
    )


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _yes(value: bool) -> str:  # noqa: FBT001
    return "yes" if value else "no"
