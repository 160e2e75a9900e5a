"""The training loop: one Adam that acts as three, exact resumption, divergence, memory, schedule."""

from __future__ import annotations

import ast
import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_training import spec_of, store_in

from harness import registry
from harness.compute import Compute
from harness.data.batches import BatchSource
from harness.data.store import FaceStore
from harness.data.streams import stream_seed
from harness.options import build_model
from harness.score.pictures import Preview
from harness.spec import OptimSpec, Spec
from harness.train import checkpoint, loop, optimise
from harness.train import step as train_steps
from harness.train.step import forward
from harness.train.terms import build_losses
from models.swapper import Swapper

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FaceStore:
    return store_in(tmp_path_factory.mktemp("root"))


def run(spec: Spec, store: FaceStore, folder: Path, **options: Any) -> loop.Trained:
    return loop.train(spec, 0, store, CPU, folder, look=Preview(store, spec, folder, CPU), **options)


def after(count: int) -> Callable[[], bool]:
    """A `stop` that says yes at the end of this process's `count`-th step."""
    calls = itertools.count(1)
    return lambda: next(calls) >= count


def history_of(folder: Path) -> list[dict[str, Any]]:
    import json

    rows = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def assert_equal(a: Swapper, b: Swapper) -> None:
    ours, theirs = a.state_dict(), b.state_dict()
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


def test_at_a_constant_rate_a_short_training_is_the_beginning_of_a_longer_one(store: FaceStore, tmp_path: Path) -> None:
    short, long = (spec_of(optim={"steps": steps, "schedule": "constant"}) for steps in (4, 8))
    done = run(short, store, tmp_path / "short").model
    with pytest.raises(loop.Interrupted):
        run(long, store, tmp_path / "long", stop=after(4))
    begun = checkpoint.load(tmp_path / "long" / "checkpoint")
    assert begun is not None and begun.meta["step"] == 4
    same = [torch.equal(tensor, begun.tensors[f"model.{name}"]) for name, tensor in done.state_dict().items()]
    assert len(same) > 20 and all(same)


@pytest.mark.parametrize("clip", [0.05, 0.0])
def test_one_adam_with_groups_equals_three_adams(store: FaceStore, tmp_path: Path, clip: float) -> None:
    spec = spec_of(model={"norm": "none"}, optim={"steps": 5, "schedule": "constant", "clip": clip, "lr": 3e-3})
    found = run(spec, store, tmp_path).model
    torch.manual_seed(stream_seed(0, "init", 0))
    model = build_model(spec).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    terms = build_losses(spec, model)
    lr, betas = 3e-3, spec.optim.betas
    encoder = [{"params": model.encoder.parameters()}, {"params": model.head.parameters(), "lr": lr / 2}]
    adams = [torch.optim.Adam(encoder, lr=lr, betas=betas, fused=False)]
    adams += [torch.optim.Adam(d.parameters(), lr=lr, betas=betas, fused=False) for d in model.decoders.values()]
    source = BatchSource(store, spec.data, spec.optim.batch, 0, CPU)
    clipped = False
    for number in range(5):
        torch.manual_seed(stream_seed(0, "init", number + 1))
        step = forward(model, source.at(number), (number, 5), "fp32")
        sum(weight * term(step) for _, weight, term in terms).backward()  # type: ignore[union-attr]
        networks = [[*model.encoder.parameters(), *model.head.parameters()]]
        for network in networks + [list(d.parameters()) for d in model.decoders.values()]:
            norm = math.sqrt(sum(float(p.grad.square().sum()) for p in network if p.grad is not None))
            if clip and norm > clip:
                clipped = True
                for p in network:
                    if p.grad is not None:
                        p.grad *= clip / (norm + 1e-6)
        for each in adams:
            each.step()
            each.zero_grad()
    assert clipped == bool(clip)
    for (name, ours), theirs in zip(found.state_dict().items(), model.state_dict().values(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("width", [4, 8])
def test_resumed_run_equals_uninterrupted_run(store: FaceStore, tmp_path: Path, width: int) -> None:
    spec = spec_of(optim={"steps": 25}, model={"width": width})
    whole = run(spec, store, tmp_path / "whole")
    assert whole.resumed_from is None
    at = (3, 9, 22)  # 40 samples and batches of 6: each lies within an epoch; before and after a block of 20 steps
    last = 0
    for step in at:
        with pytest.raises(loop.Interrupted, match=f"stopped after step {step} of 25"):
            run(spec, store, tmp_path / "parts", stop=after(step - last))
        last = step
    rest = run(spec, store, tmp_path / "parts")
    assert rest.resumed_from == 22
    assert_equal(whole.model, rest.model)
    rows = history_of(tmp_path / "parts")
    assert rows == history_of(tmp_path / "whole")
    assert [row["step"] for row in rows][-1] == 25 and rows[-1]["swap_error"] > 0


def test_a_finished_run_called_again_trains_nothing(store: FaceStore, tmp_path: Path) -> None:
    first = run(spec_of(), store, tmp_path)
    seen: list[int] = []
    again = run(spec_of(), store, tmp_path, report=lambda step, **_: seen.append(step))
    assert seen == [] and again.resumed_from == 8
    assert_equal(first.model, again.model)


def test_a_damaged_checkpoint_is_passed_over_and_told(store: FaceStore, tmp_path: Path) -> None:
    whole = run(spec_of(), store, tmp_path / "whole")
    for step in (3, 5):
        with pytest.raises(loop.Interrupted):
            run(spec_of(), store, tmp_path / "parts", stop=after(step - (3 if step == 5 else 0)))
    newest = tmp_path / "parts" / "checkpoint" / "step-000000005.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1])
    rest = run(spec_of(), store, tmp_path / "parts")
    assert rest.resumed_from == 3
    assert any("step-000000005" in note for note in rest.notes)
    assert_equal(whole.model, rest.model)


def test_training_learns(store: FaceStore, tmp_path: Path) -> None:
    run(spec_of(optim={"steps": 40, "schedule": "constant"}), store, tmp_path)
    rows = history_of(tmp_path)
    assert rows[-1]["loss"]["l1"] < 0.6 * rows[0]["loss"]["l1"]
    assert rows[-1]["images"] == 40 * 12
    assert (tmp_path / "previews" / "step-000040.png").stat().st_size > 100


@pytest.mark.parametrize("part", [0, 1], ids=["input", "target"])
def test_a_poisoned_batch_ends_in_divergence_that_names_step_and_term(
    store: FaceStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    whole = BatchSource.at

    def poisoned(self: BatchSource, step: int) -> Any:
        batch = {p: (x.clone(), y.clone()) for p, (x, y) in whole(self, step).items()}
        if step == 4:
            batch["dst"][part][0, 0, 3, 3] = math.nan
        return batch

    monkeypatch.setattr(BatchSource, "at", poisoned)
    with pytest.raises(loop.Interrupted):
        run(spec_of(), store, tmp_path, stop=after(3))
    with pytest.raises(optimise.Diverged, match=r"at step 4: loss term l1"):
        run(spec_of(), store, tmp_path)
    kept = sorted(path.name for path in (tmp_path / "checkpoint").iterdir())
    assert kept == ["step-000000003.json", "step-000000003.safetensors"]


# Before a normalisation a bias has no gradient but rounding, which Adam makes as large as any other.
PLAIN = {"model": {"norm": "none", "vae": False}, "loss": {"l1": 1.0, "latent_positional": 0.1}}


def starve(monkeypatch: pytest.MonkeyPatch, fits: int, at: int = 2) -> list[int]:
    """From step `at` on, an encoder pass over more than `fits` images of each person is out of memory."""
    sizes: list[int] = []
    whole = train_steps.forward

    def forward(model: Swapper, batch: Any, when: tuple[int, int], *how: str) -> Any:
        count = len(batch["src"][0])
        if when[0] >= at and count > fits:
            raise torch.OutOfMemoryError("CUDA out of memory")
        sizes.append(count)
        return whole(model, batch, when, *how)

    monkeypatch.setattr(train_steps, "forward", forward)
    return sizes


def test_out_of_memory_halves_the_micro_batch_and_leaves_the_update_alone(
    store: FaceStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of(**PLAIN, optim={"steps": 4})
    free = run(spec, store, tmp_path / "free")
    sizes = starve(monkeypatch, fits=2)
    tight = run(spec, store, tmp_path / "tight")
    assert sizes == [6, 6, 2, 2, 2, 2, 2, 2]
    assert free.micro_batch is None and tight.micro_batch == 2
    assert sum("out of memory at step 2" in note for note in tight.notes) == 2
    for ours, theirs in zip(tight.model.parameters(), free.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
    for ours_row, theirs_row in zip(history_of(tmp_path / "tight"), history_of(tmp_path / "free"), strict=True):
        assert ours_row["loss"] == pytest.approx(theirs_row["loss"], rel=1e-4)


def test_out_of_memory_with_a_single_image_is_the_end(
    store: FaceStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starve(monkeypatch, fits=0)
    with pytest.raises(loop.OutOfMemory, match="one image of each person does not fit"):
        run(spec_of(**PLAIN), store, tmp_path)


def test_learning_rate_warms_up_and_falls_by_a_half_cosine() -> None:
    flat = OptimSpec(steps=10, warmup=4)
    assert [optimise.lr_factor(flat, n, 10) for n in (0, 1, 3, 4, 9)] == [0.25, 0.5, 1.0, 1.0, 1.0]
    cosine = OptimSpec(steps=12, warmup=2, schedule="cosine")
    values = [optimise.lr_factor(cosine, n, 12) for n in range(13)]
    assert values[:3] == [0.5, 1.0, 1.0]
    assert values[7] == pytest.approx(0.5)
    assert values[12] == pytest.approx(0)
    assert all(a >= b for a, b in itertools.pairwise(values[2:]))


def test_history_tells_the_rate_of_the_body_and_the_vae_branches_run_at_half(store: FaceStore, tmp_path: Path) -> None:
    run(spec_of(optim={"steps": 4}), store, tmp_path)
    rows = history_of(tmp_path)
    assert [row["lr"] for row in rows] == pytest.approx(
        [1e-2 * 0.5 * (1 + math.cos(math.pi * (row["step"] - 1) / 4)) for row in rows]
    )
    model = build_model(spec_of())
    groups = optimise.build_optimiser(model, spec_of().optim, CPU).param_groups
    assert [group["base_lr"] for group in groups] == [5e-3, 1e-2]


def test_steps_come_from_epochs_when_they_are_not_given() -> None:
    assert loop.total_steps(spec_of(optim={"steps": None, "epochs": 3}), 7) == 21
    assert loop.total_steps(spec_of(), 7) == 8


def test_terms_without_weight_are_not_computed() -> None:
    spec = spec_of(loss={"l1": 1.0, "kl": 0.0})
    assert [name for name, _, _ in build_losses(spec, build_model(spec))] == ["l1"]


def test_bf16_changes_little_and_leaves_weights_in_fp32(store: FaceStore, tmp_path: Path) -> None:
    run(spec_of(optim={"steps": 3}), store, tmp_path / "a")
    coarse = run(spec_of(optim={"steps": 3}), store, tmp_path / "b", compute=Compute(precision="bf16"))
    assert {p.dtype for p in coarse.model.parameters()} == {torch.float32}
    a, b = (history_of(tmp_path / name)[0]["loss"]["l1"] for name in "ab")
    assert a != b and a == pytest.approx(b, rel=0.02)


def test_a_checkpoint_of_another_compute_is_passed_over(store: FaceStore, tmp_path: Path) -> None:
    with pytest.raises(loop.Interrupted):
        run(spec_of(), store, tmp_path, stop=after(3))
    threads = torch.get_num_threads()
    other = run(spec_of(), store, tmp_path, compute=Compute(threads=2))
    torch.set_num_threads(threads)
    assert other.resumed_from is None and "another device, precision or number of threads" in other.notes[0]


def test_the_loop_sets_the_threads_of_its_compute(store: FaceStore, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    run(spec_of(optim={"steps": 1}), store, tmp_path)
    assert torch.get_num_threads() == 1
    torch.set_num_threads(before)


def test_a_look_changes_nothing_that_training_depends_on(store: FaceStore, tmp_path: Path) -> None:
    looked_at = run(spec_of(), store, tmp_path / "look")
    alone = loop.train(spec_of(), 0, store, CPU, tmp_path / "alone")
    assert_equal(looked_at.model, alone.model)
    assert looked_at.own_s["previews"] > 0 == alone.own_s["previews"]
    assert looked_at.own_s["checkpoints"] > 0 < alone.own_s["reports"]


def test_the_loop_knows_no_variant_and_no_loss() -> None:
    text = Path(loop.__file__).read_text() + Path(train_steps.__file__).read_text()
    words = {node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)}
    words |= {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
    assert not words & (set(registry.entries("variant")) | set(registry.entries("loss")))
