"""The files of a run directory, each with its writer and reader."""
