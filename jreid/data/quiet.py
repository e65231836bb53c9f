"""What TensorFlow says by itself when it is imported, turned off."""

import os


def quieten_tensorflow() -> None:
    """Before TensorFlow is first imported: no notices, and no oneDNN to notify of."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
