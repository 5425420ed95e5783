"""What a coordinator does with uploads: fair rewards, and the baselines."""
