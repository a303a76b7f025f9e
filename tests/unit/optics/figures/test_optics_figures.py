"""Panels by recipes: values, axes that are given, nothing left open."""

import numpy as np
import pytest
from matplotlib._pylab_helpers import Gcf
from matplotlib.figure import Figure

from campaign_optics.figures import PANELS, draw_panels, signals, triptych

NAMES = (
    *("binary.separation_as", "binary.x_position_as", "binary.y_position_as", "binary.log_flux_total"),
    *("binary.contrast", "system.plate_scale_as_per_pix", *(f"primary.zernike_coeffs_nm[{i}]" for i in range(3))),
)
TRUTH = dict(zip(NAMES, (9.5, 0.5, -0.25, 7.0, 3.0, 0.355, 1.0, 2.0, 3.0), strict=True))
THETA = np.array(list(TRUTH.values())) + np.linspace(1.0, 0.1, 5)[:, None] * np.array(
    [1e-3, 2e-5, -3e-5, 1e-4, 0.0, 3.55e-7, 10.0, -20.0, 20.0]
)


def test_values_of_signals():
    found = signals(NAMES, THETA, TRUTH)
    assert found["x_error_uas"][-1] == pytest.approx(2.0)
    assert found["separation_error_uas"][0] == pytest.approx(1000.0)
    assert found["plate_scale_error_ppm"][0] == pytest.approx(1.0)
    ppm = 1e6 * (10.0**1e-4 - 1.0)
    assert found["raw_flux_a_error_ppm"][0] == pytest.approx(ppm)
    assert found["raw_flux_b_error_ppm"][0] == pytest.approx(ppm)
    assert found["zernike_error_nm"][0] == pytest.approx([10.0, -20.0, 20.0])
    assert np.isnan(signals(NAMES, THETA)["x_error_uas"]).all()


def test_six_panels_on_a_figure_that_is_given():
    axes = draw_panels(signals(NAMES, THETA, TRUTH), np.arange(5), figure := Figure())
    assert list(axes) == [panel.id for panel in PANELS]
    assert len(figure.axes) == 6
    x = axes["astrometry_residuals_uas"].lines[0].get_ydata()
    assert "µas" in axes["astrometry_residuals_uas"].get_ylabel()
    assert x[-1] == pytest.approx(2.0)
    assert axes["astrometry_residuals_uas"].get_title() == "x, y error  final Δ = 2 µas, -3 µas"
    assert axes["zernike_rms_nm"].lines[0].get_ydata()[0] == pytest.approx(np.sqrt(300.0))
    assert "1.73 nm" in axes["zernike_components_nm"].get_title()
    assert Gcf.get_all_fig_managers() == []


def test_panels_without_their_parameters_are_left_out():
    axes = draw_panels(signals(NAMES[:1], THETA[:, :1], TRUTH), np.arange(5), Figure())
    assert list(axes) == ["separation_residual_uas"]
    title = draw_panels(signals(NAMES[:1], THETA[:, :1]), np.arange(5), Figure())["separation_residual_uas"].get_title()
    assert title.endswith("n/a")


def test_image_model_and_what_is_left():
    model = np.full((6, 6), 100.0)
    weight = np.full((6, 6), 0.1)
    weight[0, 0] = 0.0
    figure = triptych(Figure(), model + 20.0, model, weight)
    data, _, pulls = (axes.images[0].get_array() for axes in figure.axes[:3])
    assert data[1, 1] == pytest.approx(np.sqrt(120.0))
    assert pulls[1, 1] == pytest.approx(2.0)
    assert np.ma.is_masked(pulls[0, 0]) or np.isnan(pulls[0, 0])
    assert "4.000" in figure.axes[2].get_title()
    assert Gcf.get_all_fig_managers() == []
