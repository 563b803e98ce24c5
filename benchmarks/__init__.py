"""Speed measurements, run by `make bench`; see benchmarks/run.py for how to add one."""
