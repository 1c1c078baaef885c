"""`python -m evals run …` is `agent eval run …`."""

import sys

from agent.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["eval", *sys.argv[1:]]))
