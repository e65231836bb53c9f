"""The configs that come with jreid: configs/ of the checkout, or as it was installed.

Any file can say `from jreid.configs.systems import paper`: in a checkout this package
continues in configs/ at the top of the repository, whose files are installed here.
"""

from pathlib import Path

FOLDER = Path(__file__).parent
if not (FOLDER / "systems").is_dir():
    FOLDER = Path(__file__).parents[2] / "configs"
    __path__.append(str(FOLDER))
