"""The matrix of cells: task x language x label_type x method x seed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from polysharp.config.checking import check_configuration, resolve_method
from polysharp.config.jobs import Job, make_jobs
from polysharp.config.messages import Places
from polysharp.config.published import PublishedScore, read_published
from polysharp.config.sample_sheet import Dataset, find, read_datasets
from polysharp.config.settings import Configuration
from polysharp.config.slugs import slug
from polysharp.config.sources import slip
from polysharp.core.errors import UserError
from polysharp.core.terms import PUBLISHED, WITH_CLASSIFIER, Kind

DETERMINISTIC_SEED = 0  # in the path of the only cell of a method that draws nothing at random


@dataclass(frozen=True)
class Cell:
    """One training: a data set, a method and a seed."""

    dataset: Dataset
    method: str
    kind: Kind
    seed: int
    settings: tuple[str, ...]
    random: bool  # whether the result may depend on the seed
    averaged: tuple[str, ...] = ()  # paths of the cells whose weights are averaged, for a soup

    @property
    def path(self) -> str:
        """Path of the cell inside results/runs and work."""
        return f"{self.dataset.path}/{self.method}/seed-{self.seed}"

    @property
    def has_model(self) -> bool:
        """Whether the cell reads the texts with a pre-trained model."""
        return self.kind in ("finetune", "soup", "probe")

    @property
    def has_checkpoint(self) -> bool:
        """Whether the cell makes a checkpoint that can be published."""
        return self.kind in WITH_CLASSIFIER


@dataclass(frozen=True)
class Matrix:
    """All data sets, methods (in their configured order), cells, and the jobs that train the cells.

    Methods whose scores are published have no cells, and are not among the methods.
    """

    datasets: tuple[Dataset, ...]
    methods: tuple[str, ...]
    cells: tuple[Cell, ...]
    jobs: tuple[Job, ...]
    published: tuple[PublishedScore, ...] = ()

    def of(self, dataset: Dataset, method: str | None = None) -> list[Cell]:
        """Return the cells of a data set, for one method or all, in the configured order."""
        return [c for c in self.cells if c.dataset == dataset and (method is None or c.method == method)]


def load_study(
    content: Mapping[str, Any],
    bases: Sequence[Path],
    files: Sequence[str] = (),
    command_line: Mapping[str, Any] | None = None,
) -> tuple[Configuration, Matrix]:
    """Check the configuration and its sample sheet, and expand the matrix.

    Parameters
    ----------
    content
        The merged content of configuration files and command line.
    bases
        Folders that are searched for relative paths, in this order.
    files, command_line
        The configuration files and the values of ``--config``, for error messages.

    Raises
    ------
    UserError
        With one line for each mistake.
    """
    places = Places([Path(file) for file in files], command_line or {})
    configuration, lines = check_configuration(content)
    lines += check_names(configuration)
    lines = [places.locate(line) for line in lines]
    datasets: list[Dataset] = []
    try:
        sheet = find(configuration.datasets, bases) or Path(configuration.datasets)
        datasets = read_datasets(sheet, configuration, bases)
    except UserError as error:
        lines += error.lines
    lines += [places.locate(line) for line in _misspelt_languages(configuration, datasets)]
    lines += [places.locate(line) for line in _soups_of_other_heads(configuration, datasets)]
    configuration, absent = _with_found_files(configuration, bases)
    lines += [places.locate(line) for line in absent]
    if lines:
        raise UserError(*lines)
    matrix = expand(configuration, datasets)
    return configuration, replace(matrix, published=tuple(read_published(configuration, datasets)))


def _misspelt_languages(configuration: Configuration, datasets: Sequence[Dataset]) -> Iterator[str]:
    """Yield a line for every model whose language seems to be a misspelt one without a model.

    That language would be trained with the default model. Models of languages without data are allowed.
    """
    languages = {dataset.language for dataset in datasets}
    without = sorted(languages - configuration.models.keys())
    for name in sorted(configuration.models.keys() - languages - {"default"}):
        if slug(name) == name and (meant := slip(name, without)):  # other names are reported elsewhere
            yield f"models.{name}: no data set has this language; did you mean {meant!r}?"


def _soups_of_other_heads(configuration: Configuration, datasets: Sequence[Dataset]) -> Iterator[str]:
    """Yield a line for every soup of a study in which the seeds of a model start from different heads."""
    with_cls = [dataset for dataset in datasets if dataset.model.pooling == "cls"]
    for name, overrides in configuration.methods.items():
        if with_cls and overrides.get("base", name) == "soup":
            yield (
                f"methods.{name}: the model of {with_cls[0].language} has pooling cls, so the seeds start "
                "from different heads and cannot be averaged; expected pooling mean"
            )


def _with_found_files(configuration: Configuration, bases: Sequence[Path]) -> tuple[Configuration, list[str]]:
    """Return the configuration with the found paths of methods' files, and a line for each missing one."""
    methods, lines = dict(configuration.methods), []
    for name, overrides in configuration.methods.items():
        for key in ("predictions", "scores"):
            if isinstance(given := overrides.get(key), str):
                found = find(given, bases)
                if found is None or not found.is_file():
                    lines.append(f"methods.{name}.{key}: {given!r}: not found; expected a file")
                else:
                    methods[name] = {**overrides, key: str(found)}
    return configuration.model_copy(update={"methods": methods}), lines


def expand(configuration: Configuration, datasets: Sequence[Dataset]) -> Matrix:
    """Return the matrix of the study. The configuration must have been checked."""
    methods = {slug(name): resolve_method(configuration, name) for name in configuration.methods}
    methods = {name: resolved for name, resolved in methods.items() if resolved[0] != PUBLISHED}
    cells: list[Cell] = []
    for dataset in datasets:
        for method, (kind, settings) in methods.items():
            varies = kind == "finetune" or getattr(settings, "train_size", None) is not None
            given = as_arguments(settings.model_dump())
            for seed in configuration.seeds if varies else [DETERMINISTIC_SEED]:
                cells.append(Cell(dataset, method, kind, seed, given, varies or kind == "soup"))
    cells = [_with_averaged(cell, cells) for cell in cells]
    jobs = make_jobs(cells, configuration.in_one_job, len(configuration.seeds))
    return Matrix(tuple(datasets), tuple(methods), tuple(cells), tuple(jobs))


def _with_averaged(cell: Cell, cells: Sequence[Cell]) -> Cell:
    """Return a soup's cell with the cells that it averages, and any other cell as it is."""
    if cell.kind != "soup":
        return cell
    method = slug(from_arguments(cell.settings)["of"])
    seeds = [one.path for one in cells if (one.dataset, one.method) == (cell.dataset, method)]
    return replace(cell, averaged=tuple(seeds))


def as_arguments(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Return settings as ``key=value`` arguments of a command, with values in JSON."""
    return tuple(f"{key}={json.dumps(value)}" for key, value in settings.items())


def from_arguments(arguments: Iterable[str]) -> dict[str, Any]:
    """Return the settings that :func:`as_arguments` wrote."""
    pairs = (argument.partition("=") for argument in arguments)
    return {key: json.loads(value) for key, _, value in pairs}


def predictions_of(cell: Cell) -> str | None:
    """Return the file of predictions from elsewhere that a cell reads; None for other methods."""
    path = from_arguments(cell.settings)["predictions"] if cell.kind == "outside" else None
    return None if path is None else str(path)


def check_names(configuration: Configuration) -> list[str]:
    """Return a line for every key of a method or model that is not unique or valid in paths."""
    lines: list[str] = []
    for section in ("methods", "models"):
        seen: dict[str, str] = {}
        for name in getattr(configuration, section):
            try:
                other = seen.setdefault(slug(name), name)
            except ValueError as error:
                lines.append(f"{section}.{name}: {error}")
                continue
            if other != name:
                lines.append(f"{section}.{name}: {name!r} and {other!r} would share the path {slug(name)!r}")
            elif section == "models" and slug(name) != name:
                lines.append(f"{section}.{name}: expected {slug(name)!r}, the language as written in paths")
    return lines
