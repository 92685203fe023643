"""The exit statuses of every command; scripts rely on them."""

DONE, FAILED, USAGE, DIVERGENCE = 0, 1, 2, 3
