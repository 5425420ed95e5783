"""Engines that carry messages between the coordinator and the parties."""
