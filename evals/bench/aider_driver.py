"""aider's repository map, asked from outside: runs in the interpreter that has aider installed.

One JSON object a line on standard input, `{"files": […], "question": "…", "budgets": […]}`; one on
standard output, `{"seconds": […], "maps": ["…"]}`, per budget. The working directory is the tree.
It is asked as aider asks itself: names of the question raise identifiers and files they name.
Tokens are counted as our own estimate counts them, so that both maps have the same room.
"""

import json
import os
import re
import sys
import time
from pathlib import Path

__all__ = ["main"]


class _Model:
    def token_count(self, text: str) -> int:
        return -(-len(text.encode("utf-8", "replace")) * 2 // 7)


def main() -> None:
    said = sys.stdout
    sys.stdout = sys.stderr
    from aider.io import InputOutput  # type: ignore[import-not-found,unused-ignore]
    from aider.repomap import RepoMap  # type: ignore[import-not-found,unused-ignore]

    quiet = InputOutput(pretty=False, yes=True, fancy_input=False)
    repo = RepoMap(root=str(Path.cwd()), main_model=_Model(), io=quiet, refresh="always")
    for line in sys.stdin:
        asked = json.loads(line)
        words = set(re.split(r"\W+", asked["question"]))
        stems = {w.lower() for w in words if len(w) >= 5}
        named = {f for f in asked["files"] if Path(f).stem.lower() in stems}
        named |= {f for f in asked["files"] if f in asked["question"]}
        others = [str(Path.cwd() / f) for f in asked["files"]]
        seconds, maps = [], []
        for budget in asked["budgets"]:
            start = time.perf_counter()
            found = repo.get_ranked_tags_map([], others, budget, named, words, force_refresh=True)
            seconds.append(time.perf_counter() - start)
            maps.append(found or "")
        said.write(json.dumps({"seconds": seconds, "maps": maps}) + "\n")
        said.flush()


if __name__ == "__main__":
    os.environ.setdefault("TQDM_DISABLE", "1")
    main()
