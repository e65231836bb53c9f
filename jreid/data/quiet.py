"""What TensorFlow says and loads by itself when it is imported, turned off."""

import os


def quieten_tensorflow() -> None:
    """Before TensorFlow is first imported: no notices, no oneDNN, and no Keras.

    Nothing of Keras is used here, and loading it, and with it scikit-learn and pandas
    where they are installed, is 40 % of TensorFlow's import. Asked for the older Keras,
    a package of its own, TensorFlow passes over it where that is not installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
