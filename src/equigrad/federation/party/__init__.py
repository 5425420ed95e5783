"""What happens at a party: local training, evaluation, bounding, behaviours."""

from equigrad.federation.party.agent import PartyAgent
from equigrad.federation.party.behaviours import BEHAVIOURS, Behaviour, Situation, make_behaviour
from equigrad.federation.party.evaluate import evaluate
from equigrad.federation.party.optimizer import optimizer_names
from equigrad.federation.party.spec import PartySpec, Records, model_input
from equigrad.federation.party.state import PartyState
from equigrad.federation.party.training import LocalStep, LocalTrainer, check_training
from equigrad.federation.party.upload import bounded, noised

__all__ = [
    "BEHAVIOURS",
    "Behaviour",
    "LocalStep",
    "LocalTrainer",
    "PartyAgent",
    "PartySpec",
    "PartyState",
    "Records",
    "Situation",
    "bounded",
    "check_training",
    "evaluate",
    "make_behaviour",
    "model_input",
    "noised",
    "optimizer_names",
]
