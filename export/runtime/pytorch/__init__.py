"""PyTorch: turns captured once and replayed, and the runner of them."""
