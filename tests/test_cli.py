"""The command line: what it prints, where, and with which exit code. The executor is replaced, nothing trains here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import command
import pytest
import tiny_suite

import harness.execute
import harness.report
from harness import registry
from harness.cli import app, list
from harness.ledger.records import Ledger, Record
from harness.spec import Spec
from harness.trials.trial import Trial

Result = tuple[int, str, str]
Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `harness ARGUMENTS` in an empty folder that has the tiny suite; gives (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(registry._added, ("variant", "tiny-test"), tiny_suite.build)
    (tmp_path / "suites").mkdir()
    tiny_suite.write(tmp_path / "suites")

    def call(*arguments: str) -> Result:
        return command.called(arguments, monkeypatch, capsys)

    return call


def record_of(trial: Trial, status: str = "done") -> Record:
    return Record(
        name=trial.name,
        label=trial.label,
        seed=trial.seed,
        status=status,
        suite=trial.suite,
        scale=trial.scale,
        cell=trial.cell,
        pair=trial.pair,
        digest=trial.digest,
        score_digest=trial.score_digest,
        reason=None if status == "done" else "ended with exit status 9",
        spec=trial.spec.model_dump(mode="json"),
        scores={"swap_error": {"mean": 0.25, "n": 8}} if status == "done" else {},
        references={"copy": {"swap_error": 0.5}},
        cost={"device": "cpu", "steps": 10, "wall_s": {"train": 20.0, "score": 1.0, "total": 21.0}}
        if status == "done"
        else {},
    )


@pytest.fixture
def executor(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """An executor that writes records at once. `status` decides how the trial of a label ends."""
    seen: dict[str, Any] = {"status": {}, "calls": []}

    def run_plan(trials: list[Trial], *, root: Path, **options: Any) -> list[Record]:
        seen["calls"].append(([trial.name for trial in trials], options))
        ledger = Ledger(root / trials[0].suite)
        return [ledger.write(record_of(trial, seen["status"].get(trial.label, "done"))) for trial in trials]

    def build(folders: list[Path], out: Path | None, formats: set[str]) -> list[Path]:
        seen["formats"] = formats
        page = (out or folders[0]) / "report.html"
        page.write_text("a page")
        return [page]

    monkeypatch.setattr(harness.execute, "run_plan", run_plan)
    monkeypatch.setattr(harness.report, "build", build)
    monkeypatch.setattr(harness.report, "summary", lambda folder: [{"variant": "grid3", "swap error": "0.25"}])
    return seen


def test_dry_run_shows_every_trial_and_writes_nothing(run: Run, tmp_path: Path) -> None:
    code, out, err = run("run", "tiny", "--dry-run", "--device", "cpu")
    assert code == 0
    assert "scale quick (no CUDA device is used), 4 trials of 2 variants" in err
    head, _, *lines = out.splitlines()
    assert head.split() == ["variant", "seed", "pair", "digest", "steps", "parameters", "time", "disk", "state"]
    assert lines[0].split()[:3] == ["grid3", "0", "p0000"]
    assert "10           3" in lines[0]  # steps, and a linear layer of 2 weights and a bias
    assert out.count("to do") == 5
    assert not (tmp_path / "results").exists()


def test_dry_run_json_has_a_schema_version_and_device_folder_and_jobs_leave_digests_alone(run: Run) -> None:
    found = []
    for more in ([], ["--out", "elsewhere", "--jobs", "3"], ["--device", "auto", "--timeout", "9"]):
        code, out, _ = run("run", "suites/tiny.yaml", "--scale", "quick", "--dry-run", "--json", *more)
        assert code == 0
        values = json.loads(out)
        assert values["schema_version"] == 1
        assert {"name", "label", "seed", "digest", "steps", "parameters", "state"} <= values["trials"][0].keys()
        found.append([trial["digest"] for trial in values["trials"]])
    assert found[0] == found[1] == found[2]


def test_first_pair_shows_other_people_with_the_same_seeds(run: Run) -> None:
    found = {}
    for first in (0, 1000):
        _, out, _ = run("run", "tiny", "--dry-run", "--json", "--device", "cpu", "--first-pair", str(first))
        found[first] = json.loads(out)["trials"]
    assert [(t["seed"], t["pair"]) for t in found[1000]] == [(0, "p1000"), (0, "p1000"), (1, "p1001"), (1, "p1001")]
    assert [t["seed"] for t in found[0]] == [t["seed"] for t in found[1000]]
    assert not {t["digest"] for t in found[0]} & {t["digest"] for t in found[1000]}


def test_a_run_writes_the_plan_executes_reports_and_ends_with_the_page(
    run: Run, executor: dict[str, Any], tmp_path: Path
) -> None:
    code, out, err = run("run", "tiny", "--device", "cpu", "--jobs", "2", "--set", "optim.lr=1e-3", "--timeout", "60")
    assert code == 0, err
    assert out.splitlines()[-1] == "results/tiny/report.html"
    assert "swap error" in out
    plan = Ledger(tmp_path / "results" / "tiny").plan()
    assert plan is not None
    assert plan["command"] == "harness run tiny --device cpu --jobs 2 --set optim.lr=1e-3 --timeout 60"
    assert plan["suite_file"] == "suites/tiny.yaml"
    assert (plan["baseline"], plan["axes"], plan["scale"]) == ("grid5", ["model.grid"], "quick")
    assert plan["overrides"] == {"optim.lr": 1e-3}
    assert [t["label"] for t in plan["trials"]] == ["grid3", "grid5", "grid3", "grid5"]
    options = executor["calls"][0][1]
    assert (options["jobs"], options["timeout_s"]) == ("2", 60.0)
    assert executor["formats"] == {"html", "md", "csv"}
    assert str(tmp_path) not in json.dumps(plan)


def test_only_runs_a_part_and_plans_the_whole(run: Run, executor: dict[str, Any], tmp_path: Path) -> None:
    code, _, err = run("run", "tiny", "--device", "cpu", "--only", "grid3*", "--seeds", "1")
    assert code == 0, err
    assert [name.split("-")[0] for name in executor["calls"][0][0]] == ["grid3"]
    plan = Ledger(tmp_path / "results" / "tiny").plan()
    assert plan is not None
    assert len(plan["trials"]) == 2


def test_failed_trials_are_told_and_give_exit_code_3(run: Run, executor: dict[str, Any]) -> None:
    executor["status"]["grid5"] = "failed"
    code, out, err = run("run", "tiny", "--device", "cpu", "--json")
    assert code == 3
    values = json.loads(out)
    assert [t["status"] for t in values["trials"]] == ["done", "failed", "done", "failed"]
    assert values["report"] == ["results/tiny/report.html"]
    assert "harness: 2 of 4 trials did not finish" in err
    assert "ended with exit status 9" in err


def test_estimates_come_from_the_past_and_done_is_shown(run: Run, executor: dict[str, Any]) -> None:
    run("run", "tiny", "--device", "cpu", "--only", "grid3-s0")
    code, out, _ = run("run", "tiny", "--device", "cpu", "--dry-run")
    assert code == 0
    assert [line.split()[-1] for line in out.splitlines()[2:6]] == ["done", "do", "do", "do"]
    assert out.splitlines()[3].count("21 s") == 1
    assert "estimates: measured" in out


def test_an_interrupted_run_gives_130_or_143(
    run: Run, executor: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for signum, expected in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):

        def stopped(*_: Any, signum: int = signum, **__: Any) -> None:
            raise harness.execute.Interruption(signum)

        monkeypatch.setattr(harness.execute, "run_plan", stopped)
        code, _, err = run("run", "tiny", "--device", "cpu")
        assert code == expected
        assert "the same command continues" in err


def test_a_keyboard_interrupt_anywhere_gives_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("harness.suite.suite.find", interrupted)
    assert run("run", "tiny")[0] == 130


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "tinny"], "there is no suite 'tinny'. Did you mean 'tiny'?"),
        (["run", "tiny", "--set", "optim.lrr=1"], "--set optim.lrr=1: there is no key 'optim.lrr'. Did you mean 'lr'?"),
        (["run", "tiny", "--scale", "paper", "--dry-run"], "has no scale 'paper'"),
        (["run", "tiny", "--only", "nothing", "--device", "cpu", "--dry-run"], "--only nothing: no trial matches"),
        (["run", "tiny", "--jobs", "many"], "'many' is neither `auto` nor a number"),
        (["run", "tiny", "--scale", "huge"], "huge"),
        (["report", "nothing"], "there are no results of 'nothing'"),
        (["report", "--format", "pdf"], "--format pdf: not known. Expected some of html,md,csv"),
        (["report"], "there are no results under results"),
        (["show", "grid3"], "there is no trial 'grid3' under results"),
        (["list", "nonsense"], "nonsense"),
        (["data", "check", "gone"], "there is no folder gone"),
        (["data", "make", "suites"], "suites exists already"),
        (["frobnicate"], "frobnicate"),
    ],
)
def test_mistakes_give_one_clear_message_and_exit_code_2(run: Run, arguments: list[str], message: str) -> None:
    code, out, err = run(*arguments)
    assert code == 2
    assert message in err
    assert "Traceback" not in err
    assert out == ""


def test_results_that_cannot_be_written_are_an_environment_problem(run: Run, executor: dict[str, Any]) -> None:
    Path("occupied").write_text("a file, not a folder")
    code, out, err = run("run", "tiny", "--device", "cpu", "--out", "occupied")
    assert code == 4
    assert "occupied/tiny/plan.json: not writable" in err
    assert executor["calls"] == []
    assert out == ""


def test_list_names_suites_parts_and_trials(run: Run, executor: dict[str, Any]) -> None:
    assert "tiny" in run("list", "suites")[1]
    assert "grid" in run("list", "variants")[1]
    assert "kl" in run("list", "losses")[1]
    metrics = json.loads(run("list", "metrics", "--json")[1])["metrics"]
    assert {"metric": "identity_transfer", "evaluator": "identity", "unit": "", "better": "higher"}.items() <= next(
        row for row in metrics if row["metric"] == "identity_transfer"
    ).items()
    assert run("list", "trials") == (0, "", "no trials under results. Run a suite first: harness run SUITE\n")
    executor["status"]["grid5"] = "diverged"
    run("run", "tiny", "--device", "cpu", "--seeds", "1")
    rows = json.loads(run("list", "trials", "--json")[1])["trials"]
    assert [(row["suite"], row["state"], row["planned"]) for row in rows] == [
        ("tiny", "done", True),
        ("tiny", "diverged", True),
    ]


def test_a_suite_that_cannot_be_read_is_listed_as_such(run: Run, tmp_path: Path) -> None:
    (tmp_path / "suites" / "bad.yaml").write_text("suite: [")
    code, out, _ = run("list", "suites")
    assert code == 0
    assert "unreadable: suites/bad.yaml:1:9" in out


def test_show_tells_the_trial_and_suggests_on_a_typo(run: Run, executor: dict[str, Any], tmp_path: Path) -> None:
    run("run", "tiny", "--device", "cpu")
    name = executor["calls"][0][0][0]
    pictures = tmp_path / "results" / "tiny" / "trials" / name / "pictures"
    pictures.mkdir()
    (pictures / "worst.png").write_bytes(b"")
    code, out, _ = run("show", name)
    assert code == 0
    for text in (f"{name}: done", "swap_error", "0.25", "copy", "worst.png", "batch: 4", "grid: 3"):
        assert text in out
    assert run("show", "grid3-s0")[1] == out
    assert json.loads(run("show", name, "--json")[1])["pictures"] == [f"results/tiny/trials/{name}/pictures/worst.png"]
    code, _, err = run("show", name[:-1] + "z")
    assert code == 2
    assert f"Did you mean '{name}'?" in err
    code, _, err = run("show", "grid3")
    assert code == 2
    assert "could be any of" in err


def test_a_damaged_record_is_named_and_the_others_are_shown(run: Run, executor: dict[str, Any], tmp_path: Path) -> None:
    run("run", "tiny", "--device", "cpu")
    name = executor["calls"][0][0][0]
    record = tmp_path / "results" / "tiny" / "trials" / name / "record.json"
    record.write_text(record.read_text().replace("0.25", "0.10"))
    code, out, err = run("list", "trials")
    assert code == 0
    assert "damaged" in out
    assert f"record.json of {name} is damaged: its content does not match its hash" in err
    assert out.count(" done ") == 3


def test_data_is_made_checked_and_shown(run: Run, tmp_path: Path) -> None:
    code, out, err = run(
        "data", "make", "faces", "--pair", "near", "--frames", "3", "--eval-frames", "2", "--size", "16"
    )
    assert (code, out) == (0, "faces\n"), err
    code, out, _ = run("data", "check", "faces")
    assert code == 0
    assert "3 in src" in out
    assert run("data", "preview", "faces", "sheet.png")[0] == 0
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")
    (tmp_path / "faces" / "src" / "00000.exr").write_bytes(b"no image")
    code, out, err = run("data", "check", "faces", "--json")
    assert code == 1
    assert [row["file"] for row in json.loads(out)["bad"]] == ["src/00000.exr"]
    assert "1 files are not usable" in err


def test_data_is_made_of_a_numbered_pair_as_loosely_as_asked(run: Run, tmp_path: Path) -> None:
    small = ("--frames", "2", "--eval-frames", "2", "--size", "16")
    assert run("data", "make", "faces", "--pair", "7", "--variation", "free", *small)[0] == 0
    made = json.loads((tmp_path / "faces" / "manifest.json").read_text())["spec"]
    assert (made["pair"], made["loose"]["roll"]) == (7, 15.0)
    code, _, err = run("data", "make", "others", "--pair", "twins", *small)
    assert code == 2 and "neither near, mid or far nor the number of a random pair" in " ".join(err.split())
    assert not (tmp_path / "others").exists()


def test_completion_offers_suite_and_trial_names(run: Run, executor: dict[str, Any]) -> None:
    assert app._suite_names("ti") == ["tiny"]
    run("run", "tiny", "--device", "cpu", "--seeds", "1")
    assert [name.split("-s0-")[0] for name in list._trial_names("grid3")] == ["grid3"]


def test_every_setting_of_a_suite_is_listed_with_its_meaning(run: Run) -> None:
    def leaves(values: dict[str, Any], under: str = "") -> set[str]:
        return set().union(*(leaves(v, f"{under}{k}.") if isinstance(v, dict) and k != "loss" else {under + k}
                             for k, v in values.items()))  # fmt: skip

    spec = Spec.model_validate({"model": {"variant": "grid"}, "loss": {"l1": 1.0}})
    rows = json.loads(run("list", "settings", "--json")[1])["settings"]
    assert {row["key"] for row in rows} == leaves(spec.model_dump(mode="json"))
    assert all(len(row["meaning"]) > 5 for row in rows)
    text = run("list", "settings")[1]
    assert "data.augment.affine" in text and "true" in text and "(adam, muon)" in text


def test_the_version_is_that_of_the_package(run: Run) -> None:
    import importlib.metadata

    assert run("--version") == (0, f"harness {importlib.metadata.version('faceswap-bench')}\n", "")


def test_help_names_the_verbs_and_the_exit_codes() -> None:
    command = [sys.executable, "-m", "harness.cli", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "100"})
    assert {"run", "report", "list", "show", "data", "verify"} <= set(done.stdout.split())
    assert "70 an error of the harness itself" in " ".join(done.stdout.split())
