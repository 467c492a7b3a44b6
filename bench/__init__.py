"""Benchmarks of throughput and quality."""
