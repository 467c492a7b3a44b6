"""The bulk engine: sources, decoding, post-processing, sinks, shards and resume."""
