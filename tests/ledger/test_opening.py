"""Files packed with gzip are opened like others, and damaged ones are named."""

import gzip
from pathlib import Path

import pytest

from stages.lib.ledger.opening import damaged, unpacked


@pytest.mark.parametrize("content", [b"a,b", gzip.compress(b"a,b", mtime=0)])
def test_a_file_is_unpacked_if_it_is_packed(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    with open(tmp_path / "a", "rb") as packed, unpacked(packed) as file:
        assert file.read() == b"a,b"


@pytest.mark.parametrize(
    ("error", "what"), [(OSError("first\nsecond"), "first"), (EOFError(), "EOFError")]
)
def test_a_damaged_file_is_named_in_one_line(error, what):
    found = damaged(Path("raw/a.csv"), error)
    assert (found.code, found.where) == ("damaged-file", "raw/a.csv")
    assert what in str(found) and "\n" not in str(found) and "second" not in str(found)
