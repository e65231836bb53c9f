"""Networks: stems, trunk, pooling, branches and bottleneck."""
