"""`python -m wiretape`."""

from wiretape.main import main

main()
