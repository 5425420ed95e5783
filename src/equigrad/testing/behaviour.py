"""The contract suite of behaviours.

Each test is one sentence of the contract in
:class:`equigrad.federation.party.behaviours.Behaviour`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping

import pytest
import torch

from equigrad.federation.party.behaviours import BEHAVIOURS, Behaviour, Situation

__all__ = ["BehaviourContract"]


class BehaviourContract(ABC):
    """Inherit, return the behaviour from :meth:`behaviour`, name the class ``Test...``."""

    size: int = 400
    """Length of the updates that the suite plays with."""

    @abstractmethod
    def behaviour(self) -> Behaviour:
        """Return the behaviour under test, as a user would make it."""

    def vector(self, seed: int) -> torch.Tensor:
        """Return a made-up update or reward ``(size,) float32`` with some zeros in it."""
        vector = torch.randn(self.size, generator=torch.Generator().manual_seed(seed))
        vector[:: max(self.size // 20, 1)] = 0
        return vector

    def situation(
        self,
        *,
        round_: int = 0,
        gamma: float | None = 0.5,
        seed: int = 0,
        reward: torch.Tensor | None = None,
        memory: Mapping[str, torch.Tensor] | None = None,
        honest: torch.Tensor | None = None,
    ) -> Situation:
        """Return a situation; only behaviours that train may ask for the honest update."""

        def work() -> torch.Tensor:
            if not self.behaviour().trains:
                pytest.fail("it asked for honest work although trains is False")
            return self.vector(100 + round_) if honest is None else honest

        def group_generator(name: str) -> torch.Generator:
            return torch.Generator().manual_seed(1000 * round_ + sum(name.encode()))

        return Situation(
            round=round_,
            size=self.size,
            gamma=gamma,
            generator=torch.Generator().manual_seed(seed),
            group_generator=group_generator,
            honest=work,
            reward=reward,
            memory=memory or {},
        )

    def test_it_is_registered_under_its_name(self) -> None:
        """The registry gives the behaviour's class back by its name."""
        assert BEHAVIOURS[self.behaviour().name] is type(self.behaviour())

    @pytest.mark.parametrize("gamma", [None, 0.5])
    @pytest.mark.parametrize("rewarded", [False, True])
    def test_updates_are_flat_finite_floats(self, gamma: float | None, rewarded: bool) -> None:
        """In every round the update is ``(D,) float32`` on the CPU and finite."""
        behaviour, memory = self.behaviour(), dict[str, torch.Tensor]()
        for round_ in range(4):
            reward = self.vector(round_) if rewarded and round_ else None
            update, new = behaviour.act(
                self.situation(round_=round_, gamma=gamma, reward=reward, memory=memory)
            )
            memory = dict(new)
            assert update.shape == (self.size,)
            assert update.dtype == torch.float32
            assert update.device.type == "cpu"
            assert bool(update.isfinite().all())

    def test_equal_situations_give_equal_bytes(self) -> None:
        """Also from another instance, and whatever the global random state is."""
        first, memory = self.behaviour().act(self.situation(reward=self.vector(1)))
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(77)
            again, same = self.behaviour().act(self.situation(reward=self.vector(1)))
        assert torch.equal(first, again)
        assert memory.keys() == same.keys()
        assert all(torch.equal(memory[name], same[name]) for name in memory)

    def test_the_global_generator_is_left_alone(self) -> None:
        """All randomness comes from the situation."""
        before = torch.get_rng_state()
        self.behaviour().act(self.situation())
        assert torch.equal(torch.get_rng_state(), before)

    def test_nothing_it_was_given_is_changed(self) -> None:
        """Honest update, reward, memory and labels are left as they were."""
        _, memory = self.behaviour().act(self.situation())
        honest, reward = self.vector(5), self.vector(6)
        copies = {name: tensor.clone() for name, tensor in memory.items()}
        self.behaviour().act(self.situation(round_=1, honest=honest, reward=reward, memory=memory))
        assert torch.equal(honest, self.vector(5))
        assert torch.equal(reward, self.vector(6))
        assert all(torch.equal(memory[name], copies[name]) for name in copies)
        labels = torch.arange(10)
        self.behaviour().labels(labels, 10)
        assert torch.equal(labels, torch.arange(10))

    def test_memory_is_float_tensors_by_plain_names(self) -> None:
        """What is remembered can be written into a checkpoint, and keeps its size."""
        memory: Mapping[str, torch.Tensor] = {}
        sizes = []
        for round_ in range(4):
            reward = self.vector(round_)
            _, memory = self.behaviour().act(
                self.situation(round_=round_, reward=reward, memory=memory)
            )
            sizes.append(sum(tensor.numel() for tensor in memory.values()))
        assert all(isinstance(tensor, torch.Tensor) for tensor in memory.values())
        assert "reward" not in memory
        assert len(set(sizes)) == 1

    def test_labels_stay_classes(self) -> None:
        """Labels to train on have the shape, dtype and range of the true ones."""
        labels = torch.arange(30) % 10
        changed = self.behaviour().labels(labels, 10)
        assert changed.shape == labels.shape
        assert changed.dtype == labels.dtype
        assert 0 <= int(changed.min()) <= int(changed.max()) < 10
