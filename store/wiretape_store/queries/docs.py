"""The views and functions of `wiretape sql` as Markdown, for the page in docs/."""

from collections.abc import Iterator

from wiretape_store.queries.functions import FUNCTIONS
from wiretape_store.queries.views import SQLITE, views

START = "<!-- views: made by `python -m wiretape_store.queries.docs` -->\n"
END = "<!-- end of views -->\n"
"""The page's text between the two is `query_markdown()`."""


def query_markdown() -> str:
    """Describe every view, column and function."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    for view in views(SQLITE):
        yield from ("", f"### View `{view.name}`", "", view.meaning, "", "| column | meaning |", "|---|---|")
        yield from (f"| `{column.name}` | {column.meaning} |" for column in view.columns)
    yield from ("", "### Functions", "", "| function | what it gives |", "|---|---|")
    yield from (f"| `{name}` | {meaning} |" for name, meaning in FUNCTIONS.items())


if __name__ == "__main__":
    print(START + query_markdown() + END, end="")  # noqa: T201
