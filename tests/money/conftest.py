"""What the tests of the gateway share."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.loopback import Loopback, Reply, serve
from tests.money.bench import Bench, hosted


@pytest.fixture
def against(tmp_path: Path) -> Iterator[Callable[..., tuple[Bench, Loopback]]]:
    from contextlib import ExitStack

    with ExitStack() as stack:

        def make(*replies: Reply, **options: Any) -> tuple[Bench, Loopback]:
            server = stack.enter_context(serve(replies))
            return Bench(tmp_path, hosted(server), **options), server

        yield make
