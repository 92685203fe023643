"""
The pytest plugin: tests whose clients talk to replayed upstreams. docs/pytest.md tells how to use it.

Every pytest of every project that has wiretape installed imports this package, so it imports nothing of
ours but what stands beside it, and that imports little; the rest waits for the first test in need.
"""

from wiretape.pytest_plugin.fixture import Journal, Wiretape
from wiretape.pytest_plugin.hooks import (
    pytest_addoption,
    pytest_configure,
    pytest_configure_node,
    pytest_itemcollected,
    pytest_report_header,
    pytest_report_teststatus,
    pytest_runtest_call,
    pytest_runtest_makereport,
    pytest_runtest_teardown,
    pytest_terminal_summary,
    wiretape,
    wiretape_upstreams,
)

__all__ = [
    "Journal",
    "Wiretape",
    "pytest_addoption",
    "pytest_configure",
    "pytest_configure_node",
    "pytest_itemcollected",
    "pytest_report_header",
    "pytest_report_teststatus",
    "pytest_runtest_call",
    "pytest_runtest_makereport",
    "pytest_runtest_teardown",
    "pytest_terminal_summary",
    "wiretape",
    "wiretape_upstreams",
]
