"""The root of every error this project raises on purpose; packages above add their own below it."""

from typing import ClassVar


class WiretapeError(Exception):
    """
    Something the user, a peer or a file did that wiretape can name.

    Subclasses carry the facts as fields and make one sentence of them in `__str__`: what happened,
    where, what to do next. The command line prints that sentence and exits; a traceback is a bug.
    """

    usage: ClassVar[bool] = False
    """Whether the user's words were wrong, and not the world: the command line then exits with 2."""
