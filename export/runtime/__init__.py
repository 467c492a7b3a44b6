"""Running a graph: PyTorch, ONNX Runtime, TensorRT."""
