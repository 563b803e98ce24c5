"""Reconstruction in magnitudes and days: networks whose errors are known."""

import numpy as np
import pytest
import torch

from rtf_models.classes import APPLECIDER
from rtf_models.data.inputs import InputSpec
from rtf_models.data.source import Source
from rtf_models.evaluation import physical_metrics, reconstruct
from rtf_models.evaluation.errors import EvaluationError

SCALED = InputSpec(base_mean=(2.0, 1.0, 1.5, 0.04), base_std=(0.8, 0.5, 0.7, 0.02))


@pytest.mark.parametrize("inputs", [InputSpec(), SCALED, InputSpec.original("compact", metadata=False)],
                         ids=["plain", "scaled", "no zero point"])  # fmt: skip
def test_a_perfect_decoder_has_no_error(echo, class_sources, inputs):
    found = physical_metrics(echo(inputs=inputs), class_sources[1])
    for name in ("mean_abs_dmag", "median_abs_dmag", "p90_abs_dmag", "mean_abs_days", "pooled_median_abs_dmag"):
        assert found[name] == 0
    assert found["band_accuracy"] == 1 and found["baseline_abs_dmag"] > 0.05
    assert found["n"] == 30 and found["detections"] == sum(map(len, class_sources[1]))
    assert list(found["per_class"]) == ["SN Ia", "SN cc", "AGN"] and set(found["per_band"]) == {"g", "r"}


@pytest.mark.parametrize("inputs", [InputSpec(), SCALED], ids=["plain", "scaled"])
def test_an_offset_in_flux_is_two_and_a_half_times_as_many_magnitudes(echo, class_sources, inputs):
    found = physical_metrics(echo((0, 0, 0.2, 0), inputs=inputs), class_sources[1])
    expected = 2.5 * 0.2 * inputs.base_std[2]
    for part in (found, *found["per_class"].values()):
        for name in ("mean_abs_dmag", "median_abs_dmag", "p90_abs_dmag"):
            assert part[name] == pytest.approx(expected, rel=1e-5)
    assert found["per_band"] == pytest.approx({"g": expected, "r": expected}, rel=1e-5)
    assert found["mean_abs_days"] == 0


def test_days_come_out_of_the_logarithm(echo):
    source = Source("s", np.array([0.0, 9.0, 99.0]), [0, 1, 0], [18, 18, 18], [0.1, 0.1, 0.1], 0)
    found = physical_metrics(echo((0.1, 0, 0, 0)), [source])
    grown = (np.exp(0.1) - 1) * np.array([1, 10, 100])
    assert found["mean_abs_days"] == pytest.approx(grown.mean(), rel=1e-5)


def test_medians_over_sources_of_medians_and_means_of_means(echo):
    """A network that is wrong by the flux error channel: |dmag| of a source is then what its errors make it."""

    class ByError(type(echo().model)):
        def forward(self, x, pad_mask=None, images=None, gp_features=None):
            decoded, bands, extras = super().forward(x, pad_mask)
            return torch.cat([decoded[..., :2], decoded[..., 2:3] + x[..., 3:4], decoded[..., 3:]], -1), bands, extras

    checkpoint = echo()
    object.__setattr__(checkpoint, "model", ByError())
    errors = [[0.1, 0.2, 0.9], [0.3, 0.3], [1.0]]
    sources = [Source(f"s{k}", np.arange(len(e)), [0] * len(e), [18.0] * len(e), e, 0) for k, e in enumerate(errors)]
    found = physical_metrics(checkpoint, sources)  # logflux_err = 0.4 sigma, so |dmag| = sigma
    assert found["mean_abs_dmag"] == pytest.approx(np.mean([0.4, 0.3, 1.0]), rel=1e-5)
    assert found["median_abs_dmag"] == pytest.approx(np.median([0.2, 0.3, 1.0]), rel=1e-5)
    assert found["p90_abs_dmag"] == pytest.approx(np.mean([np.percentile(e, 90) for e in errors]), rel=1e-5)
    assert found["pooled_median_abs_dmag"] == pytest.approx(0.3, rel=1e-5)


def test_wrong_bands_are_counted(echo, class_sources):
    """The band of r detections is decoded wrongly: right are the g ones."""
    found = physical_metrics(echo(wrong_band=lambda x: x[..., 5] > 0), class_sources[1])
    assert found["band_accuracy"] == pytest.approx(np.mean([(s.band == 0).mean() for s in class_sources[1]]))


def test_the_baseline_knows_the_median_of_the_band(echo):
    source = Source("s", np.arange(4), [0, 0, 0, 1], [18.0, 19.0, 21.0, 17.0], [0.1] * 4, 0)
    assert physical_metrics(echo(), [source])["baseline_abs_dmag"] == pytest.approx((1 + 0 + 2 + 0) / 4, rel=1e-5)


def test_unknown_classes_count_but_are_no_class(echo, toy):
    rng = np.random.default_rng(0)
    sources = [toy(rng, "a", 0, 5), toy(rng, "b", -1, 5)]
    found = physical_metrics(echo(), sources, keep=1)
    assert found["n"] == 2 and {n: p["n"] for n, p in found["per_class"].items()} == {"SN Ia": 1}
    assert [curve["class"] for curve in found["curves"]] == ["SN Ia", None]
    assert set(found["curves"][0]["true"]) >= {"days", "mag", "mag_err", "band"}


def test_no_sources_and_no_detections_are_refused(echo):
    with pytest.raises(EvaluationError, match="no sources"):
        physical_metrics(echo(), [])
    with pytest.raises(EvaluationError, match="counts = 0"):
        list(reconstruct(echo(), [], counts=0))


@pytest.mark.parametrize("mode", ["ae", "vae", "vqvae"])
def test_order_and_batches_do_not_matter(tiny, class_sources, mode):
    """Results are those of each source alone, in the order given, whatever the network's own mode."""
    checkpoint = tiny(mode)
    checkpoint.model.train()
    before = {k: v.clone() for k, v in checkpoint.model.state_dict().items()}
    together = list(reconstruct(checkpoint, class_sources[1], batch_size=7))
    assert [one.object_id for one in together] == [s.object_id for s in class_sources[1]]
    for source, one in zip(class_sources[1][:8], together[:8], strict=True):
        (alone,) = reconstruct(checkpoint, [source])
        assert len(one) == len(source) == len(alone.decoded)
        assert np.allclose(alone.decoded, one.decoded, atol=1e-5) and np.allclose(alone.latent, one.latent, atol=1e-5)
        assert np.allclose(alone.errors, one.errors, rtol=1e-4)
        item = checkpoint.inputs.prepare(source)
        x = torch.from_numpy(item["x"])[None]
        error = float(checkpoint.model.reconstruction_error(x, torch.zeros(x.shape[:2], dtype=torch.bool)))
        assert one.errors[:4].mean() + one.errors[4] == pytest.approx(error, rel=1e-4)
        assert np.allclose(one.latent, checkpoint.model.embed(x)[0], atol=1e-5)
    assert checkpoint.model.training, "as it was"
    after = checkpoint.model.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before), "the codebook is not touched"


def test_only_the_first_detections(echo, class_sources):
    found = physical_metrics(echo(), class_sources[1], counts=3, scheme=APPLECIDER)
    assert found["detections"] == sum(min(3, len(s)) for s in class_sources[1])
