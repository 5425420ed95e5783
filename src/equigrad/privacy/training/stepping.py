"""One private step of a run: charge, draw, clip, add noise, step; in this order, always.

Neighbours: :mod:`.meter` charges, :mod:`.release` makes the noisy sum, :mod:`.lasting` makes many
steps.
"""

from collections.abc import Mapping
from typing import Any

import torch

from equigrad.errors import ModelError
from equigrad.privacy.training.checks import refuse_gradients
from equigrad.privacy.training.digests import inputs_digest, run_digest
from equigrad.privacy.training.journal import release_digest
from equigrad.privacy.training.keeping import data_fingerprint
from equigrad.privacy.training.outset import plain_sgd
from equigrad.privacy.training.probing import refuse_other_modes
from equigrad.privacy.training.release import NoisyRelease
from equigrad.privacy.training.reports import DiagnosticHook, StepReport
from equigrad.privacy.training.run import PrivateRun

__all__ = ["SteppingRun"]

_WEIGHTS_EVERY = 64


class SteppingRun(PrivateRun):
    """A private run that makes steps."""

    _modes: list[bool]
    _run_digest: str = ""

    def step(self) -> StepReport:
        """Make one private step.

        Raises
        ------
        BudgetExceededError
            Before any row is drawn, if nothing is left; the run is unchanged.
        ModelError
            If a parameter holds a gradient (it may be un-noised), a module is in another mode than
            at the start, or the parameters are no longer finite (which the released model shows to
            anybody).
        PrivacyError
            If an earlier step broke off halfway.
        """
        self._require_whole()
        refuse_gradients(self.parameters)
        refuse_other_modes(self.model, self._modes)
        rates = tuple(float(group["lr"]) for group in self.optimizer.param_groups)
        watcher = self.diagnostics
        if watcher is not None and not watcher.due(self.steps_done):
            watcher = None
        before = self.rule.state()
        try:
            release, nonce, replayed = self._released(before, watcher)
            if watcher is not None:
                self._close_diagnostics(watcher, release, rates[0])
        except BaseException:
            self.rule.load(before)  # nothing was given out: the same step can be tried again
            raise
        self._apply(release, nonce)
        self._check_parameters()
        return StepReport(
            step=self.steps_done,
            steps=self.settings.steps,
            charged=self.meter.charged,
            replayed=replayed,
            learning_rates=rates,
            sensitivity=release.sensitivity,
            noisy_counts=tuple(release.counts.tolist()),
            rule_state=self.rule.state(),
        )

    def _inputs_digest(self) -> str:
        """Return a digest of all that a step's sum depends on besides the key."""
        if not self._run_digest:
            rows = data_fingerprint(self.rows, self.key).hex()
            settings = self.settings.to_json() | {"secure_noise": self.secure_noise}
            self._run_digest = run_digest(rows, self.model, self.loss, settings)
        return inputs_digest(self.model, self.rule, self._run_digest)

    def _released(
        self, before: Mapping[str, Any], watcher: DiagnosticHook | None
    ) -> tuple[NoisyRelease, int, bool]:
        """Return a release that may be given out, its nonce, and whether it repeats one."""
        nonce = self.meter.begin(self.steps_done, self._inputs_digest)
        release = self.releases.make(nonce, watcher)
        if self.journal is None:
            return release, nonce, False
        replayed = self.journal.seen(nonce)
        digest = release_digest(release.total, release.counts)
        if not self.journal.agrees(nonce, digest):
            # One noise on two sums would reveal their difference: this one is thrown away.
            self.rule.load(before)
            nonce = self.meter.begin(self.steps_done, self._inputs_digest, again=True)
            replayed = False
            release = self.releases.make(nonce, watcher)
            digest = release_digest(release.total, release.counts)
        self.journal.add(nonce, digest)
        return release, nonce, replayed

    def _apply(self, release: NoisyRelease, nonce: int) -> None:
        """Give the noisy gradient to the optimiser and move everything on by one step."""
        self._broken = True
        with torch.no_grad():
            release.total.div_(self.settings.public_batch_size)
            if release.total is not self.releases.total:
                self.releases.total.copy_(release.total)
        for name, parameter in self.parameters.items():
            parameter.grad = self.releases.views[name].to(parameter.dtype)
        self.optimizer.step()
        for parameter in self.parameters.values():
            parameter.grad = None
        if not self.rule.counts_first:
            self.rule.update(release.counts)
        self.steps_done += 1
        self.nonce = nonce
        if self.scheduler is not None and self.steps_done % self.scheduler_every == 0:
            self.scheduler.step()
        if self.average is not None:
            self.average.update()
        self._broken = False

    def _close_diagnostics(
        self, watcher: DiagnosticHook, release: NoisyRelease, rate: float
    ) -> None:
        """Finish the observation of this step."""
        state = {
            name: float(value)
            for name, value in self.rule.state().items()
            if isinstance(value, int | float)
        }
        watcher.close(
            self.steps_done,
            self.model,
            learning_rate=rate,
            sensitivity=release.sensitivity,
            noise_multiplier=self.settings.noise_multiplier,
            public_batch_size=self.settings.public_batch_size,
            plain_sgd=plain_sgd(self.optimizer),
            state=state,
        )

    def _check_parameters(self) -> None:
        """Now and then, look whether the released model has run off to infinity."""
        if self.steps_done % _WEIGHTS_EVERY and self.steps_done != self.settings.steps:
            return
        for name, parameter in self.parameters.items():
            if not bool(torch.isfinite(parameter).all()):
                raise ModelError(
                    f"Expected finite parameters after step {self.steps_done}, got NaN or inf in "
                    f"{name}. Lower the learning rate; the steps made stay charged."
                )
