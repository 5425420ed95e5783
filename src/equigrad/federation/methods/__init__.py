"""What a coordinator does with uploads: fair rewards, and the baselines."""

from equigrad.federation.methods.base import METHODS, Method
from equigrad.federation.methods.cffl import Cffl
from equigrad.federation.methods.cgsv import Cgsv
from equigrad.federation.methods.fedavg import FedAvg
from equigrad.federation.methods.rffl import Rffl
from equigrad.federation.methods.shapfed import ShapFed

__all__ = ["METHODS", "Cffl", "Cgsv", "FedAvg", "Method", "Rffl", "ShapFed"]
