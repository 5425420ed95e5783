"""The per-sample pass: one forward, one backward to the layer outputs, then any question.

Neighbours: ``layers`` says what each layer contributes, ``tape`` takes the gradients, ``result``
answers the questions. The model is left exactly as it was found, also after an exception.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from equigrad.errors import ModelError
from equigrad.gradients.arithmetic import exact_products
from equigrad.gradients.axes import Axes
from equigrad.gradients.calling import call_model
from equigrad.gradients.checks import module_findings, per_record_loss, record_losses, refuse
from equigrad.gradients.checks.total import SumCheck
from equigrad.gradients.layers import LAYERS, DecomposedRule, LayerRule, Rule
from equigrad.gradients.result import PerSampleGradients
from equigrad.gradients.tape import Tape
from equigrad.gradients.workspace import DEFAULT_WORKSPACE_BYTES, Workspace

__all__ = ["Inputs", "PerSamplePass", "per_sample_gradients"]

Loss = Callable[[Any, Any], Tensor]
Inputs = Tensor | tuple[Any, ...] | Mapping[str, Any]


class PerSamplePass:
    """A reusable pass over one model: keeps its buffers from call to call.

    Parameters
    ----------
    model
        Any module whose layers have rules and whose rows do not interact. It is changed only for
        the duration of a call.
    loss
        ``loss(outputs, targets) -> (B,)``; known torch losses are switched to one number per
        record, see :func:`~equigrad.gradients.per_record_loss`.
    workspace_bytes
        Limit on the rows written out for one parameter at a time.
    parameters
        Names of the parameters to take gradients of; by default all that require gradients.
    check
        In the first call that allows it, hold the sum of the records' gradients to what ordinary
        back-propagation gives, which costs one more run of the model. It notices a parameter that
        is used outside its layer, such as ``F.linear(x, table.weight)``. A batch with a record
        that is not finite allows no comparison, and the next one is tried; see :attr:`checked`.

    Raises
    ------
    ModelError
        A layer with wanted parameters has no rule, or its rule refuses it; all of them are named.

    Notes
    -----
    Guarantee: norms, sums and inner products are those of the gradients that a batch of one gives
    for each record. A record with a non-finite loss or gradient counts as norm infinity,
    contributes exactly 0 and changes no other record. Source: book-keeping, Bu et al. 2022
    (arXiv 2210.00038); the norm guard is derived here.

    Frozen parameters get nothing and cost nothing. Under autocast the layers' inputs and gradients
    are used as recorded and all sums are taken in float32 or better.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        *,
        workspace_bytes: int = DEFAULT_WORKSPACE_BYTES,
        parameters: Sequence[str] | None = None,
        check: bool = True,
    ) -> None:
        self.model = model
        self.loss = per_record_loss(loss)
        self.workspace = Workspace(workspace_bytes)
        self._names = None if parameters is None else list(parameters)
        self._latest: PerSampleGradients | None = None
        self._unchecked = check
        self._modules: list[nn.Module] = []
        self._state: list[tuple[object, ...]] = []
        self._resolved: tuple[dict[str, nn.Parameter], list[tuple[str, nn.Module, Rule]]]
        self._resolve()  # refuse at once what cannot be handled

    def __call__(
        self, inputs: Inputs, targets: Any, *, create_graph: bool = False
    ) -> PerSampleGradients:
        """Run the model once forward and once backward.

        Parameters
        ----------
        inputs
            A tensor, a tuple of positional arguments or a mapping of keyword arguments; the first
            axis of the first tensor counts the records.
        targets
            Passed to the loss.
        create_graph
            Keep norms and sums differentiable with respect to the inputs.

        Returns
        -------
        PerSampleGradients
            Valid until the next call.
        """
        if self._latest is not None:
            self._latest._retire()
            self._latest = None
        size = _batch_size(inputs)
        wanted, rules = self._resolve()
        if size == 0:
            like = next(iter(wanted.values()))
            return PerSampleGradients(wanted, [], like.detach().new_zeros(0), None)
        check = None
        if self._unchecked:
            leaves = (*self.model.parameters(), *_tensors((inputs, targets)))
            check = SumCheck(lambda: self._losses(inputs, targets, size)[0], wanted, leaves)
        self.workspace.release()
        self._axes.look(self.model, [(name, module) for name, module, _ in rules], inputs, size)
        tape = Tape(
            size, list(wanted.values()), self.workspace, create_graph=create_graph, axes=self._axes
        )
        with torch.enable_grad():
            losses, outputs = self._losses(inputs, targets, size, _prepared(tape, rules))
            self._axes.require_known()
            total = losses.sum()
        with exact_products(losses.device):
            pieces = tape.backward(total)
        result = PerSampleGradients(
            wanted, pieces, losses, _detached(outputs), create_graph=create_graph
        )
        self._latest = result
        if check is not None:
            self._judge(check, result)
        return result

    def _judge(self, check: SumCheck, result: PerSampleGradients) -> None:
        """Compare sums; if the batch does not allow it, the next one will be tried."""
        self._unchecked = not check.compare(result)

    @property
    def checked(self) -> bool:
        """Whether a sum was compared already; always True with ``check=False``.

        Nothing is said aloud while no batch allows it: whether a record is finite is a secret of
        the data, and a private run must not tell.
        """
        return not self._unchecked

    def _losses(
        self,
        inputs: Inputs,
        targets: Any,
        size: int,
        watching: contextlib.AbstractContextManager[None] | None = None,
    ) -> tuple[Tensor, Any]:
        """Run the model, watched or plain; return the ``(B,)`` losses and its output."""
        with watching or contextlib.nullcontext():
            outputs = call_model(self.model, inputs)
        return record_losses(self.loss(outputs, targets), size), outputs

    def _resolve(self) -> tuple[dict[str, nn.Parameter], list[tuple[str, nn.Module, Rule]]]:
        """Return the wanted parameters and the rules, found again only if the model changed."""
        if not self._modules or _state(self._modules) != self._state:
            wanted = self._wanted()
            self._resolved = wanted, self._rules(wanted)
            self._axes = Axes()
            self._modules = list(self.model.modules())
            self._state = _state(self._modules)
        return self._resolved

    def _wanted(self) -> dict[str, nn.Parameter]:
        """Return the parameters to take gradients of, by their first name in the model."""
        known = dict(self.model.named_parameters())
        if self._names is None:
            wanted = {name: p for name, p in known.items() if p.requires_grad}
        else:
            missing = [name for name in self._names if name not in known]
            if missing:
                raise ModelError(
                    f"Expected names of the model's parameters, got {missing}. "
                    f"It has {list(known)}."
                )
            wanted = {name: known[name] for name in self._names}
        frozen = [name for name, p in wanted.items() if not p.requires_grad]
        if frozen or not wanted:
            raise ModelError(
                f"Expected parameters that require gradients, got {frozen or 'none'}. "
                "Set requires_grad on them, or leave them out."
            )
        return wanted

    def _rules(self, wanted: Mapping[str, nn.Parameter]) -> list[tuple[str, nn.Module, Rule]]:
        """Return the rule of every module that has wanted parameters of its own."""
        refuse(module_findings(self.model))
        ids = {id(parameter) for parameter in wanted.values()}
        found: list[tuple[str, nn.Module, Rule]] = []
        problems: list[str] = []
        covered: list[str] = []  # modules inside a decomposed one are its own business
        for name, module in self.model.named_modules():
            if any(name.startswith(prefix) for prefix in covered):
                continue
            rule = LAYERS.find(module, name)
            inner = not isinstance(rule, DecomposedRule)
            if not any(id(p) in ids for p in module.parameters(recurse=not inner)):
                continue
            if rule is None:
                problems.append(_no_rule(module, name))
                continue
            try:
                rule.check(module, name)
            except ModelError as error:
                problems.append(str(error))
                continue
            found.append((name, module, rule))
            if not inner:
                covered.append(f"{name}." if name else "")
        if problems:
            raise ModelError("\n".join(problems))
        return found


def per_sample_gradients(
    model: nn.Module,
    loss: Loss,
    inputs: Inputs,
    targets: Any,
    *,
    workspace_bytes: int = DEFAULT_WORKSPACE_BYTES,
    create_graph: bool = False,
    parameters: Sequence[str] | None = None,
    check: bool = True,
) -> PerSampleGradients:
    """Return the per-sample gradients of ``loss`` for one batch.

    The one-shot form of :class:`PerSamplePass`, which see for parameters, errors and guarantee;
    for many steps keep a pass, it reuses its buffers.

    Examples
    --------
    >>> grads = per_sample_gradients(model, nn.CrossEntropyLoss(), x, y)  # doctest: +SKIP
    >>> clipped = grads.weighted_sum((1.0 / grads.norms).clamp(max=1.0))  # doctest: +SKIP
    """
    one = PerSamplePass(
        model, loss, workspace_bytes=workspace_bytes, parameters=parameters, check=check
    )
    return one(inputs, targets, create_graph=create_graph)


def _state(modules: Sequence[nn.Module]) -> list[tuple[object, ...]]:
    """Return what decides on rules and refusals: modes, children, parameters, what is frozen."""
    return [
        (
            module.training,
            *map(id, module._modules.values()),
            *((id(p), p is not None and p.requires_grad) for p in module._parameters.values()),
        )
        for module in modules
    ]


@contextlib.contextmanager
def _prepared(tape: Tape, rules: Sequence[tuple[str, nn.Module, Rule]]) -> Iterator[None]:
    """Prepare the layers for one forward pass and leave nothing behind."""
    with contextlib.ExitStack() as stack:
        for name, module, rule in rules:
            if isinstance(rule, LayerRule):
                handle = module.register_forward_hook(_observer(tape, rule, name), with_kwargs=True)
                stack.callback(handle.remove)
            elif isinstance(rule, DecomposedRule):
                stack.enter_context(_replaced(tape, module, rule, name))
        yield


def _observer(tape: Tape, rule: LayerRule, name: str) -> Any:
    """Return a forward hook that shows each call of a layer to its rule."""

    def hook(module: nn.Module, args: Any, kwargs: Any, output: Any) -> Tensor:
        return rule.observe(tape, module, name, args, kwargs, output)

    return hook


@contextlib.contextmanager
def _replaced(tape: Tape, module: nn.Module, rule: DecomposedRule, name: str) -> Iterator[None]:
    """Replace a module's forward on the instance, and put back what was there."""
    own = module.__dict__.get("forward")

    def forward(*args: Any, **kwargs: Any) -> Any:
        return rule.forward(tape, module, name, *args, **kwargs)

    module.__dict__["forward"] = forward
    try:
        yield
    finally:
        if own is None:
            del module.__dict__["forward"]
        else:
            module.__dict__["forward"] = own


def _tensors(tree: Any) -> list[Tensor]:
    """Return all tensors in nested inputs or targets."""
    given = dict(tree) if isinstance(tree, Mapping) else tree
    return [leaf for leaf in tree_leaves(given) if isinstance(leaf, Tensor)]


def _batch_size(inputs: Inputs) -> int:
    """Return the first axis of the first tensor among the inputs."""
    values = [inputs] if isinstance(inputs, Tensor) else inputs
    values = list(values.values()) if isinstance(values, Mapping) else list(values)
    for value in values:
        if isinstance(value, Tensor) and value.ndim > 0:
            return value.shape[0]
    raise ModelError(
        "Expected inputs with a tensor whose first axis counts the records, got none. "
        "Give a tensor, a tuple or a dict of tensors."
    )


def _detached(value: Any) -> Any:
    """Return ``value`` with every tensor in it detached."""
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, Mapping):
        return {key: _detached(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return tuple(_detached(item) for item in value)
    return value


def _no_rule(module: nn.Module, name: str) -> str:
    """Return the message for a module that no rule covers."""
    kind = type(module).__name__
    return (
        f"Expected layers with a rule for per-sample gradients, got {kind} {name or '(root)'!r} "
        "with parameters of its own. Freeze them, or register a rule in equigrad.gradients.LAYERS."
    )
