"""Bundles that nobody has to export: kept in the cache, and shipped with the package."""
