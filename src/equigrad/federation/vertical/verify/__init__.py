"""Whether a vertical run's record holds: recomputed from itself, and from the sponsor's folder."""

from equigrad.federation.vertical.verify.door import verify_vertical

__all__ = ["verify_vertical"]
