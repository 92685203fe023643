"""The ``wiretape`` command and what its users import."""

__version__ = "0.1.0"
__all__ = ["__version__"]
