"""The paper's network in plain PyTorch, and what an exported model.py does with it."""
