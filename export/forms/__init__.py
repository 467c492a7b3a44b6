"""Operators and their adjoints in the forms that ONNX has (PyTorch only)."""
