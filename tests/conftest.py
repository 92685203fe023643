"""What every test may rely on."""

import os

from codec_strategies import codecs
from hypothesis import settings
from hypothesis import strategies as st

from wiretape_protocols import Codec

# The machine is shared: a slow example is no failure, and a failure prints how to repeat it.
settings.register_profile("wiretape", deadline=None, print_blob=True, max_examples=100)
settings.load_profile("wiretape")

# `st.from_type(Codec)` is any codec that this build can write.
st.register_type_strategy(Codec, codecs())

# A variable of the person who runs the tests must not decide where they record.
os.environ.pop("WIRETAPE_STORE", None)
