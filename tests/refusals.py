"""Assert that a user's mistake is refused with the right code."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from stages.lib.errors import UserError


@contextmanager
def refused(code: str, *parts: str) -> Iterator[pytest.ExceptionInfo]:
    """Pass if the block raises a `UserError` of this code whose text holds each of `parts`.

    `parts` are what a user must see, such as a key, a file or a value; never prose.
    """
    with pytest.raises(UserError) as caught:
        yield caught
    assert caught.value.code == code, str(caught.value)
    for part in parts:
        assert part in str(caught.value)
