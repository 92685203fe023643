"""What every test may rely on."""

import os
from pathlib import Path

import pytest
from codec_strategies import codecs
from hypothesis import settings
from hypothesis import strategies as st
from postgres_cluster import cluster, postgres_url, server, store

from wiretape.demo.run import run_demo
from wiretape_protocols import Codec

__all__ = ["cluster", "demo_store", "postgres_url", "server", "store"]

# The machine is shared: a slow example is no failure, and a failure prints how to repeat it.
settings.register_profile("wiretape", deadline=None, print_blob=True, max_examples=100)
settings.load_profile("wiretape")

# `st.from_type(Codec)` is any codec that this build can write.
st.register_type_strategy(Codec, codecs())

# A variable of the person who runs the tests must not decide where they record, or who may ask what.
for variable in ("WIRETAPE_STORE", "WIRETAPE_CONTROL_TOKEN"):
    os.environ.pop(variable, None)


@pytest.fixture(scope="session")
def demo_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the recording `demo`: both upstreams, four sessions. Not to be written to."""
    store = tmp_path_factory.mktemp("demo") / "demo.db"
    rows = run_demo(store, lambda _: None)
    assert [row.differences for row in rows] == [[], []]
    return store
