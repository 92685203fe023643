"""What the hooks ask of a test's stand-in for its upstreams, besides what the test may ask of it."""

from abc import abstractmethod
from typing import TYPE_CHECKING

from wiretape.pytest_plugin.fixture import Wiretape

if TYPE_CHECKING:
    from wiretape.pytest_plugin.tape_file import TapeFile


class Take(Wiretape):
    """One run of a test, whether its tape is replayed or recorded; asked in the order below."""

    has_told = False
    """Whether the test has failed for what `failure` said."""
    recorded: "TapeFile | None" = None
    """What `commit` has written."""
    failed_at_the_end = False
    """Whether it has failed for what `end` said."""

    @abstractmethod
    def failure(self) -> str:
        """Why a test that has passed fails, as far as that is certain before its teardown."""

    @abstractmethod
    def section(self, *, passed: bool) -> str:
        """What the report of the test shows besides its own failure; never raises."""

    @abstractmethod
    def end(self, *, judged: bool) -> str:
        """Let go of everything; why the test fails, if it does for this and is to be `judged` at all."""

    def commit(self) -> None:
        """Keep what there is to keep: the test has passed, its teardown included."""
