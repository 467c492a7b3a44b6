"""Tracing the gradient and writing it as ONNX; needs PyTorch."""
