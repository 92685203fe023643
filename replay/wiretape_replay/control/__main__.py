"""`python -m wiretape_replay.control` prints the OpenAPI document."""

import sys

from wiretape_replay.control.openapi import as_text

sys.stdout.write(as_text())
