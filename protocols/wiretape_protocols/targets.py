"""What an upstream is asked for, when a client asks wiretape's listener for a path and query."""


def joined_target(path: str, query: str, asked: str) -> str:
    """
    The path and query to ask the upstream for.

    `path` (without a slash at its end) and `query` are of the upstream's own URL, each empty for none;
    they come before what the client asks for.
    """
    asked_path, _, asked_query = asked.partition("?")
    if path:
        asked_path = path if asked_path in {"", "/"} else path + asked_path
    query = "&".join(filter(None, (query, asked_query)))
    return f"{asked_path}?{query}" if query else asked_path
