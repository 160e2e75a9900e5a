"""Transfer functions: the sRGB curve at known points, and its inverse."""

import pytest
import torch

from harness.data.encoding import KNEE, to_display, to_linear


def test_the_srgb_curve_passes_through_its_known_points():
    linear = torch.tensor([0.0, 0.001, KNEE, 0.2140411, 0.5, 1.0], dtype=torch.float64)
    display = torch.tensor([0.0, 0.01292, 0.0404499, 0.5, 0.7353570, 1.0], dtype=torch.float64)
    assert torch.allclose(to_display(linear), display, atol=1e-6)
    assert to_display(torch.tensor(0.18)).item() == pytest.approx(0.4613561, abs=1e-6)


@pytest.mark.parametrize("encoding", ["srgb", "linear"])
def test_decoding_undoes_encoding(encoding):
    linear = torch.linspace(0, 1, 10_001, dtype=torch.float64)
    assert (to_linear(to_display(linear, encoding), encoding) - linear).abs().max() < 2e-7


def test_values_outside_the_display_are_clamped():
    for encoding in ("srgb", "linear"):
        shown = to_display(torch.tensor([-3.0, -0.0, 1.5, 7e4]), encoding)
        assert shown.min() == 0.0 and shown.max() == 1.0
        assert shown[:2].max() < 1e-7


def test_encoding_has_a_finite_gradient_at_black():
    black = torch.tensor([0.0, 1e-9, 0.5], requires_grad=True)
    to_display(black).sum().backward()
    assert torch.isfinite(black.grad).all()
    assert black.grad[1] == pytest.approx(12.92, rel=1e-4)


def test_an_unknown_encoding_is_an_error():
    for function in (to_display, to_linear):
        with pytest.raises(ValueError, match=r"rec709.*srgb, linear"):
            function(torch.zeros(1), "rec709")
