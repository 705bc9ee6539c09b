"""Fixtures of the tests of base models."""

import pytest


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """Keep a test out of the user's caches; return the folder of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    return tmp_path / "cache/ledger-base-models"
