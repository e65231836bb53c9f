"""A program as an ONNX model: our own emitter, a handler for each primitive of JAX."""
