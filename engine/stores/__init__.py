"""Where the results of a run go: a folder of this machine, or an object store."""
