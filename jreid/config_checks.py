"""What no part of a config can see alone: slots, and names that refer to each other.

Errors begin with the field's path below the config.
"""

import re
from collections.abc import Mapping
from typing import Any

from jreid.bounds import at_least, between
from jreid.data.datasets import MODALITY_NAMES
from jreid.data.views import check_views, modality_of
from jreid.losses.standing import names_of
from jreid.models.adapters import Adapters

SMALLEST = 16  # pixels of a side
SLOTS = {
    "data": ("read()", "protocol", "key", "root"),
    "network": ("make(classes, rngs)", "names()"),
    "sampling": ("make(images, views, seed)", "steps_per_epoch(images)"),
    "optimizer": ("make(schedule)", "lr"),
    "schedule": ("make(steps_per_epoch, peak)", "epochs"),
    "memory": ("init(params)", "update(extra, outputs, rows, params)"),
    "between_epochs": ("__call__(state, embed_train, epoch, seed)",),
    "after_training": ("__call__(embed_train, images)", "statistics"),
}
"""What the part in each slot must have."""
MAY_BE_EMPTY = ("memory", "between_epochs", "after_training")


def check_whole(config: Any) -> None:
    """Raises ValueError naming a field that does not fit the others."""
    _check_values(config)
    _check_slots(config)
    _check_views("", config.views, config.network)
    _check_both_shown(config.views)
    _check_adapters(config)
    _check_objectives(config)
    _check_epochs(config)
    _check_embedding(config)
    if fits := getattr(config.network, "check_images", None):
        fits(config.size)
    _check_pretrained(config)
    _check_evaluation(config)
    if config.distributed.coordinator and getattr(config.data, "split", None) == 0:
        raise ValueError(
            f"distributed.coordinator is {config.distributed.coordinator!r}; allowed "
            "is '' with data.split=0, as RegDB's ten splits are processes of their "
            "own: train one at a time, --config.data.split=1 to 10"
        )


def _check_values(config):
    if not re.fullmatch(r"[^\s/\\.-][^\s/\\]*", config.name):
        raise ValueError(
            f"name is {config.name!r}; allowed is the name of a folder without slash "
            "and space, and with no point or dash in front"
        )
    if min(config.size) < SMALLEST:
        raise ValueError(f"size is {config.size}; allowed is {SMALLEST} and more")
    between("seed", config.seed, 0, 2**32 - 1)
    at_least("steps", config.steps, 0)
    at_least("steps_per_epoch", config.steps_per_epoch, 0)


def _check_slots(config):
    for slot in SLOTS:
        if not (slot in MAY_BE_EMPTY and getattr(config, slot) is None):
            _has(slot, getattr(config, slot), slot)
    parts = {f"phases.{i}": phase for i, phase in enumerate(config.phases)}
    parts |= {f"players.{name}": player for name, player in config.players.items()}
    for where, part in parts.items():
        for slot in ("sampling", "optimizer", "schedule"):
            if getattr(part, slot, None) is not None:
                _has(f"{where}.{slot}", getattr(part, slot), slot)


def _has(where, part, slot):
    for method in SLOTS[slot]:
        if not hasattr(part, method.partition("(")[0]):
            raise ValueError(f"{where} is {part!r}; it needs {method}")


def _check_views(where: str, views: Mapping[str, Any], network: Any) -> None:
    """Raises ValueError where views do not go together, or enter no stem."""
    try:
        check_views(views)
    except ValueError as error:
        raise ValueError(f"{where}{error}") from error
    stems = network.stem_names() if hasattr(network, "stem_names") else None
    for name, view in views.items():
        if stems is not None and view.stem not in stems:
            raise ValueError(
                f"{where}views.{name}.stem is {view.stem!r}; allowed are "
                f"{', '.join(stems)}"
            )


def _check_both_shown(views: Mapping[str, Any]) -> None:
    """Raises ValueError where test images of a modality would have no stem."""
    shown = {modality_of(view) for view in views.values()}
    if "" not in shown and len(shown) < len(MODALITY_NAMES):
        raise ValueError(
            f"views show {', '.join(shown)} images alone; allowed are views of both "
            "modalities, as test images enter the stem of their modality's view"
        )


def _check_adapters(config):
    """Raises ValueError where an adapter would never be used, or in training alone."""
    adapters = getattr(config.network, "adapters", None)
    if not isinstance(adapters, Adapters):
        return
    views = dict(config.views)
    for phase in config.phases:
        views |= phase.views or {}
    for name in adapters.of:
        if name not in views:
            raise ValueError(
                f"network.adapters.of has {name!r}; allowed are views, "
                f"{', '.join(views)}"
            )
        if adapters.in_test and modality_of(views[name]) != name:
            raise ValueError(
                f"network.adapters.of has {name!r}; with in_test, allowed are views "
                "that have the name of their modality, as test images come by modality"
            )


def _check_objectives(config):
    """The config's own, the phases' with their views, or the players'."""
    outputs = config.network.names()
    own = [i for i, phase in enumerate(config.phases) if phase.objective]
    if config.players and (config.objective or own):
        other = f"phases.{own[0]}.objective" if own else "objective"
        raise ValueError(
            f"players is {', '.join(config.players)}, each with an objective; allowed "
            f"where {other} is empty"
        )
    if config.players and config.log.by_part:
        raise ValueError("log.by_part is True; allowed is False with players")
    known = getattr(config.network, "player_names", config.players.keys)()
    for name, player in config.players.items():
        if name not in known:
            raise ValueError(
                f"players has {name!r}; allowed with this network are "
                f"{', '.join(known)}, and others where its player_names() has them"
            )
        _check_terms(f"players.{name}.objective", player.objective, outputs)
    for index, phase in enumerate(config.phases):
        if phase.views:
            _check_views(f"phases.{index}.", phase.views, config.network)
        for name in phase.players:
            if name not in config.players:
                raise ValueError(
                    f"phases.{index}.players has {name!r}; allowed are the players, "
                    f"{', '.join(config.players)}"
                )
        if phase.objective:
            _check_terms(f"phases.{index}.objective", phase.objective, outputs)
    everywhere = config.phases and all(phase.objective for phase in config.phases)
    if config.objective or not (config.players or everywhere):
        _check_terms("objective", config.objective, outputs)


def _check_terms(
    where: str, terms: Mapping[str, Any], outputs: tuple[str, ...]
) -> None:
    """Raises ValueError unless these terms stand on outputs and one has a weight."""
    for name, term in terms.items():
        if not callable(term) or not hasattr(term, "weight"):
            raise ValueError(
                f"{where}.{name} is {term!r}; a term has a weight and is called with "
                "outputs and batch"
            )
        for slot in ("on", "teacher", "other", "target", "embeddings"):
            given = getattr(term, slot, ())
            for output in names_of(given) if isinstance(given, str | tuple) else ():
                if output not in outputs:
                    raise ValueError(
                        f"{where}.{name}.{slot} is {output!r}; allowed are "
                        f"{', '.join(outputs)}"
                    )
    if not any(term.weight for term in terms.values()):
        given = f"{', '.join(terms)}, all of weight 0" if terms else "{}"
        raise ValueError(f"{where} is {given}; allowed is a term with another weight")


def _check_epochs(config):
    epochs, allowed = sum(p.epochs for p in config.phases), config.schedule.epochs
    if config.phases and epochs != allowed:
        raise ValueError(
            f"phases have {epochs} epochs in all; allowed is schedule.epochs, {allowed}"
        )
    for name, player in config.players.items():
        if player.schedule is not None and player.schedule.epochs != allowed:
            raise ValueError(
                f"players.{name}.schedule.epochs is {player.schedule.epochs}; allowed "
                f"is schedule.epochs, {allowed}"
            )


def _check_embedding(config):
    embedding, outputs = config.embedding, config.network.names()
    for kind in ("features", "embeddings"):
        branches = [n.partition(".")[2] for n in outputs if n.startswith(f"{kind}.")]
        for name in embedding.names if getattr(embedding, kind) else ():
            if name not in branches:
                raise ValueError(
                    f"embedding.names has {name!r}; allowed are {', '.join(branches)}"
                )


def _check_pretrained(config):
    width = getattr(getattr(config.network, "trunk", None), "width", 1)
    if config.pretrained.endswith(".npz") and width != 1:  # a run's folder may be so
        raise ValueError(
            f"pretrained is {config.pretrained!r}, weights of full width, but "
            f"network.trunk.width is {width}: set the width to 1, or train from "
            "scratch with --config.pretrained="
        )


def _check_evaluation(config):
    has_validation = getattr(config.data, "has_validation", None)
    every = config.evaluation.every_epochs
    if every and has_validation is not None and not has_validation():
        raise ValueError(
            f"evaluation.every_epochs is {every}; allowed is 0 without validation "
            "identities: use SYSU-MM01 with --config.data.train_on_val=False, or a "
            "folder with the part val"
        )
    try:
        config.data.protocol.check(config.evaluation)
    except ValueError as error:
        raise ValueError(f"evaluation.{error}") from error
