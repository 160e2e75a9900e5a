"""Batches: fair, unpaired, the same again after a restart, and encoded as the spec says."""

import numpy as np
import pytest
import tiny_faces
import torch

from harness.data.batches import BatchSource
from harness.data.encoding import to_display
from harness.data.store import open_store
from harness.spec import AugmentSpec, DataSpec

CALM = AugmentSpec(probability=0.0)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("batches")
    tiny_faces.write_folder(root / "own", src=20, dst=27, size=16)
    return root


@pytest.fixture(autouse=True)
def own_cache(root, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(root / "cache"))


def source(root, batch: int = 8, seed: int = 0, **changes: object) -> BatchSource:
    data = DataSpec(source=str(root / "own"), **{"size": 16, "holdout": 0.0, "repeat": 3, **changes})
    return BatchSource(open_store(data, seed, root), data, batch, seed, "cpu")


def test_every_image_is_seen_exactly_repeat_times_in_each_epoch(root):
    batches = source(root)
    for person, count in (("src", 20), ("dst", 27)):
        seen = torch.cat([batches.indices(person, step) for step in range(100)])
        for epoch in range(8):
            one = seen[epoch * 3 * count : (epoch + 1) * 3 * count]
            assert torch.bincount(one, minlength=count).tolist() == [3] * count
    assert batches.steps_per_epoch == 11  # 27 * 3 / 8, rounded up


def test_a_batch_larger_than_an_epoch_holds_whole_epochs(root):
    seen = source(root, batch=120, repeat=1).indices("src", 0)
    assert torch.bincount(seen).tolist() == [6] * 20


def test_no_src_image_is_systematically_paired_with_a_dst_image(root):
    batches = source(root)
    met = np.zeros((20, 27))
    steps = 4000
    for step in range(steps):
        np.add.at(met, (batches.indices("src", step).numpy(), batches.indices("dst", step).numpy()), 1)
    expected = steps * 8 / met.size
    assert abs(met.mean() - expected) < 1e-9
    deviation = (met - expected) / expected**0.5
    assert np.abs(deviation).max() < 5 and 0.85 < deviation.std() < 1.1


def test_fixed_pairing_lets_the_same_two_images_meet_always_and_all_images_be_seen(root):
    batches, shuffled = source(root, pairing="fixed"), source(root)
    met = np.zeros((20, 27), int)
    for step in range(81):  # 27 images of the longer list, seen 24 times each
        np.add.at(met, (batches.indices("src", step).numpy(), batches.indices("dst", step).numpy()), 1)
    pairs = [(i % 20, i) for i in range(27)]
    assert all(met[pair] == 24 for pair in pairs) and met.sum() == 27 * 24
    assert (batches.indices("src", 3) == shuffled.indices("src", 3)).float().mean() < 0.5


def test_fixed_pairs_come_in_a_new_order_each_epoch_and_are_augmented_apart(root):
    batches = source(root, pairing="fixed", repeat=1, batch=27)
    first, second = (batches.indices("dst", step) for step in (0, 1))
    assert (first == second).float().mean() < 0.3 and sorted(first.tolist()) == sorted(second.tolist())
    flips = source(root, pairing="fixed", batch=27)
    assert not torch.equal(flips.at(0)["src"][0], flips.at(0)["dst"][0])


def test_epochs_people_and_seeds_are_shuffled_differently(root):
    batches, other = source(root), source(root, seed=1)
    orders = [
        torch.cat([s.indices(person, step) for step in steps])
        for s, person, steps in (
            (batches, "src", range(15)),
            (batches, "src", range(15, 30)),
            (other, "src", range(15)),
        )
    ]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert (orders[first][:60] == orders[second][:60]).float().mean() < 0.3
    assert (batches.indices("src", 0) != batches.indices("dst", 0)).any()


def test_a_restarted_source_gives_the_same_batch_at_every_step_in_any_order(root):
    first = source(root)
    seen = {step: first.at(step) for step in range(12)}
    again = source(root)
    for step in (11, 3, 7, 0):
        batch = again.at(step)
        for person in ("src", "dst"):
            for one, other in zip(batch[person], seen[step][person], strict=True):
                assert torch.equal(one, other)
    assert not torch.equal(seen[0]["src"][0], seen[1]["src"][0])


def test_batches_do_not_depend_on_what_is_done_with_them(root):
    plain, linear = source(root), source(root, encoding="linear", target="unwarped")
    for person in ("src", "dst"):
        assert torch.equal(plain.indices(person, 5), linear.indices(person, 5))
        assert torch.allclose(plain.at(5)[person][0][:, :3], to_display(linear.at(5)[person][0][:, :3]), atol=1e-5)


@pytest.mark.parametrize("encoding", ["srgb", "linear"])
def test_an_unaugmented_batch_is_the_stored_images_encoded(root, encoding):
    batches = source(root, augment=CALM, encoding=encoding)
    shown, target = batches.at(2)["dst"]
    assert target is shown and shown.shape == (8, 4, 16, 16) and shown.dtype == torch.float32
    for image, index in zip(shown, batches.indices("dst", 2).tolist(), strict=True):
        *rgb, alpha = tiny_faces.colour("dst", index)
        expected = torch.cat((to_display(torch.tensor(rgb), encoding), torch.tensor([alpha])))
        assert torch.allclose(image, expected[:, None, None].expand(4, 16, 16), atol=1e-5)


def test_values_stay_in_the_display_range(root):
    for image, target in source(root, target="unwarped").at(0).values():
        for tensor in (image, target):
            assert tensor.min() >= 0 and tensor.max() <= 1
