"""An issue that demands two things is not solved by one of them."""

import ast

from agent import events
from agent.reproduce import extract, together
from tests.agent.repos import TESTS, shop
from tests.agent.test_flow import app, fix, of, outcome

ONE = """\
`clamp(12, 1, 9)` goes wrong:

```python
from shop import clamp

assert clamp(12, 1, 9) == 9
assert clamp(10, 1, 9) == 9
```

It gives 1.
"""
REFUSED = """
`discount(10, -5)` should be refused:

```python
import pytest
from shop import discount

with pytest.raises(ValueError):
    discount(10, -5)
```
"""
ALREADY = """
While this goes well:

```python
from shop import clamp

assert clamp(5, 1, 9) == 5
```
"""


def test_half_a_repair_is_not_verified(tmp_path):
    """Of the two demands a single edit meets the first."""
    root = shop(tmp_path / "shop", tests=TESTS)
    seen = fix(app(root, zero_token=True, zero_token_candidates=60), ONE + REFUSED)
    (shown,) = of(seen, events.Reproduced)
    assert len(shown.failing) == 2
    assert "pytest.raises(ValueError)" in shown.test_source
    (tried,) = of(seen, events.CandidatesTried)
    assert tried.plausible == 0
    assert outcome(seen).verdict == "not_solved"


def test_what_holds_already_is_no_part_of_the_problem(tmp_path):
    root = shop(tmp_path / "shop", tests=TESTS)
    seen = fix(app(root, zero_token=True, zero_token_candidates=60), ONE + ALREADY)
    (shown,) = of(seen, events.Reproduced)
    assert len(shown.failing) == 1
    assert "clamp(5, 1, 9)" not in shown.test_source
    (tried,) = of(seen, events.CandidatesTried)
    assert tried.plausible == 1


def test_the_names_of_one_draft_are_none_of_anothers():
    both = f"{ONE}\n{REFUSED}".replace("from shop import discount", "from other import clamp")
    drafts = extract(both.replace("discount(10", "clamp(10"), resolve=lambda name: None)
    one, other = drafts[:2]
    joined = together(one, [other])
    assert joined.tests == ("test_issue", "test_issue_2")
    body = ast.parse(joined.source).body
    assert [n.name for n in body if isinstance(n, ast.FunctionDef)] == list(joined.tests)
    top = [ast.unparse(n) for n in body if isinstance(n, ast.ImportFrom)]
    assert len(top) == 1
    assert joined.source.count("import clamp") == 2
