# SPDX-License-Identifier: Apache-2.0
"""Fixtures of more than one file. A file that wants another `t` has its own."""
import pytest
from tools import Talk


@pytest.fixture
def t(w):
    """A client of the world `w`, which each file makes, that has said EHLO."""
    with Talk(w.port) as talk:
        talk.hello()
        yield talk
