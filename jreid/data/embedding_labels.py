"""The labels of a data set's test images, for a folder that `jreid.embed` has written.

The folder's job says which data set the run was trained on, and how that one was split:
of the same data set the run's test people are taken, whom it was not trained on.
"""

import dataclasses
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jreid.data.data_sets import DATA_SETS
from jreid.data.synvi import synvi_root
from jreid.evaluation.files.embeddings_folder import Labels, read_job


@dataclass(frozen=True)
class DataSetLabels:
    """Of the data set of this key, whose images in `root` were embedded."""

    key: str
    root: str

    @property
    def protocol(self) -> str:
        """The word for the data set's protocol."""
        return DATA_SETS[self.key](root=self.root).protocol.key

    def __call__(self, folder: Path, split: int | None) -> Labels:
        """The labels for a folder of embeddings.

        Args:
            folder: with its job.json.
            split: RegDB's; None: that of the run.

        Raises:
            ValueError: there is no job, the run was trained on other people of this
                split, or the split is not known.
            OSError: the data set cannot be read.
        """
        fields = self._fields(folder, split)
        data = DATA_SETS[self.key](root=self.root, **fields)
        data.check()
        test = data.read().test
        if not len(test):
            raise ValueError(
                f"{folder} is of a run trained on everybody (data.test_fraction is 0), "
                f"and {self.root} names nobody to test on. Of other people give "
                "--labels, a CSV file of path,id,camera, and --protocol custom"
            )
        paths = test.paths.tolist()
        about = {"dataset": self.key, "root": self.root}
        if "split" in fields:
            about["split"] = fields["split"]
        return Labels(
            f"the test images of {self.root}",
            dict(zip(paths, test.ids.tolist(), strict=True)),
            dict(zip(paths, test.cameras.tolist(), strict=True)),
            self._place(),
            about,
        )

    def _place(self) -> Path:
        """The folder where relative paths of the embedded images begin."""
        if self.root == "synvi":
            return synvi_root()
        root = Path(self.root).expanduser()
        return root.parent if root.suffix.lower() == ".csv" else root

    def _fields(self, folder: Path, split: int | None) -> dict[str, Any]:
        """How the data set is split: as for the run, if that is of the same one."""
        told = read_job(folder).get("data", {})
        known = {field.name for field in dataclasses.fields(DATA_SETS[self.key])}
        own = known & told.keys() if told.get("key") == self.key else ()
        fields = {name: told[name] for name in own}
        if "split" in known:
            fields["split"] = _split(folder, split, fields, told)
        elif not told:
            print(
                f"note: {folder} is of an earlier version, which did not keep how the "
                f"run's people were split: taken to be as {self.key} splits them by "
                "itself; embed again if the run had other fields of config.data",
                file=sys.stderr,
            )
        return fields


def _split(
    folder: Path, split: int | None, own: Mapping[str, Any], told: Mapping[str, Any]
) -> int:
    """RegDB's: of the run, or of the command line, which must not contradict it."""
    trained = own.get("split")
    if trained and split not in (None, trained):
        raise ValueError(
            f"{folder} is of a run trained for split {trained} of RegDB: among the "
            f"test images of split {split} are images it was trained on. Give the "
            f"embeddings of a run of split {split}"
        )
    if trained or split:
        return trained or split or 1
    if told:
        return 1  # as for a run of another data set
    raise ValueError(
        f"{folder} does not say for which split of RegDB its run was trained: give "
        "--split, 1 to 10"
    )
