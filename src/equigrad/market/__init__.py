"""A market of locally private gradients: bids, auctions, deliveries and the money they move."""
