"""Training-free scores of architectures, each behind the `Proxy` contract; importing this package imports no torch."""

from mimar.proxies._activation_distance import activation_distance
from mimar.proxies._activation_outliers import activation_outliers
from mimar.proxies._activation_sparsity import activation_sparsity
from mimar.proxies._adw import adw
from mimar.proxies._attention_confidence import attention_confidence
from mimar.proxies._baselines import depth_width, flops, nonembedding_params, params
from mimar.proxies._contract import Cost, Need, Proxy, Score, score_code
from mimar.proxies._decoder import PROXY_VOCABULARY, DecoderSubject, decoder_inputs
from mimar.proxies._description import by_layer, in_runs, size_words
from mimar.proxies._ensemble import (
    RZ_NAS_MEMBERS,
    Ensemble,
    Standardiser,
    fit_standardiser,
    member_scores,
    rz_nas_ensemble,
)
from mimar.proxies._fisher import fisher
from mimar.proxies._grad_norm import grad_norm
from mimar.proxies._grasp import grasp
from mimar.proxies._head_importance import head_importance
from mimar.proxies._hpm import hpm, hpm_plus
from mimar.proxies._inputs import ProxyInputs, Scorable, Subject, final_states
from mimar.proxies._jacobian_covariance import jacobian_covariance
from mimar.proxies._lpzero import lpzero
from mimar.proxies._naswot import naswot
from mimar.proxies._nsc_mp import nsc_mp
from mimar.proxies._ntk import ntk
from mimar.proxies._parameter_efficiency import parameter_efficiency
from mimar.proxies._population import score_population
from mimar.proxies._quantization import quantization_int4, quantization_int8
from mimar.proxies._snip import snip
from mimar.proxies._softmax_confidence import softmax_confidence
from mimar.proxies._spectrum import spectrum
from mimar.proxies._synaptic import dss, synaptic_diversity, synaptic_saliency
from mimar.proxies._synflow import synflow
from mimar.proxies._weight_spectrum import (
    effective_rank,
    effective_rank_weights,
    spectral_spread,
    spectral_spread_weights,
)
from mimar.proxies._zen import zen
from mimar.proxies._zerolm import fit_alpha, zerolm, zerolm_parts, zerolm_weights
from mimar.proxies._zico import zico

__all__ = [
    "PROXIES",
    "PROXY_VOCABULARY",
    "RZ_NAS_MEMBERS",
    "Cost",
    "DecoderSubject",
    "Ensemble",
    "Need",
    "Proxy",
    "ProxyInputs",
    "Scorable",
    "Score",
    "Standardiser",
    "Subject",
    "activation_distance",
    "activation_outliers",
    "activation_sparsity",
    "adw",
    "attention_confidence",
    "by_layer",
    "decoder_inputs",
    "depth_width",
    "dss",
    "effective_rank",
    "effective_rank_weights",
    "final_states",
    "fisher",
    "fit_alpha",
    "fit_standardiser",
    "flops",
    "grad_norm",
    "grasp",
    "head_importance",
    "hpm",
    "hpm_plus",
    "in_runs",
    "jacobian_covariance",
    "lpzero",
    "member_scores",
    "naswot",
    "nonembedding_params",
    "nsc_mp",
    "ntk",
    "parameter_efficiency",
    "params",
    "quantization_int4",
    "quantization_int8",
    "rz_nas_ensemble",
    "score_code",
    "score_population",
    "size_words",
    "snip",
    "softmax_confidence",
    "spectral_spread",
    "spectral_spread_weights",
    "spectrum",
    "synaptic_diversity",
    "synaptic_saliency",
    "synflow",
    "zen",
    "zerolm",
    "zerolm_parts",
    "zerolm_weights",
    "zico",
]

PROXIES: tuple[Proxy, ...] = (
    adw, hpm, hpm_plus, nonembedding_params, params, flops, depth_width, zerolm(), zerolm_weights(), nsc_mp,
    parameter_efficiency, synflow, ntk, spectrum, grad_norm,
    effective_rank, effective_rank_weights, spectral_spread, spectral_spread_weights, naswot, activation_distance, zen,
    attention_confidence, softmax_confidence, quantization_int8, quantization_int4, activation_outliers,
    activation_sparsity,
    snip, grasp, fisher, zico, synaptic_diversity, synaptic_saliency, dss, head_importance, lpzero,
    jacobian_covariance,
)  # fmt: skip
"""Every proxy but those that need a sample of the space, the default accuracy score first."""
