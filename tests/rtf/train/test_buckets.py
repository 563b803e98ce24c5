"""Batches by length: each source once, the same for seed and epoch, little padding."""

import numpy as np

from rtf_models.train.buckets import epoch_batches

LENGTHS = np.random.default_rng(1).geometric(1 / 30, 1000)


def padding(batches):
    return sum(len(b) * LENGTHS[b].max() for b in batches) / LENGTHS.sum()


def test_each_index_once_in_batches_of_the_size():
    batches = epoch_batches(LENGTHS, 64, seed=0, epoch=3)
    assert sorted(k for b in batches for k in b) == list(range(1000))
    assert sorted(len(b) for b in batches) == [1000 % 64, *[64] * 15]


def test_decided_by_seed_and_epoch():
    assert epoch_batches(LENGTHS, 64, seed=0, epoch=3) == epoch_batches(LENGTHS, 64, seed=0, epoch=3)
    assert epoch_batches(LENGTHS, 64, seed=0, epoch=3) != epoch_batches(LENGTHS, 64, seed=0, epoch=4)
    assert epoch_batches(LENGTHS, 64, seed=0, epoch=3) != epoch_batches(LENGTHS, 64, seed=1, epoch=3)


def test_much_less_padding_and_no_order_by_length():
    batches = epoch_batches(LENGTHS, 32, seed=0, epoch=0)
    assert padding(batches) < 1.4 < 2.5 < padding(epoch_batches(LENGTHS, 32, seed=0, epoch=0, window=1))
    longest = [LENGTHS[b].max() for b in batches]
    assert longest != sorted(longest)
