"""What a look at the modules alone can refuse, without running them.

Each check takes one module and its name and returns findings. The probe
(:mod:`equigrad.gradients.checks.probe`) finds what only running shows.
"""

from collections.abc import Callable, Iterator

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.nn.parameter import UninitializedParameter

from equigrad.gradients.checks.finding import Finding

__all__ = ["module_findings"]

WRAPPERS = {"DataParallel", "DistributedDataParallel", "FullyShardedDataParallel"}


def module_findings(model: nn.Module) -> list[Finding]:
    """Return all findings that need no forward pass, in the order of ``named_modules()``."""
    findings = [
        finding
        for name, module in model.named_modules()
        for check in MODULE_CHECKS
        for finding in check(module, _where(name, module))
    ]
    return findings + list(_placement(model))


def _where(name: str, module: nn.Module) -> str:
    """Return the layer's name and class as messages show them."""
    return f"{name or 'model'} ({type(module).__name__})"


def _batch_statistics(module: nn.Module, where: str) -> Iterator[Finding]:
    """Refuse layers that normalise over the batch; in eval mode they are affine and welcome."""
    if not isinstance(module, _BatchNorm):
        return
    if module.training or module.running_mean is None:
        unable = "" if module.running_mean is not None else " (it keeps no running statistics)"
        yield Finding(
            where,
            f"normalises every row by statistics of the whole batch{unable}",
            "Replace it by replace_batchnorm(model), or freeze it with .eval() if it has running "
            "statistics",
        )


def _running_statistics(module: nn.Module, where: str) -> Iterator[Finding]:
    """Refuse instance norms whose running statistics training would fill from data."""
    if isinstance(module, _InstanceNorm) and module.track_running_stats and module.training:
        yield Finding(
            where,
            "fills running statistics from the data, and they would leave in the state dict",
            "Build it with track_running_stats=False, or freeze it with .eval()",
        )


def _embedding(module: nn.Module, where: str) -> Iterator[Finding]:
    """Refuse embeddings whose rows depend on which ids the batch holds."""
    if not isinstance(module, nn.Embedding | nn.EmbeddingBag):
        return
    if module.max_norm is not None:
        yield Finding(
            where,
            "max_norm changes its weight during the forward pass, for the ids of this batch",
            "Build it with max_norm=None and rescale the weight after the step if need be",
        )
    if module.scale_grad_by_freq:
        yield Finding(
            where,
            "scale_grad_by_freq divides a row's gradient by counts over the whole batch",
            "Build it with scale_grad_by_freq=False",
        )


def _compiled(module: nn.Module, where: str) -> Iterator[Finding]:
    """Refuse compiled and scripted modules: hooks do not see their layers."""
    wrapped = type(module).__name__ == "OptimizedModule"
    if wrapped or getattr(module, "_compiled_call_impl", None) is not None:
        yield Finding(
            where,
            "is compiled by torch.compile, which hides or reorders its layers",
            "Pass the plain module" + (" (compiled._orig_mod)" if wrapped else ""),
        )
    if isinstance(module, torch.jit.ScriptModule):
        yield Finding(where, "is scripted, which hides its layers", "Pass the plain module")


def _wrapped(module: nn.Module, where: str) -> Iterator[Finding]:
    """Refuse wrappers that spread the batch or the parameters over devices."""
    if type(module).__name__ in WRAPPERS:
        yield Finding(
            where,
            "spreads rows or parameters over several devices",
            "Pass the wrapped module (.module), on one device",
        )


def _uninitialised(module: nn.Module, where: str) -> Iterator[Finding]:
    """Refuse lazy layers that do not know their shape yet."""
    if any(isinstance(p, UninitializedParameter) for p in module.parameters(recurse=False)):
        yield Finding(where, "has parameters without a shape", "Run the model once before training")


def _placement(model: nn.Module) -> Iterator[Finding]:
    """Refuse models on several devices, on none, or with sharded parameters."""
    devices: dict[str, list[str]] = {}
    for name, parameter in model.named_parameters():
        devices.setdefault(str(parameter.device), []).append(name)
        if type(parameter.data).__name__ == "DTensor":
            yield Finding(name, "is sharded over a mesh", "Gather the parameters on one device")
    if len(devices) > 1:
        listed = ", ".join(f"{device} ({names[0]}, ...)" for device, names in devices.items())
        yield Finding("model", f"lies on several devices: {listed}", "Move it to one device")
    if "meta" in devices:
        yield Finding("model", "has parameters on the meta device", "Materialise them first")


MODULE_CHECKS: tuple[Callable[[nn.Module, str], Iterator[Finding]], ...] = (
    _batch_statistics,
    _running_statistics,
    _embedding,
    _compiled,
    _wrapped,
    _uninitialised,
)
