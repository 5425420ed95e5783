"""The market: locally private gradients, bought by truthful auction, paid on delivery."""
