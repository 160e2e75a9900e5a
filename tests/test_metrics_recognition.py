import numpy as np
import pytest
import torch
from metric_faces import matched_case
from torch.nn.functional import normalize

from metrics.case import DIRECTIONS, driver_of
from metrics.recognition import EVALUATORS, UnreachableFAR, auc, nearest_is_target, real_auc, retrieved, tar_at_far


def colour_embedder(images):
    """Recognises people by their mean colour, which is theirs alone in these faces."""
    inside = images.sum(1, keepdim=True) > 0.05
    mean = (images * inside).flatten(2).sum(2) / inside.flatten(2).sum(2).clamp_min(1)
    return normalize(mean - 0.4, dim=1)


def scores(case):
    return dict(EVALUATORS["recognition"].run(case))


def strangers(count):
    noise = torch.rand(count, 3, 1, 1, generator=torch.Generator().manual_seed(5))
    return noise.expand(count, 3, 64, 64)


def copied(case):
    return case.with_outputs({way: case.images[driver_of(way)] for way in DIRECTIONS})


def test_tar_is_one_for_separated_scores_and_near_far_for_equal_ones():
    rng = np.random.default_rng(0)
    assert tar_at_far(rng.normal(9, 1, 200), rng.normal(0, 1, 2000), 0.01).tar.mean() == 1
    same = tar_at_far(rng.normal(0, 1, 4000), rng.normal(0, 1, 4000), 0.1)
    assert same.tar.mean() == pytest.approx(0.1, abs=0.03)
    assert same.far.mean() == pytest.approx(0.1, abs=0.03)


def test_tar_agrees_with_the_closed_form_of_two_gaussians():
    from scipy.stats import norm

    rng = np.random.default_rng(1)
    found = tar_at_far(rng.normal(2, 1, 20000), rng.normal(0, 1, 20000), 0.05)
    assert found.tar.mean() == pytest.approx(norm.sf(norm.isf(0.05) - 2), abs=0.015)


def test_threshold_never_sees_the_fold_it_judges():
    impostor = np.zeros(100)
    impostor[3::10] = 100.0  # fold 3 holds all the high impostors
    found = tar_at_far(np.ones(100), impostor, 0.05)
    assert found.thresholds[3] == 0 and found.far[3] == 1


def test_unreachable_far_is_an_error_that_says_what_is_reachable():
    with pytest.raises(UnreachableFAR, match="at least 10000 impostor scores"):
        tar_at_far(np.ones(100), np.zeros(100), 1e-4)


def test_too_few_probes_for_the_folds_is_an_error():
    with pytest.raises(ValueError, match="10 folds"):
        tar_at_far(np.ones(5), np.zeros(100))


def test_accepted_shares_average_to_the_tar():
    rng = np.random.default_rng(2)
    found = tar_at_far(rng.normal(1, 1, (40, 30)), rng.normal(0, 1, (50, 30)), 0.01)
    assert found.accepted.mean() == pytest.approx(found.tar.mean())


def test_auc_of_known_scores():
    assert auc(np.array([2.0, 3.0]), np.array([0.0, 1.0])) == 1
    assert auc(np.array([1.0, 1.0]), np.array([1.0])) == 0.5
    assert auc(np.array([0.0, 2.0]), np.array([1.0])) == 0.5


def test_retrieval_prefers_the_nearest():
    probes = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert retrieved(probes, torch.tensor([1.0, 0.0]), torch.tensor([[0.0, 1.0]])).tolist() == [1, 0]


def test_oracle_and_copy_are_the_two_ends():
    case = matched_case(20, embedder=colour_embedder, distractors=lambda: strangers(60))
    good, bad = scores(case), scores(copied(case))
    assert set(good) == {info.name for info in EVALUATORS["recognition"].infos}
    assert good["identity_transfer_embed"] == pytest.approx(np.ones(40), abs=1e-4)
    assert bad["identity_transfer_embed"] == pytest.approx(np.zeros(40), abs=1e-4)
    assert good["id_cos_target"].mean() > 0.99 > good["id_cos_driver"].mean()
    assert bad["id_cos_driver"].mean() > 0.99 > bad["id_cos_target"].mean()
    assert good["id_retrieval"].mean() > 0.9 and bad["id_retrieval"].max() == 0
    assert good["id_tar"].mean() > 0.9 and bad["id_tar"].max() == 0


def test_retrieval_among_too_few_people_is_refused_with_the_reason():
    case = matched_case(20, embedder=colour_embedder, distractors=lambda: strangers(10))
    assert np.isnan(scores(case)["id_retrieval"]).all()
    assert "50 or more" in case.notes["id_retrieval"]


def test_blind_recogniser_is_declared_invalid():
    def blind(images):
        return normalize(images.flatten(1)[:, ::997] * 0 + torch.randn(len(images), 13), dim=1)

    torch.manual_seed(0)
    case = matched_case(20, embedder=blind)
    assert scores(case)["id_auc"].item() < 0.7
    assert "not above 0.98" in case.invalid["id_cos_target"]
    assert "id_auc" not in case.invalid


def vectors(count, noise, seed):
    """Unit vectors of `count` pictures of two people, scattered by `noise`."""
    rng = torch.Generator().manual_seed(seed)
    return {
        person: normalize(torch.eye(12)[k] + noise * torch.randn(count, 12, generator=rng), dim=1)
        for k, person in enumerate(("src", "dst"))
    }


def test_the_interval_of_the_recognisers_auc_covers_the_truth_and_shrinks_with_the_pictures():
    truth = np.mean([real_auc(vectors(60, 0.25, seed))[0] for seed in range(50, 90)])
    few = [real_auc(vectors(24, 0.25, seed)) for seed in range(1, 41)]
    assert np.mean([low <= truth <= high for _, low, high in few]) >= 0.85
    widths = [high - low for _, low, high in few]
    _, low, high = real_auc(vectors(96, 0.25, 1))
    assert high - low < 0.7 * np.mean(widths)


def test_a_recogniser_whose_interval_reaches_under_the_bound_is_invalid_though_its_auc_lies_above():
    seen = {noise: real_auc(vectors(20, noise, 4)) for noise in (0.05, 0.2)}
    assert seen[0.05][1] > 0.98
    assert seen[0.2][0] > 0.98 > seen[0.2][1]
    for noise, valid in ((0.05, True), (0.2, False)):
        case = matched_case(20, embedder=colour_embedder)
        case.fixed["embeddings"] = vectors(20, noise, 4)
        case.embedder = lambda images: torch.zeros(len(images), 12)
        scores(case)
        assert ("id_cos_target" not in case.invalid) == valid


def test_a_good_recogniser_is_not_declared_invalid():
    case = matched_case(20, embedder=colour_embedder)
    assert scores(case)["id_auc"].item() > 0.98
    assert case.invalid == {}


def test_the_nearest_picture_is_judged_without_the_drivers_own() -> None:
    target, driver = torch.eye(6)[:3], torch.eye(6)[3:]
    assert nearest_is_target(target, target, driver).tolist() == [1, 1, 1]
    assert nearest_is_target(driver.roll(1, 0), target, driver).tolist() == [0, 0, 0]  # another picture of the driver
    copy = torch.nn.functional.normalize(driver + 0.1 * target, dim=1)
    assert nearest_is_target(copy, target, driver).tolist() == [1, 1, 1]  # nothing but its own picture is nearer
