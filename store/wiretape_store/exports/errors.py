"""What is wrong with a file that somebody else's tool wrote, or with what is needed to handle it."""

from wiretape_protocols import WiretapeError


class ForeignFileError(WiretapeError):
    """A file of another format cannot be read; nothing of it is imported."""

    def __init__(self, kind: str, path: str, where: str, what: str) -> None:
        """Say `what` is wrong and what helps; `where` is a place in the file, empty for all of it."""
        super().__init__(kind, path, where, what)
        self.kind = kind
        """What the file is taken for, for example `HAR`."""
        self.path = path
        self.where = where
        self.what = what

    def __str__(self) -> str:
        """Make one sentence of the facts."""
        where = f", {self.where}" if self.where else ""
        return f"{self.kind} {self.path}{where}: {self.what}"


class MissingExtraError(WiretapeError):
    """A format needs a library that is not installed."""

    def __init__(self, kind: str, library: str, extra: str) -> None:
        """Keep which library a kind of file needs, and the extra of wiretape that brings it."""
        super().__init__(kind, library, extra)
        self.kind = kind
        self.library = library
        self.extra = extra

    def __str__(self) -> str:
        """Say what to install."""
        return f"{self.kind} needs {self.library}, which is not here; pip install 'wiretape[{self.extra}]'"


class UnknownUpstreamError(WiretapeError):
    """The user names a protocol for an upstream that the file does not have."""

    usage = True

    def __init__(self, path: str, name: str, known: tuple[str, ...]) -> None:
        """Keep what was named and what there is."""
        super().__init__(path, name, known)
        self.path = path
        self.name = name
        self.known = known

    def __str__(self) -> str:
        """Name the upstreams that the file has."""
        return f"{self.path} has no upstream {self.name!r}; it has {', '.join(self.known)}"
