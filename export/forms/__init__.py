"""Operators, their adjoints and whole graphs of them in the forms that ONNX has (PyTorch only)."""
