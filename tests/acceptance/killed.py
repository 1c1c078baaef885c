"""The real CLI, killed by SIGKILL at the first audited call that names a path.

Usage: killed.py EVENT PART ARGS...   EVENT: `open`, `os.remove`, …   PART: in the path's name
"""

import os
import signal
import sys
from typing import Any


def watch(event: str, part: str) -> None:
    def look(name: str, args: tuple[Any, ...]) -> None:
        if name == event and args and part in os.fsdecode(str(args[0])):
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(look)


if __name__ == "__main__":
    watch(sys.argv[1], sys.argv[2])
    from agent.cli.main import main

    sys.exit(main(sys.argv[3:]))
