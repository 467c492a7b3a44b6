"""From the bytes of an image file to RGB pixels on the network's grid, on the CPU and on a GPU."""
