"""`harness weights`, and what training and scoring make of the files: told early, refused when wrong, in the digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import command
import pytest
import tiny_suite
import torch
import weight_files

from harness import registry
from harness.errors import EnvironmentProblem, UsageError
from harness.score import weights
from harness.spec import Spec
from harness.suite.settings import from_options
from harness.suite.suite import from_document
from harness.suite.yamlfile import parse
from harness.trials.trial import trials
from models import photographs
from models.lpips import LPIPS
from models.pretrained import FILES


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty TORCH_HOME."""
    place = tmp_path / "torch"
    monkeypatch.setenv("TORCH_HOME", str(place))
    for cached in (weights.perceptual, weights.face_embedder):
        cached.cache_clear()
    return place


@pytest.fixture
def call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        return command.called(arguments, monkeypatch, capsys)

    return run


@pytest.fixture
def squeeze(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A rightly named and hashed file that has been got, and not been added yet."""
    file = weight_files.write(tmp_path / "got" / FILES["squeeze"].file, "squeeze")
    weight_files.publish(file, "squeeze", monkeypatch)
    return file


def tiny(monkeypatch: pytest.MonkeyPatch, *options: str) -> list[Any]:
    monkeypatch.setitem(registry._added, ("variant", "tiny-test"), tiny_suite.build)
    loaded = from_document(parse(tiny_suite.TEXT, "s.yaml"), Path("s.yaml"))
    return trials(loaded, "quick", from_options(list(options)))


def test_an_empty_folder_lists_every_file_with_place_and_hash(home: Path, call: Any) -> None:
    code, out, _ = call("weights", "--json")
    rows = {row["name"]: row for row in json.loads(out)["weights"]}
    assert code == 0 and set(rows) == {"vgg", "alex", "squeeze", "vggface2", "casia", "arcface", "arcface_onnx"}
    assert {row["state"] for row in rows.values()} == {"missing"}
    assert rows["vgg"]["file"] == "vgg16-397923af.pth" and "397923af" in rows["vgg"]["hash"]
    assert rows["vgg"]["folder"] == str(home / "hub" / "checkpoints")
    assert rows["casia"]["folder"] == str(home / "checkpoints") and "recorded at add" in rows["casia"]["hash"]
    text = call("weights")[1]
    assert all(f"{known.name}: missing" in text and known.file in text for known in FILES.values())


def test_an_added_file_is_copied_recorded_and_loads(home: Path, call: Any, squeeze: Path) -> None:
    code, out, _ = call("weights", "add", str(squeeze))
    place, digest = FILES["squeeze"].path, hashlib.sha256(squeeze.read_bytes()).hexdigest()
    assert code == 0 and str(place) in out and digest in out
    assert place.read_bytes() == squeeze.read_bytes()
    assert FILES["squeeze"].record.read_text() == f"{digest}  {place.name}\n"
    assert sorted(path.name for path in place.parent.iterdir()) == sorted([place.name, f"{place.name}.sha256"])
    assert LPIPS("squeeze").weights_sha256 == digest
    assert {one.known.name: one.state for one in weights.states()}["squeeze"] == "present"
    assert weights.add(place) == (place, digest)  # again, from its own place


def test_a_renamed_file_is_taken_under_its_name(home: Path, tmp_path: Path, squeeze: Path, call: Any) -> None:
    renamed = squeeze.rename(tmp_path / "download.bin")
    code, _, err = call("weights", "add", str(renamed))
    assert code == 2 and "'download.bin' is not a file of weights" in err and "--as NAME" in err
    assert call("weights", "add", str(renamed), "--as", "squeeze")[0] == 0
    assert FILES["squeeze"].path.is_file()
    code, _, err = call("weights", "add", str(renamed), "--as", "squeez")
    assert code == 2 and "Did you mean 'squeeze'?" in err


def test_a_flipped_byte_is_refused_and_changes_nothing(home: Path, squeeze: Path, call: Any) -> None:
    content = bytearray(squeeze.read_bytes())
    content[len(content) // 2] ^= 1
    squeeze.write_bytes(content)
    code, _, err = call("weights", "add", str(squeeze))
    assert code == 4 and "its SHA-256 is" in err and FILES["squeeze"].prefix in err
    assert not home.exists()


def test_a_file_of_another_network_is_refused(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = weight_files.write(tmp_path / FILES["squeeze"].file, "alex")
    weight_files.publish(file, "squeeze", monkeypatch)
    with pytest.raises(EnvironmentProblem, match="of another network"):
        weights.add(file)
    torch.save({"conv2d_1a.conv.weight": torch.zeros(1)}, tmp_path / FILES["casia"].file)
    with pytest.raises(EnvironmentProblem, match="lacks"):
        weights.add(tmp_path / FILES["casia"].file)
    with pytest.raises(UsageError, match="there is no file"):
        weights.add(tmp_path / "nowhere.pth")
    assert not home.exists()


def test_a_face_embedder_is_added_and_recorded(home: Path, tmp_path: Path) -> None:
    file = weight_files.write(tmp_path / FILES["casia"].file, "casia")
    place, digest = weights.add(file)
    assert place.parent == home / "checkpoints"
    reader = weights.face_embedder(torch.device("cpu"))
    assert isinstance(reader, photographs.FaceNet) and reader.weights_sha256 == digest
    assert reader.name == "facenet-casia"


def test_a_file_damaged_in_its_place_is_listed_and_ends_scoring_with_a_message(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert weights.perceptual(torch.device("cpu")) is None and weights.face_embedder(torch.device("cpu")) is None
    weights.perceptual.cache_clear()
    file = weight_files.install(home, "alex", monkeypatch)
    file.write_bytes(file.read_bytes()[:-1])
    assert {one.known.name: one.state for one in weights.states()}["alex"] == "damaged"
    with pytest.raises(EnvironmentProblem, match="damaged"):
        weights.perceptual(torch.device("cpu"))
    with pytest.raises(EnvironmentProblem, match="damaged"):  # and before any training
        weights.preflight([Spec.model_validate({"model": {"variant": "x"}, "loss": {"l1": 1.0}})])


def test_auto_is_settled_before_the_digest(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ("loss.perceptual.weight=1", "loss.perceptual.net=squeeze")
    without = tiny(monkeypatch, *options)[0]
    assert without.spec.loss["perceptual"].options["kind"] == "gradient"
    assert tiny(monkeypatch, *options, "loss.perceptual.kind=gradient")[0].digest == without.digest
    weight_files.install(home, "squeeze", monkeypatch)
    present = tiny(monkeypatch, *options)[0]
    assert present.spec.loss["perceptual"].options["kind"] == "lpips" and present.digest != without.digest
    assert present.score_digest == without.score_digest


def test_a_new_file_for_scoring_outdates_the_scores_and_not_the_training(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tiny(monkeypatch)[0]
    weight_files.install(home, "alex", monkeypatch)
    after = tiny(monkeypatch)[0]
    assert after.digest == before.digest and after.score_digest != before.score_digest
    assert weights.scoring_state(synthetic=True) == weights.scoring_state(synthetic=False) == "+alex"


def test_preflight_asks_only_terms_in_use(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def spec(**loss: Any) -> Spec:
        return Spec.model_validate({"model": {"variant": "x"}, "loss": loss})

    weights.preflight([spec(l1=1.0, lpips={"weight": 0.0, "net": "vgg"})])
    weights.preflight([spec(perceptual={"weight": 1.0, "kind": "gradient", "net": "vgg"})])
    for term in (
        {"lpips": {"weight": 1.0, "net": "vgg"}},
        {"perceptual": {"weight": 1.0, "kind": "lpips", "net": "vgg"}},
    ):
        with pytest.raises(EnvironmentProblem, match=r"vgg16-397923af\.pth"):
            weights.preflight([spec(**term)])
    weight_files.install(home, "squeeze", monkeypatch)
    weights.preflight([spec(lpips={"weight": 1.0, "net": "squeeze"})])


def test_a_run_without_its_weights_ends_at_once_with_4_and_the_remedy(
    home: Path, tmp_path: Path, call: Callable[..., tuple[int, str, str]]
) -> None:
    text = "suite: needs\nquestion: Is it told?\nbase: {model: {variant: grid}, loss: {lpips: 1.0}}\nseeds: 1\n"
    (tmp_path / "needs.yaml").write_text(text + "scales: {quick: {optim.steps: 1, data.size: 64}}\n")
    code, _, told = call("run", "needs.yaml", "--scale", "quick")
    assert code == 4, told
    for part in ("vgg16-397923af.pth", "397923af", str(home / "hub" / "checkpoints"), "harness weights add"):
        assert part in told
    assert not (tmp_path / "results").exists()
