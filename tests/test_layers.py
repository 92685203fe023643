"""Dependencies point downward only: the table of the design, held against the imports."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = {
    "wiretape_protocols": ROOT / "protocols" / "wiretape_protocols",
    "wiretape_store": ROOT / "store" / "wiretape_store",
    "wiretape_addons": ROOT / "proxy_addons" / "wiretape_addons",
    "wiretape_replay": ROOT / "replay" / "wiretape_replay",
    "wiretape": ROOT / "cli" / "wiretape",
}
MAY_IMPORT = {
    "wiretape_protocols": set(),
    "wiretape_store": {"wiretape_protocols"},
    "wiretape_addons": {"wiretape_protocols", "wiretape_store"},
    "wiretape_replay": {"wiretape_protocols", "wiretape_store"},
    "wiretape": {"wiretape_protocols", "wiretape_store", "wiretape_addons", "wiretape_replay"},
}
# What each package may not touch besides: other people's libraries, and the standard library's I/O.
FORBIDDEN = {
    "wiretape_protocols": {
        "asyncio",
        "socket",
        "time",
        "random",
        "os",
        "pathlib",
        "sqlalchemy",
        "click",
        "mitmproxy",
    },
    "wiretape_store": {"asyncio", "click", "mitmproxy", "websockets"},
    "wiretape_replay": {"mitmproxy", "click", "sqlalchemy"},
    "wiretape": {"mitmproxy"},
}
# The engine is pure: it knows no clock, socket, database or event loop.
ENGINE = (
    "actions",
    "differences",
    "engine",
    "fault_actions",
    "fault_changes",
    "fault_gate",
    "fault_plan",
    "fault_selection",
    "fault_stage",
    "fault_strikes",
    "fault_windows",
    "faults",
    "free_order",
    "matching",
    "ordering",
    "outbox",
    "owners",
    "pacing",
    "notes",
    "relaxing",
    "transcripts",
    "script",
    "settings",
    "stepping",
    "verdict",
)
IMPURE = {
    "asyncio",
    "socket",
    "time",
    "random",
    "os",
    "pathlib",
    "sqlalchemy",
    "websockets",
    "datetime",
    "uuid",
}
SIMULATORS = PACKAGES["wiretape"] / "simulators"


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in the file, by its full name."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def top(module: str) -> str:
    return module.partition(".")[0]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_what_is_below_it(package: str) -> None:
    others = set(PACKAGES) - {package} - MAY_IMPORT[package]
    forbidden = others | FORBIDDEN.get(package, set())
    files = sorted(PACKAGES[package].rglob("*.py"))

    wrong = [(path.name, name) for path in files for name in imports(path) if top(name) in forbidden]

    assert files
    assert wrong == []


def test_mitmproxy_is_imported_by_the_addons_alone() -> None:
    users = {
        package
        for package, folder in PACKAGES.items()
        for path in folder.rglob("*.py")
        if "mitmproxy" in map(top, imports(path))
    }

    assert users == {"wiretape_addons"}


def test_only_the_control_api_imports_what_serves_it() -> None:
    users = {
        path.parent
        for folder in PACKAGES.values()
        for path in folder.rglob("*.py")
        if {"starlette", "uvicorn"} & set(map(top, imports(path)))
    }

    assert users == {PACKAGES["wiretape_replay"] / "control"}


@pytest.mark.parametrize("module", ENGINE)
def test_the_replay_engine_is_pure(module: str) -> None:
    path = PACKAGES["wiretape_replay"] / f"{module}.py"

    assert [name for name in imports(path) if top(name) in IMPURE] == []


def test_simulators_share_no_code_with_the_rest() -> None:
    files = sorted(SIMULATORS.glob("*.py"))
    ours = [
        (p.name, name)
        for p in files
        for name in imports(p)
        if top(name).startswith("wiretape") and not name.startswith("wiretape.simulators")
    ]

    assert len(files) > 2
    assert ours == []


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_file_only_re_exports(package: str) -> None:
    tree = ast.parse((PACKAGES[package] / "__init__.py").read_text())
    allowed = (ast.Import, ast.ImportFrom, ast.Assign, ast.Expr)

    assert ast.get_docstring(tree)
    assert [node for node in tree.body if not isinstance(node, allowed)] == []
