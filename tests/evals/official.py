"""The official package at work: run by a Python that has swebench, over JSON on stdin and stdout.

    printf '[{"row": …, "log": …}]' | python tests/evals/official.py grade
    python tests/evals/official.py report EXPORT RUN PREDICTIONS

Nothing of ours is imported here. Docker is not needed: both grade saved logs.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

from swebench.harness.grading import get_eval_report
from swebench.harness.run_evaluation import get_dataset_from_preds, run_instances
from swebench.harness.utils import get_predictions_from_file
from swebench.types import TestSpec


def spec(row):
    lists = {k: json.loads(row[k]) for k in ("FAIL_TO_PASS", "PASS_TO_PASS")}
    return TestSpec(
        instance_id=row["instance_id"], image="", eval_script_list=[], repo=row["repo"],
        version=row["version"], log_parser=row["log_parser"], eval_type=row["eval_type"], **lists,
    )  # fmt: skip


def grade(case):
    prediction = {
        "instance_id": case["row"]["instance_id"],
        "model_name_or_path": "x",
        "model_patch": "diff",
    }
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / "test_output.txt"
        log.write_text(case["log"])
        report = get_eval_report(spec(case["row"]), prediction, str(log), True)
    return report[prediction["instance_id"]]


def report(export, run, predictions):
    """`swebench report` as its own command does it, but for the client of Docker."""
    from swebench.harness import run_evaluation
    from swebench.harness.reporting import make_run_report

    run_evaluation._docker_client = lambda: None
    os.chdir(export)
    found = get_predictions_from_file(predictions, "dataset.jsonl", "test")
    found = {p["instance_id"]: p for p in found}
    rows = get_dataset_from_preds("dataset.jsonl", "test", [], found, run, True)
    run_instances(found, rows, 1, run, 60, rewrite_reports=True)
    full = run_evaluation.load_instances("dataset.jsonl", "test", None, None)
    path = make_run_report(found, full, run, None, ".")
    return json.loads(Path(path).read_text())


if __name__ == "__main__":
    told, sys.stdout = sys.stdout, sys.stderr  # the package prints as it goes
    if sys.argv[1] == "grade":
        answer = [grade(case) for case in json.load(sys.stdin)]
    else:
        answer = report(*sys.argv[2:])
    json.dump(answer, told)
