"""HAR 1.2 with `_webSocketMessages`, as Chrome saves and opens it. See docs/formats.md."""

from wiretape_store.exports.har.reading import read_har
from wiretape_store.exports.har.writing import write_har

__all__ = ["read_har", "write_har"]
