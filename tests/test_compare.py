from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pilot.compare import compare
from pilot.errors import PilotError

RATINGS = "arm,csat,region\n" + "".join(
    f"{arm},{level},{region}\n"
    for region, table in (
        ("north", ((1, 2, 6, 12, 9), (0, 2, 5, 10, 14))),
        ("south", ((3, 3, 5, 6, 2), (1, 3, 5, 7, 5))),
    )
    for arm, counts in zip(("control", "desk"), table, strict=True)
    for level, count in enumerate(counts, start=1)
    for _ in range(count)
)


@pytest.fixture
def ratings(tmp_path: Path) -> Path:
    path = tmp_path / "ratings.csv"
    path.write_text(RATINGS)
    return path


def run(*args: object) -> Result:
    return CliRunner().invoke(compare, [str(arg) for arg in args])


def document(*args: object) -> dict[str, Any]:
    done = run(*args, "--json")
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("arm", ["Mens E-Mail", "Womens E-Mail"])
def test_hillstrom_effects_as_published(shared_data: Path, arm: str) -> None:
    facts = json.loads((shared_data / "reference_facts.json").read_text())["hillstrom"][f"{arm} vs No E-Mail"]
    common = [shared_data / "hillstrom" / "hillstrom.csv.gz", "--arm", "segment", "--control", "No E-Mail"]
    spend = _of(document(*common, "--outcome", "spend", "--analysis", "welch"), arm)
    known = facts["spend"]
    assert [
        spend["estimate"],
        spend["standard_error"],
        spend["statistic"],
        spend["df"],
        spend["low"],
        spend["high"],
    ] == [
        pytest.approx(value, abs=6e-7)
        for value in (known["difference"], known["welch_se"], known["welch_t"], known["welch_df"], *known["welch_ci95"])
    ]
    assert f"{spend['p_value']:.3e}" == f"{known['welch_p']:.3e}"
    for outcome in ("visit", "conversion"):
        found, known = _of(document(*common, "--outcome", outcome, "--analysis", "newcombe"), arm), facts[outcome]
        assert round(found["estimate"], 6) == known["difference"]
        assert [round(found["low"], 6), round(found["high"], 6)] == known["ci95_newcombe"]
        assert round(found["statistic"], 6) == known["z_pooled"]
        assert found["p_value"] == pytest.approx(known["p_value"], rel=5e-3 if outcome == "conversion" else 1e-3)


def test_hillstrom_post_stratified_effect_as_published(shared_data: Path) -> None:
    facts = json.loads((shared_data / "reference_facts.json").read_text())["hillstrom"]
    found = document(
        *(
            shared_data / "hillstrom" / "hillstrom.csv.gz",
            "--arm",
            "segment",
            "--control",
            "No E-Mail",
            "--outcome",
            "visit",
        ),
        *("--analysis", "stratified-difference", "--stratum", "history_segment", "--stratum", "channel"),
    )
    published = facts["mens vs control visit, post-stratified by history_segment x channel"]
    assert round(_of(found, "Mens E-Mail")["estimate"], 6) == published


def test_says_what_it_found(ratings: Path) -> None:
    done = run(ratings, "--arm", "arm", "--outcome", "csat", "--analysis", "exact-permutation", "--stratum", "region")
    assert done.exit_code == 0, done.output
    assert "csat: desk against control" in done.stdout
    assert "95 % interval" in done.stdout
    assert "two-sided (twice the smaller tail)" in done.stdout
    assert "52 and 49 answers" in done.stdout
    assert not any(line.endswith(" ") for line in done.stdout.splitlines())


def test_settings_and_direction_reach_the_analysis(ratings: Path) -> None:
    common = (ratings, "--arm", "arm", "--outcome", "csat", "--analysis", "non-inferiority")
    found = _of(document(*common, "--set", "margin=0.3", "--set", "level=0.9"), "desk")
    assert (found["margin"], found["level"], found["passed"]) == (0.3, 0.9, True)
    assert _of(document(*common, "--set", "margin=0.3", "--lower-is-better"), "desk")["passed"] is False


def test_too_little_data_is_an_answer(tmp_path: Path) -> None:
    path = tmp_path / "few.csv"
    path.write_text("arm,y\ncontrol,1\ncontrol,2\npilot,2.5\n")
    done = run(path, "--arm", "arm", "--outcome", "y", "--analysis", "welch")
    assert done.exit_code == 0
    assert "Not enough data for welch: pilot has only one of the customers" in done.stdout


def test_an_alarm_ends_with_exit_code_1(tmp_path: Path) -> None:
    path = tmp_path / "lopsided.csv"
    path.write_text("arm,y\n" + "control,1\n" * 150 + "pilot,1\n" * 90)
    done = run(path, "--arm", "arm", "--outcome", "y", "--analysis", "sample-ratio", "--json")
    assert isinstance(done.exception, PilotError)
    assert done.exception.exit_code == 1
    assert json.loads(done.stdout)["comparisons"][0]["passed"] is False


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--analysis", "wlch"), "'welch'"),
        (("--analysis", "welch", "--set", "level"), "Write it as name=value"),
        (("--analysis", "welch", "--set", "colour=red"), "welch has no setting 'colour'"),
        (("--analysis", "non-inferiority"), "margin"),
        (("--analysis", "newcombe"), "does not fit an outcome on the scale 'rating'"),
    ],
)
def test_wrong_use_is_explained(ratings: Path, args: tuple[str, ...], message: str) -> None:
    done = run(ratings, "--arm", "arm", "--outcome", "csat", *args)
    assert isinstance(done.exception, PilotError)
    assert done.exception.exit_code == 2
    assert message in str(done.exception)
    assert done.stdout == ""


def test_missing_options_are_named(ratings: Path) -> None:
    done = run(ratings, "--arm", "arm")
    assert done.exit_code == 2
    assert "--outcome" in done.output


def test_lists_analyses_with_their_settings() -> None:
    found = json.loads(run("--list", "--json").stdout)
    keys = [row["key"] for row in found]
    assert {
        "welch",
        "stratified-difference",
        "newcombe",
        "exact-permutation",
        "non-inferiority",
        "sample-ratio",
    } <= set(keys)
    assert next(row for row in found if row["key"] == "non-inferiority")["settings"] == ["margin", "level=0.95"]
    assert "non-inferiority" in run("--list").stdout


def test_runs_from_the_shell_without_configuration(ratings: Path, tmp_path: Path) -> None:
    command = [
        Path(sys.executable).with_name("pilot"),
        "compare",
        ratings,
        "--arm",
        "arm",
        "--outcome",
        "csat",
        "--analysis",
        "welch",
        "--json",
    ]
    done = subprocess.run(command, cwd=tmp_path, env={"PATH": ""}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["analysis"] == "welch"
    assert sorted(tmp_path.iterdir()) == [ratings]


def _of(found: dict[str, Any], arm: str) -> dict[str, Any]:
    (comparison,) = (item for item in found["comparisons"] if item["arm"] == arm)
    assert isinstance(comparison, dict)
    return comparison


def test_left_to_itself_it_chooses_and_says_why(ratings: Path) -> None:
    common = (ratings, "--arm", "arm", "--outcome", "csat")
    assert document(*common)["analysis"] == "welch"
    found = document(*common, "--stratum", "region")
    assert found["analysis"] == "stratified-difference"
    assert found["chosen_because"] == (
        "The arms were assigned within strata, so they are compared inside them and weighted."
    )
    assert run(*common).stdout.startswith("Chosen: welch. A difference of means is what the business counts")


CUSTOMERS = "arm,spend,before,rep,weight\n" + "".join(
    f"{('control', 'desk')[k % 2]},{10 + k % 7 + 2 * (k % 2)}.5,{9 + k % 5},r{k % 12},{1 + k % 3}\n" for k in range(120)
)


@pytest.mark.parametrize(
    ("columns", "key"),
    [
        (["--covariate", "before"], "lin"),
        (["--cluster", "rep"], "cluster-robust"),
        (["--weight", "weight"], "survey-weighted"),
    ],
)
def test_further_columns_are_used_by_what_is_chosen(tmp_path: Path, columns: list[str], key: str) -> None:
    path = tmp_path / "spend.csv"
    path.write_text(CUSTOMERS)
    found = document(path, "--arm", "arm", "--outcome", "spend", *columns)
    assert found["analysis"] == key
    assert found["comparisons"][0]["estimate"] == pytest.approx(2, abs=0.2)
    refused = run(path, "--arm", "arm", "--outcome", "spend", "--analysis", "welch", *columns)
    if key == "cluster-robust":
        assert "which this analysis ignores; use cluster-robust" in " ".join(refused.stdout.split())
    else:
        assert isinstance(refused.exception, PilotError)
        assert f"welch uses no {'weights' if key == 'survey-weighted' else 'covariates'}" in str(refused.exception)


def test_a_rating_outside_its_scale_is_named(ratings: Path) -> None:
    done = run(ratings, "--arm", "arm", "--outcome", "csat", "--levels", "2,3,4,5")
    assert isinstance(done.exception, PilotError)
    assert "row 2, column csat: 1 is none of the values of the scale. The scale has: 2, 3, 4, 5" in str(done.exception)


def test_negative_money_is_named(tmp_path: Path) -> None:
    path = tmp_path / "spend.csv"
    path.write_text("arm,spend\ncontrol,1.5\ndesk,-2.5\ncontrol,3.5\ndesk,4.5\n")
    done = run(path, "--arm", "arm", "--outcome", "spend", "--scale", "money")
    assert "row 3, column spend: -2.5 is negative, on the scale money" in str(done.exception)
    assert document(path, "--arm", "arm", "--outcome", "spend")["scale"] == "number"
    assert "spend is taken for: number" in " ".join(run(path, "--arm", "arm", "--outcome", "spend").stdout.split())


def test_a_weight_of_zero_is_named(tmp_path: Path) -> None:
    path = tmp_path / "spend.csv"
    path.write_text("arm,spend,w\ncontrol,1.5,1\ndesk,2.5,0\n")
    done = run(path, "--arm", "arm", "--outcome", "spend", "--weight", "w")
    assert "row 3, column w: the weight 0 is not above 0" in str(done.exception)


def test_empty_outcomes_of_assigned_customers_are_missing_answers(tmp_path: Path) -> None:
    path = tmp_path / "answers.csv"
    path.write_text(RATINGS + "control,,north\n" * 40)
    found = document(path, "--arm", "arm", "--outcome", "csat", "--assigned")
    assert found["excluded"] == {}
    assert found["comparisons"][0]["arms"][0]["assigned"] == found["comparisons"][0]["arms"][0]["n"] + 40
    assert any("who is missing may explain" in warning for warning in found["comparisons"][0]["warnings"])


def test_missing_answers_and_known_levels_go_together(tmp_path: Path) -> None:
    path = tmp_path / "answers.csv"
    path.write_text(RATINGS + "control,,north\n" * 3)
    for key in ("welch", "sample-ratio", "mann-whitney"):
        found = document(
            path, "--arm", "arm", "--outcome", "csat", "--assigned", "--levels", "1,2,3,4,5", "--analysis", key
        )
        assert found["scale"] == "rating"


def test_clusters_that_ranks_ignore_are_told_and_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "spend.csv"
    path.write_text(CUSTOMERS)
    common = (path, "--arm", "arm", "--outcome", "spend", "--analysis", "mann-whitney")
    found = document(*common, "--cluster", "rep")["comparisons"][0]
    assert any("which this analysis ignores; use cluster-robust" in warning for warning in found["warnings"])
    for option in ("--weight", "--covariate"):
        assert "mann-whitney uses no" in str(run(*common, option, "weight").exception)


def test_an_analysis_of_times_takes_its_outcome_for_one(tmp_path: Path) -> None:
    path = tmp_path / "days.csv"
    path.write_text(
        "arm,days,left\n" + "".join(f"{('control', 'desk')[k % 2]},{5 + k % 40},{k % 3 // 2}\n" for k in range(200))
    )
    found = document(path, "--arm", "arm", "--outcome", "days", "--covariate", "left", "--analysis", "log-rank")
    assert found["scale"] == "time"
    assert found["comparisons"][0]["kind"] == "comparison"


def test_several_arms_are_held_against_control_together(tmp_path: Path) -> None:
    path = tmp_path / "arms.csv"
    path.write_text(
        "arm,spend\n" + "".join(f"{('control', 'desk', 'portal')[k % 3]},{10 + k % 7 + k % 3}.5\n" for k in range(120))
    )
    assert document(path, "--arm", "arm", "--outcome", "spend")["analysis"] == "dunnett"


def test_arms_that_differ_in_capital_letters_only_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "arms.csv"
    path.write_text("arm,spend\ncontrol,1\ndesk,2\nDesk ,3\n")
    done = run(path, "--arm", "arm", "--outcome", "spend")
    assert "these arms differ in capital letters only: Desk, desk. Write them alike" in str(done.exception)


def test_adjusted_means_stay_on_the_scale_of_the_outcome(tmp_path: Path) -> None:
    path = tmp_path / "spend.csv"
    path.write_text(CUSTOMERS)
    common = (path, "--arm", "arm", "--outcome", "spend", "--covariate", "before")
    cuped, lin = (document(*common, "--analysis", key)["comparisons"][0] for key in ("cuped", "lin"))
    for mine, other in zip(cuped["arms"], lin["arms"], strict=True):
        assert mine["mean"] == pytest.approx(other["mean"], abs=0.1)
