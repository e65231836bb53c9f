"""What earlier players' turns of a step have made, for the turn of a later one."""

from typing import Never


class Made(dict):
    """Outputs' "images" of earlier turns by name, for the player `player`.

    Raises:
      ValueError: for a name that no earlier turn has made.
    """

    def __init__(self, images: dict, player: str):
        super().__init__(images)
        self.player = player

    def __missing__(self, name: str) -> Never:
        there = f"they made {', '.join(self)}" if self else "they made nothing"
        raise ValueError(
            f"the player {self.player} asks for {name}, which no earlier turn of the "
            f"step has made ({there}); turns have the order of config.players: put "
            f"those who make it before {self.player} there, and into each phase that "
            f"{self.player} plays in"
        )
