"""Images of one's own: all of them, in both directions."""

from dataclasses import dataclass
from typing import ClassVar

from jreid.evaluation.protocols.protocol import (
    Columns,
    Options,
    Setting,
    check_no_legacy,
    check_one_draw,
    every_image,
)
from jreid.evaluation.protocols.trial import Trial, check_lengths


@dataclass(frozen=True, slots=True)
class CustomProtocol:
    """That of images of one's own: as RegDB's, without splits.

    Nothing is excluded, so that the cameras, where given, must only be as many as the
    images.
    """

    key: ClassVar[str] = "custom"
    name: ClassVar[str] = "custom"
    options: ClassVar[tuple[str, ...]] = ()
    count_identities: ClassVar[bool] = False

    @property
    def splits(self) -> tuple[int, ...]:
        """There are none."""
        return ()

    def check(self, options: Options) -> None:
        """See `Protocol`."""
        check_one_draw(self.name, options)
        check_no_legacy(self.name, options)

    def settings(self, columns: Columns, options: Options) -> list[Setting]:
        """See `Protocol`."""
        self.check(options)
        check_lengths(ids=columns.ids, cameras=columns.cameras)
        return every_image(columns, self)

    def example_trials(self, columns: Columns, options: Options) -> list[Trial]:
        """See `Protocol`."""
        return [setting.trials[0] for setting in every_image(columns, self)]
