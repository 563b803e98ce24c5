"""Learning rate and beta against torch's schedule and the recipe's numbers."""

import pytest
import torch

from rtf_models.train.schedule import kl_weight, learning_rate


def test_without_warm_up_it_is_the_originals_cosine_by_epoch():
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1e-4)
    oracle = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=20, eta_min=1e-6)
    for epoch in range(20):
        for step in range(3):
            assert learning_rate(3 * epoch + step, 3, 20, 1e-4) == pytest.approx(
                oracle.get_last_lr()[0], rel=1e-9
            )
        optimiser.step()
        oracle.step()


def test_warm_up_rises_by_step_and_the_end_is_the_same():
    rates = [learning_rate(k, 10, 5, 1e-3, warmup=2) for k in range(50)]
    assert all(a < b for a, b in zip(rates[:19], rates[1:20], strict=True))
    assert rates[20] == pytest.approx(1e-3) and max(rates) == rates[20]
    assert rates[-1] == pytest.approx(1e-3 * (0.01 + 0.99 * 0.25))  # two thirds of the cosine's way


def test_beta_warms_up_over_a_fifth():
    assert [kl_weight(e, 200, 2.0) for e in (0, 20, 39, 40, 199)] == [0.0, 1.0, 1.95, 2.0, 2.0]
    assert kl_weight(0, 3, 1.0) == 1.0
