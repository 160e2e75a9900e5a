"""The built-in faces: what the rest of the project takes as truth must be true."""

import pytest
import torch

from harness.data.faces import (
    ALIGNED,
    DISTANCE,
    FREE,
    IDENTITY,
    IDENTITY_INDEX,
    LANDMARKS,
    PAIRS,
    POSE,
    POSE_INDEX,
    POSE_REGIONS,
    REGIONS,
    SPLITS,
    Looseness,
    identity_distance,
    identity_split,
    pair,
    pose_range,
    pose_region,
    random_pair,
    render,
    sample_identities,
    sample_poses,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def poses(n: int = 1, **values: float | list[float]) -> torch.Tensor:
    """n relaxed frontal poses under a frontal lamp, with the named factors set."""
    rows = torch.zeros(n, len(POSE))
    rows[:, POSE_INDEX["zoom"]] = 1
    rows[:, POSE_INDEX["light_elevation"]] = 25
    for name, value in values.items():
        rows[:, POSE_INDEX[name]] = torch.as_tensor(value, dtype=torch.float32)
    return rows


def people(n: int = 1, **values: float | list[float]) -> torch.Tensor:
    """n average, bare faces, with the named factors set."""
    rows = torch.full((n, len(IDENTITY)), 0.5)
    for name in ("glasses", "beard", "cap", "hair_bun", "fringe"):
        rows[:, IDENTITY_INDEX[name]] = 0
    rows[:, IDENTITY_INDEX["hair_length"]] = 0.1
    for name, value in values.items():
        rows[:, IDENTITY_INDEX[name]] = torch.as_tensor(value, dtype=torch.float32)
    return rows


def region(picture: torch.Tensor, name: str) -> torch.Tensor:
    return picture[:, REGIONS.index(name)]


def test_pictures_are_bounded_premultiplied_and_cover_a_sensible_part_of_the_frame() -> None:
    g = generator()
    picture = render(sample_identities(48, g), sample_poses(48, g), 32)
    rgb, alpha = picture.rgba[:, :3], picture.rgba[:, 3:]
    assert picture.rgba.dtype == torch.float32 and picture.rgba.isfinite().all()
    assert rgb.min() >= 0 and alpha.min() >= 0 and alpha.max() <= 1
    assert (rgb <= alpha + 1e-6).all()
    coverage = alpha.mean((1, 2, 3))
    assert coverage.min() > 0.28 and coverage.max() < 0.72


def test_regions_are_a_partition_of_the_matte() -> None:
    g = generator(1)
    picture = render(sample_identities(16, g), sample_poses(16, g), 32)
    assert picture.regions.shape == (16, len(REGIONS), 32, 32)
    assert picture.regions.min() >= 0
    assert torch.allclose(picture.regions.sum(1), picture.rgba[:, 3], atol=1e-5)


def test_the_same_factors_give_the_same_picture_whatever_stands_beside_them_in_the_batch() -> None:
    g = generator(2)
    who, how = sample_identities(9, g), sample_poses(9, g)
    together = render(who, how, 48)
    again = render(who, how, 48)
    alone = render(who[4:5], how[4:5], 48)
    assert torch.equal(together.rgba, again.rgba) and torch.equal(together.landmarks, again.landmarks)
    assert torch.allclose(together.rgba[4:5], alone.rgba, atol=2e-4)


def test_a_picture_without_regions_is_the_same_picture() -> None:
    g = generator(3)
    who, how = sample_identities(2, g), sample_poses(2, g)
    bare = render(who, how, 32, regions=False)
    assert torch.equal(bare.rgba, render(who, how, 32).rgba) and bare.regions.shape == (2, 0, 32, 32)


def test_a_larger_picture_averaged_down_is_close_to_the_smaller_one() -> None:
    g = generator(4)
    who, how = sample_identities(6, g), sample_poses(6, g)
    small = render(who, how, 64, 2).rgba
    large = torch.nn.functional.avg_pool2d(render(who, how, 128, 2).rgba, 2)
    assert (small - large).abs().mean() < 0.004


@pytest.mark.parametrize("factor", [f.name for f in IDENTITY])
def test_every_identity_factor_changes_the_picture(factor: str) -> None:
    owner = {"glasses": "glasses", "beard": "beard", "cap": "cap"}.get(factor.split("_")[0])
    who = people(2, **({owner: 0.9} if owner else {}), fringe=0.3, hair_length=0.2)
    who[:, IDENTITY_INDEX[factor]] = torch.tensor([0.0, 1.0])
    picture = render(who, poses(2, smile=0.5, mouth_open=0.4), 48, regions=False).rgba
    assert (picture[0] - picture[1]).abs().mean() > 3e-4


@pytest.mark.parametrize("factor", POSE, ids=lambda f: f.name)
def test_every_pose_factor_changes_the_picture(factor) -> None:
    picture = render(people(2), poses(2, **{factor.name: [factor.low, factor.high]}), 48, regions=False).rgba
    assert (picture[0] - picture[1]).abs().mean() > 2e-3


def test_the_true_swap_has_the_driver_s_expression_on_the_target_s_identity() -> None:
    src, dst = pair("far")
    how = torch.cat([poses(), poses(mouth_open=1.0), poses(blink=1.0), poses(shift_x=0.08), poses(yaw=25)])
    moved = {}
    for name, person in (("src", src), ("dst", dst)):
        points = render(person.expand(5, -1), how, 32).landmarks
        moved[name] = points[1:] - points[:1]
    # Every landmark that a pose moves, it moves the same way on both people.
    for a, b in zip(moved["src"], moved["dst"], strict=True):
        assert torch.nn.functional.cosine_similarity(a.flatten(), b.flatten(), dim=0) > 0.9
    assert torch.allclose(moved["src"][2], moved["dst"][2], atol=1e-5)  # a shift is the same shift for everybody


@pytest.mark.parametrize("yaw", [-40.0, 40.0])
def test_yaw_shows_the_near_ear_and_hides_the_far_one(yaw: float) -> None:
    picture = render(people(), poses(yaw=yaw), 64)
    near, far = ("ear_left", "ear_right") if yaw > 0 else ("ear_right", "ear_left")
    assert picture.visible[0, LANDMARKS.index(near)] and not picture.visible[0, LANDMARKS.index(far)]
    ears = region(picture.regions, "ears")[0]
    middle = int(picture.landmarks[0, LANDMARKS.index("nose_tip"), 0] * 64)
    shown, hidden = (ears[:, :middle], ears[:, middle:]) if yaw > 0 else (ears[:, middle:], ears[:, :middle])
    assert shown.sum() > 20 and hidden.sum() < 0.1 * shown.sum()


def test_yaw_gives_parallax_the_nose_travels_further_than_the_eyes() -> None:
    points = render(people(2), poses(2, yaw=[0.0, 20.0]), 32).landmarks
    travel = points[1, :, 0] - points[0, :, 0]
    eyes = (travel[LANDMARKS.index("eye_left")] + travel[LANDMARKS.index("eye_right")]) / 2
    assert travel[LANDMARKS.index("nose_tip")] > eyes + 0.02 > 0.05


def test_a_blink_covers_the_iris() -> None:
    who, how = people(2, iris_hue=0.75, iris_lightness=1.0, skin_tone=0.3), poses(2, blink=[0.0, 1.0])
    picture = render(who, how, 128)
    blue_over_red = picture.rgba[:, 2] - picture.rgba[:, 0]
    assert (blue_over_red[0] > 0.1).sum() > 100
    assert (blue_over_red[1] > 0.1).sum() == 0


def test_the_mouth_opens_with_mouth_open() -> None:
    steps = [0.0, 0.25, 0.5, 0.75, 1.0]
    picture = render(people(5), poses(5, mouth_open=steps), 64)
    area = region(picture.regions, "mouth").sum((1, 2))
    gap = picture.landmarks[:, LANDMARKS.index("lip_inner_bottom"), 1]
    assert (area.diff() > 10).all() and (gap.diff() > 0.01).all()


def test_a_smile_raises_the_corners_of_the_mouth() -> None:
    points = render(people(2), poses(2, smile=[-1.0, 1.0]), 32).landmarks
    lift = points[:, LANDMARKS.index("lip_inner_top"), 1] - points[:, LANDMARKS.index("mouth_left"), 1]
    assert lift[0] < -0.03 and lift[1] > 0.03


def test_landmarks_sit_on_what_they_name() -> None:
    who, how = sample_identities(12, generator(5)), sample_poses(12, generator(6))
    for name in ("glasses", "beard", "cap", "fringe", "hair_length"):
        who[:, IDENTITY_INDEX[name]] = 0
    how[:, POSE_INDEX["yaw"]] *= 0.5
    picture = render(who, how, 128)
    sits = {"eye_left": "eyes", "eye_right": "eyes", "lip_inner_top": "mouth", "nose_tip": "nose"}
    for point, kind in sits.items():
        at = (picture.landmarks[:, LANDMARKS.index(point)] * 128).long().clamp(0, 127)
        there = region(picture.regions, kind)[torch.arange(12), at[:, 1], at[:, 0]]
        seen = picture.visible[:, LANDMARKS.index(point)]
        assert seen.sum() > 6 and (there[seen] > 0.3).all(), point


def test_pairs_grow_in_distance_and_in_pixels_and_even_the_near_ones_differ_visibly() -> None:
    how = sample_poses(24, generator(7))
    apart, pixels = [], []
    for name in PAIRS:
        src, dst = pair(name)
        apart.append(float(identity_distance(src, dst)))
        a, b = (render(p.expand(24, -1), how, 64, regions=False).rgba for p in (src, dst))
        pixels.append(float((a - b).abs().mean()))
    assert apart[0] > 0.3 and apart[1] > 1.5 * apart[0] and apart[2] > 1.3 * apart[1]
    assert pixels[0] > 0.015 and pixels[1] > 1.5 * pixels[0] and pixels[2] > 1.2 * pixels[1]


def test_splits_are_repeatable_and_disjoint() -> None:
    drawn = [sample_identities(200, identity_split(name)) for name in SPLITS]
    assert torch.equal(drawn[0], sample_identities(200, identity_split(SPLITS[0])))
    for i, a in enumerate(drawn):
        for b in drawn[i + 1 :]:
            assert torch.cdist(a, b).min() > 0.1


def test_a_thousand_pairs_show_two_thousand_people_whom_no_recogniser_has_seen() -> None:
    shown = torch.cat([torch.stack(random_pair(index)) for index in range(1000)])
    apart = torch.cdist(shown, shown).fill_diagonal_(torch.inf)
    assert apart.min() > 0.5
    named = torch.cat([torch.stack(pair(name)) for name in PAIRS])
    assert torch.cdist(shown, named).min() > 0.5
    for name in SPLITS:  # the largest pool of a recogniser is 4,800 people; the crowd of the metrics is of `judge`
        assert torch.cdist(shown, sample_identities(5000, identity_split(name))).min() > 0.5


@pytest.mark.parametrize("band", [DISTANCE, (0.1, 0.15), (0.6, 0.8), (1.7, 1.75)])
def test_random_people_are_as_far_apart_as_asked_for(band: tuple[float, float]) -> None:
    for index in range(60):
        src, dst = random_pair(index, band)
        assert band[0] <= float(identity_distance(src, dst)) <= band[1]
        assert torch.equal(src, random_pair(index)[0])  # the band chooses whom src meets
        assert dst.min() >= 0 and dst.max() <= 1


def test_a_pair_is_drawn_alone_and_always_the_same() -> None:
    later = random_pair(900)
    for index in range(5):
        random_pair(index)
    assert all(torch.equal(a, b) for a, b in zip(later, random_pair(900), strict=True))


def test_near_people_share_factors_and_are_people_like_all_others() -> None:
    src, dst = (torch.stack(column) for column in zip(*(random_pair(i, (0.6, 0.8)) for i in range(400)), strict=True))
    shared = (src == dst).float().mean()
    assert 0.6 < shared < 0.85
    assert (dst.std(0) / src.std(0)).sub(1).abs().max() < 0.25


def test_nobody_is_found_where_nobody_is() -> None:
    with pytest.raises(ValueError, match=r"between 3 and 3\.5"):
        random_pair(0, (3.0, 3.5))


def test_two_random_people_are_as_far_apart_as_documented() -> None:
    a, b = (sample_identities(2000, generator(seed)) for seed in (8, 9))
    away = identity_distance(a, b)
    assert abs(float(away.mean()) - 1.40) < 0.02 and abs(float(away.std()) - 0.13) < 0.01
    assert abs(float(((away >= DISTANCE[0]) & (away <= DISTANCE[1])).float().mean()) - 0.88) < 0.02
    assert [round(float(identity_distance(*pair(name))), 2) for name in PAIRS] == [0.40, 1.06, 1.65]
    assert a.min() >= 0 and a.max() <= 1


@pytest.mark.parametrize("name", POSE_REGIONS)
def test_poses_fall_in_the_region_asked_for_and_vary_widely(name: str) -> None:
    drawn = sample_poses(400, generator(10), name)
    assert pose_region(drawn) == [name] * 400
    low, high = torch.tensor([f.low for f in POSE]), torch.tensor([f.high for f in POSE])
    assert (drawn >= low).all() and (drawn <= high).all()
    spread = drawn.std(0) / (high - low)
    wide = [i for i, f in enumerate(POSE) if f.name not in ("yaw", "smile")]
    assert (spread[wide] > 0.25).all()


@pytest.mark.parametrize("looseness", [ALIGNED, ALIGNED._replace(crop=0.75), FREE])
def test_poses_keep_to_their_looseness_and_share_yaw_gaze_and_expression(looseness: Looseness) -> None:
    drawn, free = (sample_poses(400, generator(12), "interior", how) for how in (looseness, FREE))
    low, high = pose_range(looseness)
    assert (drawn >= low).all() and (drawn <= high).all()
    kept = [POSE_INDEX[name] for name in ("yaw", "smile", "mouth_open", "blink", "gaze_x", "gaze_y", "brow")]
    assert torch.equal(drawn[:, kept], free[:, kept])
    spread = drawn.std(0) / (high - low)
    assert (spread[[i for i, f in enumerate(POSE) if f.name not in ("yaw", "smile")]] > 0.25).all()


def test_free_poses_fill_the_whole_box_and_aligned_ones_a_corner_of_it() -> None:
    low, high = pose_range(FREE)
    assert low.tolist() == pytest.approx([f.low for f in POSE]) and high.tolist() == pytest.approx(
        [f.high for f in POSE]
    )
    inner = pose_range(ALIGNED)
    assert (inner[0] >= low).all() and (inner[1] <= high).all()
    share = dict(zip((f.name for f in POSE), ((inner[1] - inner[0]) / (high - low)).tolist(), strict=True))
    assert share["yaw"] == share["smile"] == 1 and max(share[n] for n in ("roll", "shift_x", "zoom")) < 0.15


@pytest.mark.parametrize("crop", [0.75, 1.25])
def test_a_crop_changes_the_size_of_the_head_and_nothing_else(crop: float) -> None:
    who, how = people(), poses()
    tight = how.clone()
    tight[:, POSE_INDEX["zoom"]] /= crop
    near, whole = (render(who, pose, 32).landmarks[0] for pose in (tight, how))
    eyes = [LANDMARKS.index("eye_left"), LANDMARKS.index("eye_right")]
    width = [float(points[eyes[1], 0] - points[eyes[0], 0]) for points in (near, whole)]
    assert width[0] / width[1] == pytest.approx(1 / crop, rel=1e-3)


def test_all_poses_are_a_mixture_of_every_region() -> None:
    assert set(pose_region(sample_poses(400, generator(11)))) == set(POSE_REGIONS)


def test_wrong_names_and_shapes_are_refused_with_what_was_expected() -> None:
    with pytest.raises(KeyError, match="near, mid, far"):
        pair("farther")
    with pytest.raises(KeyError, match="recogniser_a"):
        identity_split("mine")
    with pytest.raises(KeyError, match="extrapolation"):
        sample_poses(1, generator(), "outside")
    with pytest.raises(ValueError, match=str(len(IDENTITY))):
        render(torch.zeros(2, 3), poses(2), 32)
    with pytest.raises(ValueError, match="at least 1"):
        render(people(), poses(), 0)
