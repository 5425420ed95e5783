"""What happens at a party: local training, evaluation, bounding, behaviours."""
