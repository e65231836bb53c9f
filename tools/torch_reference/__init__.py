"""The paper's system in plain PyTorch, to be read and measured beside the Flax one."""
