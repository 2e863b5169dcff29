"""The GPU types that model engine knows, and how nodes show theirs. Source: ``gpu_type.py`` and the image cache."""

import re
from collections.abc import Callable
from typing import Final

from mehc_checks.core.text import nearest

ACCELERATOR_LABEL: Final = "k8s.amazonaws.com/accelerator"
PRODUCT_LABELS: Final = (
    "nvidia.com/gpu.product",
    "karpenter.k8s.aws/instance-gpu-name",
    "cloud.google.com/gke-accelerator",
)
"""Set by NVIDIA's GPU feature discovery, by Karpenter on AWS, by GKE."""
GPU: Final = "nvidia.com/gpu"
MIG_PREFIX: Final = "nvidia.com/mig-"
FOREIGN_PREFIXES: Final = ("amd.com/", "gpu.intel.com/", "intel.com/", "habana.ai/", "squat.ai/")
"""Resources of other vendors' GPUs: no endpoint can use these, whatever their nodes are labeled."""
CPU_DEVICE: Final = "cpu"

CACHE_DEVICES: Final = {
    "nvidia-ampere-a10": "a10",
    "nvidia-ampere-a100": "a100",
    "nvidia-tesla-t4": "t4",
    "nvidia-hopper-h100": "h100",
    "nvidia-hopper-h100-1g20gb": "h100-1g20gb",
    "nvidia-hopper-h100-3g40gb": "h100-3g40gb",
}
"""Accelerator → the imageCache device that fills its nodes' image store."""
ACCELERATORS: Final = (*CACHE_DEVICES, "nvidia-ampere-a100e")
"""What model engine's GpuType knows. The a100e has no image cache."""
NOT_FOR_LLM: Final = "nvidia-ampere-a100e"
"""Known, but refused for LLM endpoints."""

_SLICES: Final = {"1G.20GB": "nvidia-hopper-h100-1g20gb", "3G.40GB": "nvidia-hopper-h100-3g40gb"}
"""H100s whose MIG slices are offered as GPUs: the end of their product's name."""
_MODELS: Final = {
    "A100": "nvidia-ampere-a100",
    "H100": "nvidia-hopper-h100",
    "A10": "nvidia-ampere-a10",
    "A10G": "nvidia-ampere-a10",
    "T4": "nvidia-tesla-t4",
}


def suggestion(name: str) -> str:
    """The accelerator that ``name`` was probably meant to be, or "": a slip of the pen, or the same GPU's model."""
    name = name.lower()
    for cutoff in (0.9, 0.7):
        if near := nearest(name, ACCELERATORS, cutoff=cutoff):
            return near[0]
        for accelerator in ACCELERATORS:
            if accelerator.split("-", 2)[2] in name.split("-"):
                return accelerator
    return ""


def product_of(label: Callable[[str], str | None]) -> str:
    """The product name of a node's GPUs, or "". ``label`` returns the value of one of its labels."""
    return next((value for key in PRODUCT_LABELS if (value := label(key))), "")


def is_part(product: str) -> bool:
    """Whether GPUs of ``product`` are parts of one, shared by time or memory, or MIG slices with no accelerator of
    their own. NVIDIA's GPU feature discovery names them so."""
    words = re.split(r"[-_ ]", product.upper())
    return "SHARED" in words or ("MIG" in words and not accelerator_of(product))


def accelerator_of(product: str) -> str:
    """The accelerator of a GPU by its product's name ("NVIDIA-A10G", "nvidia-tesla-a100"), or ""."""
    words = re.split(r"[-_ ]", product.upper())
    if "MIG" in words:
        return _SLICES.get(words[-1], "") if "H100" in words else ""
    return next((accelerator for model, accelerator in _MODELS.items() if model in words), "")
