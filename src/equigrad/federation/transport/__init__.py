"""Engines that carry messages between the coordinator and the parties."""

from equigrad.federation.transport.base import Transport
from equigrad.federation.transport.faults import Fault, FaultPlan
from equigrad.federation.transport.inprocess import InProcessTransport

__all__ = ["Fault", "FaultPlan", "InProcessTransport", "Transport"]
