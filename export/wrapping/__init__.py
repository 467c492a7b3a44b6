"""Map networks of other people, which come as ONNX files: made to what our bundles hold. No torch needed."""
