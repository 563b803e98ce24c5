"""The picture of a generator beside the pulses it was fitted on."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from venom_hw.detector.synthetic import GENERATORS, plot_generator


@pytest.mark.parametrize("kind", ["pca", "template"])
def test_picture_compares_both_in_six_panels(kind, known, tmp_path, monkeypatch):
    few = known.pulse_set(200)
    generator = GENERATORS[kind].fit(few, np.arange(len(few)), n_components=10)
    drawn = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda figure, *a, **k: (drawn.append(figure), save(figure, *a, **k)))
    path = plot_generator(generator, few, tmp_path / "deep" / "generator.png")
    assert path.read_bytes().startswith(b"\x89PNG") and [p.name for p in path.parent.iterdir()] == ["generator.png"]
    panels = drawn[0].axes
    assert len(panels) == 6 and all(panel.get_xlabel() and panel.get_ylabel() and panel.lines for panel in panels)
    real, made = (line.get_ydata() for line in panels[1].lines[:2])
    assert np.abs(real - made).max() < 0.2 * np.ptp(real)
