"""Runs between machines by Flower: its SuperLink and SuperNodes, or its simulation with Ray.

Needs the extra ``flower`` (or ``simulation``). The app that Flower runs is two modules that import
``server_app`` and ``client_app``; what they carry are envelopes of
:mod:`equigrad.federation.remote`, so that no algorithm knows of Flower.
"""
