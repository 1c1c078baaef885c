"""`agent ledger` over a real ledger file."""

import csv
import io
import json
from collections.abc import Iterator

import pytest

from agent import paths
from agent.cli.main import main
from agent.ledger import Budgets, Entry, Ledger
from agent.prices import Estimate
from agent.types import Usage


def entry(request: str, model: str, location: str, reserved: int | None) -> Entry:
    return Entry(
        run_id="20261120-143015-a1b2c3",
        repo_key="shop-1",
        step_id="1",
        step_kind="edit" if location == "local" else "plan",
        request_id=request,
        attempt=1,
        location=location,  # type: ignore[arg-type]
        provider="p",
        model=model,
        reserved_usd_micro=reserved,
    )


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with Ledger(paths.ledger_path()) as made:
        paid = made.reserve(entry("r1", "claude-opus-5-5", "frontier", 90_000), Budgets())
        made.settle(paid, usage=Usage(input=1_000, output=200), usd_micro=31_250, duration_s=2.0)
        here = made.reserve(entry("r2", "evil\x1b[2Jmodel", "local", 0), Budgets())
        made.settle(here, usage=Usage(input=500, output=50), usd_micro=0, duration_s=3.0)
        made.reserve(entry("r3", "mystery", "onprem", None), Budgets())
        made.record_estimates(
            run_id="20261120-143015-a1b2c3",
            step_id="1",
            frontier=Estimate(
                model="claude-opus-5-5", usd_micro=50_000, input_tokens=9, output_tokens=9
            ),
            cheapest=Estimate(
                model="claude-haiku-5-5", usd_micro=500, input_tokens=9, output_tokens=9
            ),
        )
        yield made


def test_an_empty_ledger_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ledger"]) == 0
    told = capsys.readouterr()
    assert told.out == ""
    assert "nothing was asked" in told.err


def test_sums_by_model(ledger: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ledger"]) == 0
    text = capsys.readouterr().out
    rows = {row.split()[0]: row for row in text.splitlines() if row.strip()}
    assert "$0.0312" in rows["claude-opus-5-5"]
    assert "1,200" in rows["claude-opus-5-5"]
    assert rows["mystery"].split()[1:5] == ["1", "$0.00", "$0.00", "1"]  # unpriced is counted
    assert "$0.0312" in rows["total"]
    assert "1,750" in rows["total"]
    assert text.count("estimate: 1 verified step") == 2
    assert "\x1b" not in text


def test_json_and_csv_carry_exact_numbers(
    ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ledger", "--by", "location,step", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    paid = next(r for r in rows if r["location"] == "frontier")
    assert (paid["step"], paid["usd_micro"], paid["input"]) == ("plan", 31_250, 1_000)
    assert main(["ledger", "--rows", "--csv"]) == 0
    table = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [r["state"] for r in table] == ["settled", "settled", "reserved"]
    assert [r["usd_micro"] for r in table] == ["31250", "0", ""]


def test_rows_of_a_run(ledger: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ledger", "--run", "20261120-143015-a1b2c3"]) == 0
    text = capsys.readouterr().out
    assert "unknown" in text  # the price of the open attempt
    assert main(["ledger", "--run", "nothing", "--json"]) == 0
    assert capsys.readouterr().out == ""


def test_an_unwritable_ledger_is_an_infrastructure_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    paths.ledger_path().mkdir(parents=True)
    assert main(["ledger"]) == 5
    assert capsys.readouterr().err.startswith("error: ")
