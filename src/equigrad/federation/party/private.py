"""Private local training: every step bounded, noised and paid for from the party's own account.

The noisy sums are made by :mod:`equigrad.privacy.training`; what may be released is in the
party's :class:`~equigrad.federation.private.plan.PrivacyPlan`; the account and its keys in
:mod:`equigrad.federation.private.account`. The neighbour
:mod:`equigrad.federation.party.training` does the same work without privacy.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional

from equigrad.errors import ConfigError
from equigrad.federation.party.optimizer import make_optimizer, restore_state, save_state
from equigrad.federation.party.selecting import Choice, choose
from equigrad.federation.party.spec import PartySpec, Records
from equigrad.federation.party.state import PartyState
from equigrad.federation.party.training import LocalStep, Loss, check_training
from equigrad.federation.private.account import Charge, PartyAccount
from equigrad.federation.private.plan import PrivacyPlan
from equigrad.federation.private.told import Release, Terms, declared_noise, plain_descent, tell
from equigrad.models import flatten, load_flat, private_rng, set_training_mode
from equigrad.models.flat import trainable
from equigrad.privacy.noise import NoiseKey
from equigrad.privacy.training.kept import kept_rows
from equigrad.privacy.training.release import ReleaseMaker
from equigrad.privacy.training.rows import as_rows
from equigrad.privacy.training.settings import Settings

__all__ = ["PrivateWork", "record_loss"]

_ALONE = 1 << 31  # steps of training alone have numbers of their own


def record_loss(task: Literal["classification", "regression"]) -> Loss:
    """Return the loss ``(n,)`` of each record, given outputs ``(n, outputs)`` and labels ``(n,)``.

    Its mean is what training without privacy descends.
    """
    return _cross_entropy if task == "classification" else _squared_error


def _cross_entropy(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(outputs, labels, reduction="none")


def _squared_error(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return (outputs.squeeze(1) - labels).square()


class PrivateWork:
    """One party's private training. Used by one thread at a time.

    Guarantee: what all calls together return is (epsilon, delta)-differentially private for the
    party's records, with the plan's epsilon and delta, if keys are secret; a round that would go
    beyond is refused before a record is touched. Each round is charged durably before its first
    batch is drawn. A round that is asked for again from the same state gives the same bytes from
    the same key and is not charged again; from another state it is charged and drawn anew.

    Parameters
    ----------
    model
        A checked model on the records' device; its weights are overwritten by every call.
    records
        Training records on the same device.
    spec
        The party, with a plan and the file of its account.
    frozen
        Modules that stay in evaluation mode.

    Raises
    ------
    ConfigError
        If the party has no plan or no account, or the optimiser does not suit the model.
    """

    def __init__(
        self,
        model: nn.Module,
        records: Records,
        spec: PartySpec,
        *,
        frozen: tuple[nn.Module, ...] = (),
    ) -> None:
        if spec.plan is None or spec.account is None:
            raise ConfigError(
                f"Expected a plan and an account for private training of {spec.name!r}, got none. "
                "Play the run through equigrad.federation.runner, which makes them."
            )
        check_training(model, spec.training)
        self.spec = spec
        self.plan: PrivacyPlan = spec.plan
        self._model, self._records, self._frozen = model, records, frozen
        self._parameters = trainable(model)
        self._account = PartyAccount(spec.account, self.plan, spec.seed)
        self._first_state = self.plan.rule().state()
        self._initial = flatten(model)
        self._data: dict[int, str] = {}
        self._choices: dict[str, Choice] = {}

    def steps(self) -> int:
        """Return how many steps the party's account holds."""
        return self._account.steps()

    def train(
        self,
        state: PartyState,
        round_: int,
        *,
        labels: torch.Tensor | None = None,
        alone: bool = False,
    ) -> LocalStep:
        """Train privately from ``state`` for one round.

        Parameters
        ----------
        state
            Weights, optimiser state and the clipping rule's released state to start from.
        round_
            The round, for the learning rate and the addresses of the noise.
        labels
            Labels ``(n,)`` to train on instead of the records' own (attacks).
        alone
            Whether this is a round of training alone, which is charged as well.

        Raises
        ------
        BudgetExceededError
            If the account holds too little for a whole round; nothing was touched then.
        """
        given = self._records.labels if labels is None else labels
        selected = self._selected(state, given)
        rule_state = state.private.get("rule", self._first_state)
        first = round_ * self.plan.round_steps + (_ALONE if alone else 0)
        digest = self._digest(state, rule_state, given, selected)
        charge = self._account.charge(first, digest)
        load_flat(self._model, state.weights)
        set_training_mode(self._model, self._frozen)
        # The maker seeds PyTorch's global generator (for dropout) from the key at every step; the
        # lock keeps other threads' models from drawing in between.
        with private_rng(0, self._records.features.device):
            optimizer, private = self._descend(state, round_, given, selected, rule_state, charge)
        if selected is not None:
            private["selection"] = selected.to_json()
        after = flatten(self._model)
        return LocalStep(after - state.weights, after, optimizer, private)

    def _selected(self, state: PartyState, labels: torch.Tensor) -> Choice | None:
        """Return which records the party chose, now if it has not yet; None if it takes all."""
        plan = self.plan.selection
        if plan is None:
            return None
        if "selection" in state.private:
            return Choice.from_json(dict(state.private["selection"]))
        inputs = hashlib.sha256(
            self._data_digest(labels).encode() + _bytes(self._initial)
        ).hexdigest()
        if inputs not in self._choices:
            load_flat(self._model, self._initial)
            self._choices[inputs] = choose(
                self._model,
                self._records,
                labels,
                record_loss(self.spec.model_input.task),
                plan,
                self._account,
                inputs=inputs,
                frozen=self._frozen,
            )
        return self._choices[inputs]

    def tell(
        self,
        private: Mapping[str, Any],
        upload: torch.Tensor,
        update: torch.Tensor,
        *,
        honest: bool,
    ) -> dict[str, Any]:
        """Return what the reply of this round tells of its release.

        Parameters
        ----------
        private
            What :attr:`LocalStep.private` said.
        upload, update
            The bounded upload and the honest update that it was made of.
        honest
            Whether it was made of that and of nothing else; else its noise is not known.
        """
        factor = None
        if honest and private["steady"] and plain_descent(self.spec.training):
            before, after = (float(v.double().norm()) for v in (update, upload))
            factor = after / before if before > 0 else 1.0
        mean = private.get("selection", {}).get("mean")
        return tell(self.plan, Release(self.plan.round_steps, private["steps"], factor, mean))

    def declared(self, round_: int, told: Mapping[str, Any]) -> dict[str, Any]:
        """Return the noise that an upload with these facts declares."""
        size = sum(p.numel() for p in self._parameters)
        terms = Terms.of(self.plan, self.spec.training, round_, n_params=size)
        return declared_noise(terms, told)

    def _descend(
        self,
        state: PartyState,
        round_: int,
        labels: torch.Tensor,
        selected: Choice | None,
        rule_state: Mapping[str, Any],
        charge: Charge,
    ) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """Take a round's steps; return the optimiser's state and what is to be remembered."""
        training = self.spec.training
        lr = training.lr * training.lr_decay**round_
        optimizer = make_optimizer(training.optimizer, self._parameters, lr, training.options)
        if state.optimizer:
            restore_state(optimizer, state.optimizer)
        rule = self.plan.rule(rule_state)
        bound, steady = self.plan.rule().sensitivity, True
        maker = self._maker(labels, selected, rule, charge.key)
        try:
            for nonce in charge.nonces:
                release = maker.make(nonce)
                steady = steady and release.sensitivity == bound
                self._apply(release.total / self.plan.expected_batch)
                optimizer.step()
                if not rule.counts_first:
                    rule.update(release.counts)
        finally:
            maker.close()
            optimizer.zero_grad(set_to_none=True)
        kept = save_state(optimizer) if training.optimizer_state == "keep" else {}
        return kept, {"rule": rule.state(), "steps": charge.steps, "steady": steady}

    def _apply(self, mean: torch.Tensor) -> None:
        """Give each parameter its part of a flat noisy mean ``(D,)`` as its gradient."""
        parts = torch.split(mean, [p.numel() for p in self._parameters])
        for parameter, part in zip(self._parameters, parts, strict=True):
            parameter.grad = part.view(parameter.shape).to(parameter.dtype)

    def _maker(
        self, labels: torch.Tensor, selected: Choice | None, rule: Any, key: NoiseKey
    ) -> ReleaseMaker:
        rows = as_rows((self._records.features, labels), self.spec.groups)
        if selected is not None:
            rows = kept_rows(rows, selected.kept)
        plan, event = self.plan, self.plan.event
        settings = Settings(
            n_rows=len(self._records),
            sampling_rate=event.sampling_rate,
            public_batch_size=plan.expected_batch,
            steps=plan.round_steps,
            delta=plan.delta,
            noise_multiplier=event.noise_multiplier,
            counts=event.counts,
            target_epsilon=None,
            accountant=plan.accountant,
            max_physical=plan.physical_rows,
            max_logical_batch=None,
            noise_coordinates=event.noise_coordinates,
        )
        return ReleaseMaker(
            self._model,
            record_loss(self.spec.model_input.task),
            {n: p for n, p in self._model.named_parameters() if p.requires_grad},
            rows,
            rule,
            settings,
            key,
            secure=plan.secure,
            device=self._records.features.device,
        )

    def _digest(
        self,
        state: PartyState,
        rule_state: Mapping[str, Any],
        labels: torch.Tensor,
        selected: Choice | None,
    ) -> str:
        """Return the SHA-256 of all that the sums of a round are made of, but the key."""
        total = hashlib.sha256(self._data_digest(labels).encode())
        if selected is not None:
            total.update(selected.kept.tobytes())
        total.update(_bytes(state.weights))
        for name in sorted(state.optimizer):
            total.update(name.encode() + _bytes(state.optimizer[name]))
        total.update(json.dumps(rule_state, sort_keys=True).encode())
        return total.hexdigest()

    def _data_digest(self, labels: torch.Tensor) -> str:
        """Return the SHA-256 of the records; taken once for each vector of labels."""
        key = id(labels)
        if key not in self._data:
            total = hashlib.sha256(_bytes(self._records.features) + _bytes(labels))
            if self.spec.groups is not None:
                total.update(_bytes(self.spec.groups))
            self._data[key] = total.hexdigest()
        return self._data[key]


def _bytes(tensor: torch.Tensor) -> bytes:
    plain = tensor.detach().cpu().contiguous()
    return f"{plain.dtype}{tuple(plain.shape)}".encode() + plain.numpy().tobytes()
