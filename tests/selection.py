"""What is tested on every supported Python, where one of them gets the whole suite.

`pytest -m versions`: arithmetic, readers and files, where another NumPy, SciPy or JAX
may differ; a step of the demo, which .ci/run adds, is the rest of the program.
"""

VERSIONS = (
    "test_compare",
    "test_config",
    "test_config_hash",
    "test_datasets",
    "test_exactness",
    "test_features_file",
    "test_folder",
    "test_llcm",
    "test_losses",
    "test_minimal_install",
    "test_optimizers",
    "test_protocols",
    "test_ranking",
    "test_sampling",
    "test_score",
    "test_shipped_configs",
    "test_statistics",
    "test_table",
)
