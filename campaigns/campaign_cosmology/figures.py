"""Figures of fits and campaigns: BAO and Hubble residuals, best fits, profiles, bootstraps.

Pure functions from tables and arrays to a `matplotlib` figure; nothing is shown or saved. Colours are those of Okabe
and Ito (2008), which people with colour-deficient sight can tell apart; models also differ in line style or marker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from campaign_cosmology.tables import table

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")
STYLES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)))
MARKERS = ("o", "s", "^", "D", "v")
LABELS = {
    "H0": r"$H_0$ [km s$^{-1}$ Mpc$^{-1}$]",
    "Om0": r"$\Omega_\mathrm{m}$",
    "Obh2": r"$100\,\Omega_\mathrm{b}h^2$",
    "k_sat": r"$k_\mathrm{sat}$",
}
UNITS = {"Obh2": 100.0}  # what a parameter is multiplied by on an axis
RATIOS = {"DV_over_rd": r"$D_V/r_d$", "DM_over_rd": r"$D_M/r_d$", "DH_over_rd": r"$D_H/r_d$"}
MASS = (0.683, 0.954)  # what contours enclose


def parameters(row: Mapping[str, Any] | pandas.Series) -> dict[str, Any]:
    """The parameter dictionary of a row of a campaign's table, with the conventions it was computed under."""
    from campaign_cosmology.parameters import get_defaults
    from campaign_cosmology.theory import CONVENTION_DEFAULTS, CONVENTION_KEYS

    found = get_defaults(str(row.get("problem.model", "lcdm")))  # what the table does not have, has its built-in value
    for name, value in row.items():
        if str(name).startswith("theta.") and value == value:
            found[str(name).removeprefix("theta.")] = float(value)
    for option, key in CONVENTION_KEYS.items():
        found[key] = row.get(f"problem.{option}") or CONVENTION_DEFAULTS[option]
    return found


def bao_residuals(fits: Mapping[str, Mapping[str, Any]], data: str = "bao_ani") -> Figure:
    """Measured distances over r_d and those of further fits, relative to the first fit, in percent.

    Args:
        fits: label → parameter dictionary (see `parameters`).
        data: name of a BAO table.
    """
    from campaign_cosmology.theory import predictions

    measured = table(data)
    kinds = [kind for kind in RATIOS if kind in measured.quantity]
    figure, axes = panels(1, len(kinds), width=3.2 * len(kinds) + 0.6, height=3.1, sharey=True)
    reference, sigma = next(iter(fits.values())), np.sqrt(np.diag(measured.covariance))
    at_data = predictions(reference, measured)
    z = np.linspace(0.05, 1.05 * measured.z.max(), 60)
    for axis, kind in zip(axes.flat, kinds, strict=True):
        rows = np.array([q == kind for q in measured.quantity])
        dense = replace(
            measured, z=z, z_helio=z, quantity=(kind,) * len(z), value=0 * z, anchor=np.nan * z, covariance=np.eye(60)
        )
        curve = predictions(reference, dense)
        for i, (label, fit) in enumerate(fits.items()):
            other = curve if i == 0 else predictions(fit, dense)
            axis.plot(z, 100 * (other / curve - 1), color=COLOURS[i], ls=STYLES[i], label=label)
        percent = 100 / at_data[rows]
        axis.errorbar(
            measured.z[rows],
            (measured.value - at_data)[rows] * percent,
            sigma[rows] * percent,
            fmt="o",
            color="black",
            ms=4,
            capsize=2,
            lw=1.2,
            label=measured.title.partition(",")[0],
        )
        axis.set(xlabel="redshift", title=RATIOS[kind], xlim=(0, 1.05 * measured.z.max()))
    axes.flat[0].set_ylabel(f"difference from {next(iter(fits))} [%]")
    legend_above(figure, axes.flat[-1])
    return figure


def hubble_residuals(fits: Mapping[str, Mapping[str, Any]], data: str = "sn") -> Figure:
    """Distance moduli of supernovae less those of the first fit [mag]; each fit with its own best offset M.

    Error bars are those of the residuals with M fitted, √(C_ii − 1/(1ᵀC⁻¹1)): what supernovae have in common is in M.
    """
    from campaign_cosmology.theory import predictions

    measured = table(data)
    weights = np.linalg.inv(measured.covariance).sum(axis=0)

    def centred(mu: np.ndarray) -> np.ndarray:
        """Less the offset that fits the data best."""
        return mu - weights @ (mu - measured.value) / weights.sum()

    figure, axes = panels(1, 1, width=6.4, height=3.4)
    axis = axes.flat[0]
    order = np.argsort(measured.z)
    reference = centred(predictions(next(iter(fits.values())), measured))
    for i, (label, fit) in enumerate(fits.items()):
        mu = centred(predictions(fit, measured)) - reference
        axis.plot(measured.z[order], mu[order], color=COLOURS[i], ls=STYLES[i], label=label)
    axis.errorbar(
        measured.z,
        measured.value - reference,
        np.sqrt(np.diag(measured.covariance) - 1.0 / weights.sum()),
        fmt="o",
        color="black",
        ms=3.5,
        capsize=2,
        lw=1.2,
        label=measured.title.partition(",")[0],
    )
    axis.set(xscale="log", xlabel="redshift", ylabel=f"difference from {next(iter(fits))} [mag]")
    axis.set_xticks([z for z in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0) if z >= 0.9 * measured.z.min()])
    axis.xaxis.set_major_formatter("{x:g}")
    axis.minorticks_off()
    legend_above(figure, axis)
    return figure


def best_fits(rows: Mapping[str, Mapping[str, pandas.Series]], name: str = "H0") -> Figure:
    """One parameter with its error for each choice of data and conventions, one mark a model.

    Hollow: another parameter ended at its bound, and the error is that with the other held there.

    Args:
        rows: choice → (model → row of a campaign's table).
        name: of the parameter.
    """
    figure, axes = panels(1, 1, width=6.8, height=1.0 + 0.34 * len(rows))
    axis = axes.flat[0]
    models = list(dict.fromkeys(model for choice in rows.values() for model in choice))
    for j, model in enumerate(models):
        shift = 0.22 * (j - 0.5 * (len(models) - 1))
        at = [(i + shift, choice[model]) for i, choice in enumerate(rows.values()) if model in choice]
        for inside in (True, False):
            some = [(y, row) for y, row in at if inside == (len(row["bounds_reached"]) == 0)]
            axis.errorbar(
                [row[f"theta.{name}"] * UNITS.get(name, 1.0) for _, row in some],
                [y for y, _ in some],
                xerr=[row[f"stderr.{name}"] * UNITS.get(name, 1.0) for _, row in some],
                fmt=MARKERS[j],
                color=COLOURS[j],
                mfc=COLOURS[j] if inside else "white",
                ms=5,
                capsize=2,
                lw=1.4,
                label=model if inside else f"{model}, a parameter at its bound" if some else None,
            )
    axis.set(yticks=range(len(rows)), yticklabels=list(rows), xlabel=LABELS.get(name, name))
    axis.invert_yaxis()
    axis.grid(axis="x", color="0.9")
    axis.set_axisbelow(True)
    legend_above(figure, axis)
    return figure


def profile(
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]], name: str = "k_sat", mark: Mapping[str, float] | None = None
) -> Figure:
    """Δχ² along one parameter, from the least of each curve.

    Args:
        curves: label → (values of the parameter (n,), chi2 (n,)).
        mark: text → value: vertical lines.
    """
    figure, axes = panels(1, 1, width=6.0, height=3.8)
    axis = axes.flat[0]
    for i, (label, (x, chi2)) in enumerate(curves.items()):
        order = np.argsort(x)
        axis.plot(x[order], (chi2 - chi2.min())[order], color=COLOURS[i], ls=STYLES[i], label=label)
    low, high = (f(f(x) for x, _ in curves.values()) for f in (min, max))
    top = max(float(np.ptp(chi2)) for _, chi2 in curves.values())
    axis.set(xlabel=LABELS.get(name, name), ylabel=r"$\Delta\chi^2$", xlim=(low, high), ylim=(0, min(top, 12.0)))
    for level, text in ((1.0, "68 %"), (3.84, "95 %")):
        axis.axhline(level, color="0.6", lw=0.8)
        axis.annotate(text, (high, level), (-3, 2), textcoords="offset points", ha="right", color="0.35", fontsize=8)
    for text, value in (mark or {}).items():
        axis.axvline(value, color="0.6", lw=0.8, ls=":")
        axis.annotate(text, (value, axis.get_ylim()[1]), (3, -10), textcoords="offset points", color="0.35", fontsize=8)
    axis.legend(frameon=False, fontsize=9)
    return figure


def bootstrap_scatter(
    best: Mapping[str, np.ndarray], centre: Mapping[str, float], covariance: np.ndarray, names: Sequence[str]
) -> Figure:
    """Best fits to resampled data, with the 68 and 95 % ellipses of the Fisher matrix around the fit to the real data.

    Args:
        best: parameter → best fits (n,).
        centre: best fit to the data as published.
        covariance: of the parameters, in the order of `names`, (d, d).
    """
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    figure, axes = panels(1, len(pairs), width=3.4 * len(pairs), height=3.5)
    turn = np.linspace(0, 2 * np.pi, 200)
    circle = np.stack([np.cos(turn), np.sin(turn)])
    for axis, pair in zip(axes.flat, pairs, strict=True):
        unit = np.array([UNITS.get(name, 1.0) for name in pair])
        index = [list(names).index(name) for name in pair]
        root = np.linalg.cholesky(covariance[np.ix_(index, index)] * np.outer(unit, unit))
        middle = np.array([centre[name] for name in pair]) * unit
        points = np.stack([best[name] for name in pair]) * unit[:, None]
        squares = (np.linalg.solve(root, points - middle[:, None]) ** 2).sum(axis=0)
        axis.plot(*points, ".", ms=2.5, mew=0, alpha=0.6, color="0.5", label="best fits to resampled data")
        shares = []
        for i, mass in enumerate(MASS):
            reach = -2 * np.log(1 - mass)  # of the two-dimensional Gaussian
            x, y = middle[:, None] + np.sqrt(reach) * root @ circle
            axis.plot(x, y, color=COLOURS[i], ls=STYLES[i], lw=1.8, label=f"Fisher matrix, {100 * mass:.0f} %")
            shares.append(f"{100 * np.mean(squares < reach):.1f} %")
        axis.set_title(f"inside: {' and '.join(shares)}", fontsize=9)
        axis.set(xlabel=LABELS.get(pair[0], pair[0]), ylabel=LABELS.get(pair[1], pair[1]))
    legend_above(figure, axes.flat[0])
    return figure


def panels(rows: int, columns: int, *, width: float, height: float, sharey: bool = False) -> tuple[Figure, np.ndarray]:
    """A figure that belongs to no window, and its axes (rows, columns)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", dpi=150)
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False, sharey=sharey)


def legend_above(figure: Figure, axis: Axes) -> None:
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper center", ncols=len(labels), frameon=False, fontsize=9, markerscale=1.5
    )
