"""Data sets, sampling, augmentation and the tf.data pipeline."""
