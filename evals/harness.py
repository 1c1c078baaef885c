"""The official harness's files: its log of a test run, its rows, its run directory.

`swebench report` grades a run from its saved logs, and so can anybody grade ours:

    EXPORT/dataset.jsonl
    EXPORT/predictions/MODEL.jsonl
    EXPORT/logs/run_evaluation/RUN/MODEL/INSTANCE/test_output.txt

A log holds one line per test between two markers, then the exit code of the test command. What the
program under test printed stays outside the markers and cannot forge a line.
Source: swebench 5.0.2, `harness/grading.py` and `harness/log_parsers/python.py`.
"""

import json
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from evals.datasets.instance import Instance
from evals.grade import cut_ids
from evals.result import Result, model_name, write_predictions

__all__ = ["LOG", "errored_log", "export", "log_of", "row_of"]

LOG = "test_output.txt"
START, END = ">>>>> Start Test Output", ">>>>> End Test Output"
EXIT_CODE = ">>>>> Test Exit Code"
ERRORED = ">>>>> Tests Errored"
PARSER = "parse_log_pytest"


def log_of(found: Mapping[str, str], exit_code: int, output: str = "") -> str:
    """The log of a run that ended: `found` are official status words by test id.

    The official parser ends an id at its first blank. So blanks are written as `%20`, here and in
    the rows; ids that are the same up to their first blank also get one line with the worst status,
    for rows of other people, as pytest prints failures last and the last line counts.
    """
    lines = {_whole(test_id): word for test_id, word in found.items()}
    lines = {**cut_ids(found), **lines}
    shown = [f"{word} {test_id}" for test_id, word in lines.items()]
    return "\n".join([*_quoted(output), START, *shown, END, f"{EXIT_CODE}: {exit_code}", ""])


def errored_log(reason: str, output: str = "") -> str:
    """The log of a run that shows nothing: not gradable, never resolved."""
    return "\n".join([*_quoted(output), ERRORED, *_quoted(reason), ""])


def _quoted(text: str) -> list[str]:
    return [f"| {line}".replace(">>>>>", ">>>> >") for line in text.splitlines()]


def row_of(instance: Instance) -> dict[str, object]:
    """A row as the official harness reads it, for logs of `log_of`."""
    return {
        "repo": instance.repo,
        "instance_id": instance.instance_id,
        "base_commit": instance.base_commit,
        "patch": instance.patch,
        "test_patch": instance.test_patch,
        "problem_statement": instance.problem_statement,
        "hints_text": instance.hints_text,
        "created_at": instance.created_at,
        "version": instance.version,
        "environment_setup_commit": instance.environment_setup_commit,
        "FAIL_TO_PASS": _ids(instance.FAIL_TO_PASS),
        "PASS_TO_PASS": _ids(instance.PASS_TO_PASS),
        "image": "",
        "eval_script": "",
        "log_parser": PARSER,
        "eval_type": "pass_and_fail",
    }


def _ids(ids: Iterable[str]) -> str:
    return json.dumps([_whole(i) for i in ids])


def _whole(test_id: str) -> str:
    return re.sub(r"\s", "%20", test_id)


def export(
    results: Sequence[Result], instances: Iterable[Instance], logs: Path, target: Path, run: str
) -> int:
    """Write the official layout below `target`; the number of logs written.

    `logs` is a run directory; a unit without a log (an empty patch, say) gets none, as there.
    """
    target.mkdir(parents=True, exist_ok=True)
    rows = "".join(json.dumps(row_of(i), ensure_ascii=True) + "\n" for i in instances)
    (target / "dataset.jsonl").write_text(rows, encoding="utf-8")
    write_predictions(results, target / "predictions")
    written = 0
    for result in results:
        source = logs / "units" / result.key / LOG
        if result.status == "infra" or not result.patch or not source.is_file():
            continue
        model = model_name(result.arm, result.seed)
        place = target / "logs" / "run_evaluation" / run / model / result.instance_id
        place.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, place / LOG)
        written += 1
    return written
