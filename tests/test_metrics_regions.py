"""Errors by region: each counts its own pixels, and what should vanish counts as much as what should appear."""

import numpy as np
import pytest
import torch
from metric_faces import matched_case

from metrics.case import Case
from metrics.regions import EVALUATORS, either

NAMES = ("swap_error_glasses", "swap_error_hair", "swap_error_rest")


def shown(person: str) -> dict[str, torch.Tensor]:
    """src wears glasses in the upper left, dst none; both have hair at the top right."""
    glasses, hair = torch.zeros(8, 64, 64), torch.zeros(8, 64, 64)
    glasses[:, 28:32, 20:30] = 1.0 if person == "src" else 0.0
    hair[:, 20:24, 36:44] = 1.0
    return {"glasses": glasses, "hair": hair}


def case_of(**options) -> Case:
    return matched_case(8, regions=shown, **options)


def found(case: Case) -> dict[str, np.ndarray]:
    return dict(EVALUATORS["regions"].run(case))


def test_the_exact_swap_has_no_error_anywhere() -> None:
    values = found(case_of())
    assert tuple(values) == NAMES and all((v == 0).all() and len(v) == 16 for v in values.values())


@pytest.mark.parametrize(("region", "rows", "columns"), [("glasses", (28, 32), (20, 30)), ("hair", (20, 24), (36, 44))])
def test_an_error_in_a_region_is_counted_there_in_both_directions_and_nowhere_else(region, rows, columns) -> None:
    case = case_of()
    swaps = {way: picture.clone() for way, picture in case.swap.items()}
    for picture in swaps.values():
        picture[:, :, slice(*rows), slice(*columns)] += 0.25
    values = found(case.with_outputs(swaps))
    for name, errors in values.items():
        assert errors == pytest.approx(0.25 if name.endswith(region) else 0.0, abs=1e-6)


def test_a_region_that_neither_person_shows_is_undefined_and_says_so() -> None:
    case = matched_case(8, regions=lambda person: shown(person) | {"glasses": torch.zeros(8, 64, 64)})
    assert np.isnan(found(case)["swap_error_glasses"]).all()
    assert case.notes["swap_error_glasses"] == "neither person has glasses"


def test_either_is_the_union_of_what_fills_half_a_pixel() -> None:
    one, other = torch.tensor([[[0.6, 0.2, 0.2]]]), torch.tensor([[[0.1, 0.4, 0.9]]])
    assert either(one, other).tolist() == [[[[True, False, True]]]]


def test_without_regions_the_evaluator_says_what_it_needs() -> None:
    assert EVALUATORS["regions"].missing(matched_case(8)) == ("regions",)
