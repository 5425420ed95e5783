"""Models, targets, losses, rules and accounts that do not go together: clear errors, no charge."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from training_cases import net, rows, trainer

from equigrad.errors import ConfigError, DataError, ModelError
from equigrad.privacy.account import PrivacyAccount
from equigrad.privacy.training import PrivateTrainer
from equigrad.privacy.training.fitting import check_model_fits, check_targets_fit
from equigrad.privacy.training.rows import as_rows

X, Y, G = rows()

MISFITS: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "too few inputs": (
        {"data": (X[:, :4], Y, G)},
        ModelError,
        r"^Expected a model that takes .*\(2, 4\) float64 \(RuntimeError: mat1 and mat2.*Build",
    ),
    "inputs of another dtype": ({"data": (X.float(), Y, G)}, ModelError, "parameters are float64"),
    "two inputs for one": ({"data": ((X, X), Y, G)}, ModelError, "float64, .*TypeError"),
    "an unknown input": ({"data": ({"words": X}, Y, G)}, ModelError, "TypeError"),
    "float targets": (
        {"data": (X, Y.double(), G)},
        DataError,
        r"^Expected targets that the loss takes, got float64 of shape \(2,\).*int64.*Convert",
    ),
    "boolean targets": ({"data": (X, Y > 0, G)}, DataError, "got bool"),
    "short whole targets": ({"data": (X, Y.int(), G)}, DataError, "got int32"),
    "a rule that is none": ({"rule": None, "rule_options": {}}, ConfigError, "got None.*flat"),
    "a rule's class": ({"rule": int, "rule_options": {}}, ConfigError, "ClippingRule or a name"),
}


@pytest.mark.parametrize("check_data", [True, False])
@pytest.mark.parametrize("case", sorted(MISFITS))
def test_parts_that_do_not_fit(case: str, check_data: bool, tmp_path: Path) -> None:
    options, error, message = MISFITS[case]
    with PrivacyAccount.open(tmp_path / "a", owner="me", epsilon=4.0, delta=1e-4) as account:
        with pytest.raises(error, match=message):
            trainer(account=account, check_data=check_data, **options)
        assert account.entries() == []


def test_an_account_is_opened_before_it_is_given(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"got 'a\.sqlite'. Open .*PrivacyAccount\.open"):
        trainer(account="a.sqlite")
    with pytest.raises(ConfigError, match="of type PosixPath"):
        trainer(account=tmp_path / "a.sqlite")
    assert not (tmp_path / "a.sqlite").exists()


def test_a_loss_is_a_function_and_a_model_a_module() -> None:
    model = net()
    options: dict[str, Any] = {
        "rule": "flat",
        "rule_options": {"clip": 1.0},
        "delta": 1e-4,
        "steps": 3,
        "noise_multiplier": 1.0,
        "public_batch_size": 20,
    }
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ConfigError, match=r"nn\.CrossEntropyLoss"):
        PrivateTrainer(model, optimizer, None, (X, Y), **options)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="function"):
        PrivateTrainer(net, optimizer, nn.CrossEntropyLoss(), (X, Y), **options)  # type: ignore[arg-type]


def test_a_trial_leaves_model_and_generators_as_they_were() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = net()
            self.register_buffer("seen", torch.zeros(()))

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            self.seen += 1
            outputs: torch.Tensor = self.layer(inputs + torch.rand(1))
            return outputs

    model, state = Counting(), torch.get_rng_state()
    cpu = torch.device("cpu")
    check_model_fits(model, as_rows((X, Y)), cpu)
    check_targets_fit(model, nn.CrossEntropyLoss(), as_rows((X, Y)), cpu)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(module.training for module in model.modules())
    assert float(model.seen) == 0.0
