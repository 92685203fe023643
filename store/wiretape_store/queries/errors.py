"""What can be wrong with a query; what can be wrong with the store itself is in `errors`."""

from wiretape_protocols import WiretapeError


class QueryError(WiretapeError):
    """A statement cannot be run, because of how it is written or of what it asks for."""

    usage = True

    def __init__(self, what: str, advice: str) -> None:
        """Say `what` is wrong and what the user can do (`advice`), both without a final stop."""
        super().__init__(what, advice)
        self.what = what
        self.advice = advice

    def __str__(self) -> str:
        """Make one sentence of the facts."""
        return f"query: {self.what}; {self.advice}"
