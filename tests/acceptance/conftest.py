"""Settings under which every case takes seconds."""

import pytest

from tests.acceptance.bench import QUICK


@pytest.fixture(autouse=True)
def _quick(_sealed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in QUICK.items():
        monkeypatch.setenv(name, value)
