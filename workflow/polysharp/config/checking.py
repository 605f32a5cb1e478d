"""Checks of a whole configuration, and the settings of its methods and models."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml
from pydantic import ValidationError

from polysharp.config.messages import explain, listed
from polysharp.config.settings import (
    PRESETS,
    SECTIONS,
    SETTINGS,
    Configuration,
    ModelSettings,
    Settings,
    SoupSettings,
    TfidfSettings,
    TrainingSettings,
)
from polysharp.config.slugs import slug
from polysharp.core.errors import UserError, nearest
from polysharp.core.terms import PUBLISHED, WITH_CLASSIFIER, Kind


def resolve_method(configuration: Configuration, method: str) -> tuple[Kind, Settings]:
    """Return the kind and the complete settings of `method`: section, then preset, then overrides.

    Raises
    ------
    UserError
        With one line per unknown or invalid override.
    """
    overrides = dict(configuration.methods[method])
    base = overrides.pop("base", method)
    if base not in PRESETS:
        key = f"methods.{method}"
        if "base" in configuration.methods[method]:
            raise UserError(
                f"{key}.base: {base!r}: expected one of {listed(PRESETS)}{nearest(base, PRESETS)}"
            )
        raise UserError(
            f"{key}: not a known method; expected one of {listed(PRESETS)}{nearest(base, PRESETS)}, "
            f"or a key 'base' that names the one it varies"
        )
    kind, preset, _ = PRESETS[base]
    settings_class = SETTINGS[kind]
    section = getattr(configuration, SECTIONS[kind]).model_dump() if kind in SECTIONS else {}
    try:
        return kind, settings_class.model_validate({**section, **preset, **overrides})
    except ValidationError as error:
        raise UserError(*explain(error, settings_class, f"methods.{method}.")) from None


def resolve_model(configuration: Configuration, language: str) -> ModelSettings:
    """Return the model of `language` (a slug), or the default one.

    Raises
    ------
    UserError
        When neither is configured.
    """
    model = configuration.models.get(language) or configuration.models.get("default")
    if model is None:
        raise UserError(f"models: no model for {language!r}; expected a key {language!r} or 'default'")
    return model


def parse_settings(kind: Kind, assignments: Sequence[str]) -> Settings:
    """Return the settings of `kind` with ``key=value`` assignments, as the commands take them.

    Raises
    ------
    UserError
        With one line per invalid assignment.
    """
    content: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals:
            raise UserError(f"--set {assignment}: expected key=value")
        try:
            content[key] = _parsed(value)
        except yaml.YAMLError as error:
            raise UserError(f"--set {assignment}: not YAML: {' '.join(str(error).split())}") from None
    try:
        return SETTINGS[kind].model_validate(content)
    except ValidationError as error:
        raise UserError(*explain(error, SETTINGS[kind], "--set ")) from None


def _parsed(value: str) -> Any:
    """Return a value that the workflow wrote as JSON, or a person as YAML."""
    try:
        return json.loads(value)  # first, as YAML reads an escaped surrogate pair as two characters
    except ValueError:
        return yaml.safe_load(value)


def publishable(configuration: Configuration) -> set[str]:
    """Return the methods that leave a classifier, as they are named in paths and tables."""
    return {
        slug(name)
        for name in configuration.methods
        if resolve_method(configuration, name)[0] in WITH_CLASSIFIER
    }


def check_configuration(content: Mapping[str, Any]) -> tuple[Configuration, list[str]]:
    """Return the configuration in `content`, and a line for everything that is wrong with it.

    Each line starts with the dotted key. Sections with mistakes are replaced by their defaults, so that
    the rest can be checked as well.
    """
    lines: list[str] = []
    try:
        configuration = Configuration.model_validate(dict(content))
    except ValidationError as error:
        lines += explain(error, Configuration)
        configuration = _without_errors(content, error)
    for method in configuration.methods:
        try:
            resolve_method(configuration, method)
        except UserError as error:
            lines += error.lines
    if configuration.cells_per_job is not None and configuration.seeds_per_job is not None:
        lines.append(
            f"seeds_per_job: {configuration.seeds_per_job}: the former name of cells_per_job; "
            "expected one of the two"
        )
    if not lines:
        lines += _unequal_sizes(configuration)
        lines += _impossible_soups(configuration)
        lines += _nothing_computed(configuration)
    reference = configuration.report.reference
    if reference is not None and reference not in configuration.methods:
        lines.append(
            f"report.reference: {reference!r}: expected one of {listed(configuration.methods)}"
            f"{nearest(reference, configuration.methods)}"
        )
    return configuration, lines


def _nothing_computed(configuration: Configuration) -> Iterator[str]:
    """Yield a line if published scores are all that a study has, or what it compares the others with."""
    computed = [name for name in configuration.methods if resolve_method(configuration, name)[0] != PUBLISHED]
    reference = configuration.report.reference
    if not computed:
        yield "methods: all have published scores; expected one that is computed here, such as 'sam'"
    elif reference in configuration.methods and reference not in computed:
        yield (
            f"report.reference: {reference!r}: has published scores, which cannot be tested against others; "
            f"expected one of {listed(computed)}"
        )


def _impossible_soups(configuration: Configuration) -> Iterator[str]:
    """Yield a line for every soup whose seeds do not start from one point, or are not trained."""
    trained: dict[str, Settings] = {}
    for method in configuration.methods:
        kind, settings = resolve_method(configuration, method)
        if kind == "finetune":
            trained[method] = settings
    for method in configuration.methods:
        kind, soup = resolve_method(configuration, method)
        if not isinstance(soup, SoupSettings):
            continue
        key = f"methods.{method}.of: {soup.of!r}"
        of = trained.get(soup.of)
        if not isinstance(of, TrainingSettings):
            yield f"{key}: expected a fine-tuned method of the study{nearest(soup.of, trained)}"
        elif of.head != "probe":
            yield f"{key}: its seeds start from different heads and cannot be averaged; expected head probe"
        elif of.train_size is not None:
            yield f"{key}: its seeds train on different texts and cannot be averaged; expected no train_size"
        elif len(configuration.seeds) < 2:
            yield f"{key}: has one seed; expected two or more to average"


def _unequal_sizes(configuration: Configuration) -> list[str]:
    """Return a line if methods without a train_size of their own get different ones from their sections."""
    sizes = {}
    for method, overrides in configuration.methods.items():
        kind, settings = resolve_method(configuration, method)
        if "train_size" not in overrides and isinstance(settings, TfidfSettings):
            sizes[SECTIONS[kind]] = settings.train_size
    if len(set(sizes.values())) <= 1:
        return []
    section = next(section for section, size in sizes.items() if size)
    others = ", ".join(f"{other}: {json.dumps(size)}" for other, size in sizes.items() if other != section)
    return [
        f"{section}.train_size: {sizes[section]}: expected the same in every section, so that methods are "
        f"compared on equal numbers of texts ({others}); for a single method, set it in methods"
    ]


def _without_errors(content: Mapping[str, Any], error: ValidationError) -> Configuration:
    """Return the configuration with the defaults in place of its faulty sections."""
    faulty = {str(problem["loc"][0]) for problem in error.errors()}
    return Configuration.model_validate({k: v for k, v in content.items() if str(k) not in faulty})
