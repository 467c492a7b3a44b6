"""TensorRT: plans that are built on the box, and the runner of them."""
