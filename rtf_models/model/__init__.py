"""The networks: LightCurveCompressor and what it is made of. Imports torch; knows nothing of files or data folders."""

from .compressor import LightCurveCompressor
from .convnext import ConvNeXt
from .encoder import SelfAttention, TransformerLayer, TransformerStack
from .errors import ModelError
from .evaluating import evaluating
from .image_tower import ImageTower
from .losses import classification, kl_divergence, reconstruction_terms
from .parameter_groups import parameter_groups
from .time2vec import Time2Vec
from .vector_quantizer import ResidualVectorQuantizer, VectorQuantizer

__all__ = [
    "ConvNeXt",
    "ImageTower",
    "LightCurveCompressor",
    "ModelError",
    "ResidualVectorQuantizer",
    "SelfAttention",
    "Time2Vec",
    "TransformerLayer",
    "TransformerStack",
    "VectorQuantizer",
    "classification",
    "evaluating",
    "kl_divergence",
    "parameter_groups",
    "reconstruction_terms",
]
