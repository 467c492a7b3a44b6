"""Networks, checkpoints, data sets and training in PyTorch."""
