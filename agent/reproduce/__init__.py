"""From an issue to a red test that fails for the stated reason.

    drafts = extract(issue, resolve=…)         # from code, doctests, phrases, tracebacks
    judge(run_before, draft)                   # Accepted | Rejected: red, and for that reason?
    together(first, others)                    # one file of all that were accepted
    judge_after(run_after, draft)              # Accepted | Rejected: green now?

If no draft is accepted, a model may write one: `render_request` → `parse_model_test`, judged alike.
Expected values come from the issue, never from running the code that is said to be wrong.
"""

from agent.reproduce.build import joinable, together
from agent.reproduce.extract import extract
from agent.reproduce.judge import judge, judge_after
from agent.reproduce.model import parse_model_test, render_request
from agent.reproduce.types import Accepted, Draft, Reason, Rejected

__all__ = [
    "Accepted",
    "Draft",
    "Reason",
    "Rejected",
    "extract",
    "joinable",
    "judge",
    "judge_after",
    "parse_model_test",
    "render_request",
    "together",
]
