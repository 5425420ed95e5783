"""What a layer rule is, and the registry that finds the rule of a module.

A rule either looks at a layer's input and output from outside (:class:`LayerRule`) or replaces the
layer's forward for the duration of a pass by an equal one that marks what it needs
(:class:`DecomposedRule`). One small file per layer family; the pass knows none of them by name.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from equigrad.errors import ModelError, RegistryError
from equigrad.gradients.pieces.base import Piece
from equigrad.gradients.tape import Kept, Tape

__all__ = ["LAYERS", "DecomposedRule", "LayerRegistry", "LayerRule", "Rule", "Use"]


class Rule(ABC):  # noqa: B024 - its two kinds below have the abstract methods
    """Common part of both kinds of rule. Rules have no state."""

    def check(self, module: nn.Module, name: str) -> None:  # noqa: B027 - most layers are fine
        """Raise ``ModelError`` with reason and remedy if this very layer cannot be handled."""


@dataclass(frozen=True)
class Use:
    """One call of a layer during the forward pass.

    Attributes
    ----------
    name
        Name of the layer in the model.
    tape
        The tape of the pass.
    args, kwargs
        What the layer was called with.
    batch_axis
        Axis of its input and output that counts records.
    """

    name: str
    tape: Tape
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    kept: tuple[Kept, ...]
    batch_axis: int

    def input(self) -> Tensor:
        """Return the layer's first tensor, batch axis in front; an error if changed since."""
        for kept in self.kept:
            kept.get()
        tensor = self.kept[0].tensor.detach() if not self.differentiable else self.kept[0].tensor
        return tensor if self.batch_axis == 0 else tensor.movedim(self.batch_axis, 0)

    def wanted(self, module: nn.Module, name: str) -> nn.Parameter | None:
        """Return the module's parameter ``name`` if its gradients are asked for, else None."""
        parameter = module._parameters.get(name)
        return parameter if self.tape.wants(parameter) else None

    @property
    def differentiable(self) -> bool:
        """Return whether the pieces have to stay part of the autograd graph."""
        return self.tape.create_graph


class LayerRule(Rule):
    """A layer whose pieces follow from its input and the gradient at its output."""

    @abstractmethod
    def pieces(self, module: nn.Module, use: Use, b: Tensor) -> Sequence[Piece]:
        """Return the pieces of the layer's own wanted parameters for one use of it.

        Parameters
        ----------
        module
            The layer.
        use
            The call: ``use.input()`` is the recorded input, batch axis in front.
        b
            Gradient of the summed loss at the layer's output, batch axis in front.
        """

    def observe(
        self,
        tape: Tape,
        module: nn.Module,
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        output: Any,
    ) -> Tensor:
        """Watch one call of the layer and return its output; used as its forward hook."""
        if not isinstance(output, Tensor):
            raise ModelError(
                f"Expected layer {name!r} to return one tensor, got {type(output).__name__}. "
                "Register a DecomposedRule for it."
            )
        leaves = args if args and not kwargs else tree_leaves((args, kwargs))
        tensors = {k: v for k, v in enumerate(leaves) if isinstance(v, Tensor)}
        if not tensors:
            raise ModelError(f"Expected layer {name!r} to take a tensor, got none.")
        first = min(tensors)
        axis = tape.batch_axis(tensors[first], name, tape.call(name), ("in", first))
        kept = tuple(tape.keep(tensor, name) for tensor in tensors.values())
        use = Use(name, tape, args, kwargs, kept, axis)
        return tape.watch(
            output, lambda b: self.pieces(module, use, b), layer=name, batch_axis=axis
        )


class DecomposedRule(Rule):
    """A layer that is replaced, for the duration of a pass, by an equal one made of parts."""

    @abstractmethod
    def forward(self, tape: Tape, module: nn.Module, name: str, *args: Any, **kwargs: Any) -> Any:
        """Return what ``module(*args, **kwargs)`` would, calling ``tape.watch`` on the way."""


class LayerRegistry:
    """Rules by module class. A subclass that leaves ``forward`` alone shares its parent's rule."""

    def __init__(self) -> None:
        self._rules: dict[type[nn.Module], Rule] = {}
        self.fallback: Callable[[nn.Module, str], Rule | None] | None = None

    def register(self, *classes: type[nn.Module]) -> Callable[[type[Rule]], type[Rule]]:
        """Return a decorator that registers one instance of its rule class for ``classes``."""

        def add(rule: type[Rule]) -> type[Rule]:
            instance = rule()
            for kind in classes:
                if kind in self._rules:
                    raise RegistryError(f"The layer rule of {kind.__name__} is registered already.")
                self._rules[kind] = instance
            return rule

        return add

    def find(self, module: nn.Module, name: str = "") -> Rule | None:
        """Return the rule of ``module``, the fall-back's answer for it, or None."""
        plain = not hasattr(module, "parametrizations")  # their weights are computed, not held
        for kind in type(module).__mro__ if plain else ():
            rule = self._rules.get(kind)
            if rule is not None and _forward(type(module)) is _forward(kind):
                return rule
        return self.fallback(module, name) if self.fallback is not None else None

    def classes(self) -> list[type[nn.Module]]:
        """Return the registered classes, by name."""
        return sorted(self._rules, key=lambda kind: kind.__name__)


def _forward(kind: type[nn.Module]) -> object:
    """Return the forward method that a class has or inherits."""
    return next(c.__dict__["forward"] for c in kind.__mro__ if "forward" in c.__dict__)


LAYERS = LayerRegistry()
