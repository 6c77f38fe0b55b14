"""Training-free scores of architectures, each behind the `Proxy` contract; importing this package imports no torch."""

from mimar.proxies._baselines import depth_width, flops, nonembedding_params, params
from mimar.proxies._contract import Cost, Need, Proxy, Score
from mimar.proxies._ensemble import RZ_NAS_MEMBERS, Ensemble, Standardiser, fit_standardiser, rz_nas_ensemble
from mimar.proxies._grad_norm import grad_norm
from mimar.proxies._hpm import hpm, hpm_plus
from mimar.proxies._inputs import PROXY_VOCABULARY, ProxyInputs
from mimar.proxies._nsc_mp import nsc_mp
from mimar.proxies._ntk import ntk
from mimar.proxies._parameter_efficiency import parameter_efficiency
from mimar.proxies._population import score_population
from mimar.proxies._spectrum import spectrum
from mimar.proxies._synflow import synflow
from mimar.proxies._zerolm import fit_alpha, zerolm, zerolm_parts, zerolm_weights

__all__ = [
    "PROXIES",
    "PROXY_VOCABULARY",
    "RZ_NAS_MEMBERS",
    "Cost",
    "Ensemble",
    "Need",
    "Proxy",
    "ProxyInputs",
    "Score",
    "Standardiser",
    "depth_width",
    "fit_alpha",
    "fit_standardiser",
    "flops",
    "grad_norm",
    "hpm",
    "hpm_plus",
    "nonembedding_params",
    "nsc_mp",
    "ntk",
    "parameter_efficiency",
    "params",
    "rz_nas_ensemble",
    "score_population",
    "spectrum",
    "synflow",
    "zerolm",
    "zerolm_parts",
    "zerolm_weights",
]

PROXIES: tuple[Proxy, ...] = (
    hpm, hpm_plus, nonembedding_params, params, flops, depth_width, zerolm(), zerolm_weights(), nsc_mp,
    parameter_efficiency, synflow, ntk, spectrum, grad_norm,
)  # fmt: skip
"""Every proxy but those that need a sample of the space, the default accuracy score first."""
