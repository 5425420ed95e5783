"""What a coordinator does with uploads: fair rewards, and the baselines."""

from equigrad.federation.methods.base import METHODS, Method
from equigrad.federation.methods.cgsv import Cgsv

__all__ = ["METHODS", "Cgsv", "Method"]
