"""How well a runtime agrees with eager PyTorch."""
