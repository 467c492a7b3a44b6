"""From the descended difference to the finished map: the presets, and the way on the CPU and on the GPU."""
