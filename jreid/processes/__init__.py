"""Several processes of one run, signals, and the memory of one."""
