"""RTF (Real-Time Fingerprints): a transformer that turns ZTF light curves into small latent vectors.

Nothing is here yet. The package keeps the place that the design gives it; models, data, training, evaluation and
the quantised encoder come with a later issue and will use `venom_hw.quantize` and `venom_hw.interchange`.
"""
