"""What tools/benchmark.py consists of: two sides, their work, and the report."""
