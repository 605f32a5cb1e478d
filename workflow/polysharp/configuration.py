"""The one definition of the configuration: keys, defaults, limits and their explanations.

The JSON schema and the commented defaults in workflow/schemas are generated from here
(``make schemas``), a test holds them in step. Nothing heavy is imported: every run of Snakemake,
on every node, reads this module.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from polysharp.checks import CheckName, Severity
from polysharp.errors import UserError, nearest

LabelType = Literal["single", "multi"]
LABEL_TYPES: tuple[LabelType, ...] = get_args(LabelType)
Metric = Literal["macro_f1", "micro_f1", "weighted_f1", "accuracy"]
Kind = Literal["finetune", "probe", "tfidf", "outside"]


def _unique(values: Sequence[Any]) -> Sequence[Any]:
    if isinstance(values, list) and len({str(value) for value in values}) < len(values):
        raise ValueError("expected every value once")
    return values


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_values(cls, value: Any) -> Any:
        """Refuse what pydantic would take for 0 or 1."""
        if any(isinstance(entry, bool) for entry in (value if isinstance(value, list) else [value])):
            raise ValueError(
                f"{value}: expected no truth value, as which YAML reads a bare yes, no, on or off"
            )
        return value


class TfidfSettings(_Section):
    """Baseline: TF-IDF of words and of character n-grams with logistic regression."""

    train_size: Annotated[int, Field(ge=2)] | None = Field(
        None, description="Number of training texts, drawn by the seed; null takes all of them."
    )
    class_weights: Literal["balanced", "none"] = Field(
        "balanced", description="'balanced' weighs every label by its rarity in the training texts."
    )
    inverse_regularisation: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)] = Field(
        [0.01, 0.1, 1, 10, 100],
        description="Candidates for C of the logistic regression; the best on validation is taken.",
    )


class ProbeSettings(TfidfSettings):
    """Baseline: frozen encoder, mean pooling, logistic regression."""

    inverse_regularisation: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)] = Field(
        [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1],
        description="Candidates for C of the logistic regression; the best on validation is taken.",
    )


class TrainingSettings(ProbeSettings):
    """Fine-tuning with sharpness-aware minimisation (SAM), or with AdamW alone where `rho` is 0."""

    head: Literal["probe", "random"] = Field(
        "probe", description="Start of the linear head: the logistic-regression probe, or random weights."
    )
    epochs: int = Field(4, ge=1, description="Passes over the training texts.")
    batch_size: int = Field(16, ge=1, description="Texts per optimizer step.")
    micro_batch_size: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="Texts of a batch that are computed at a time; null takes all, less needs less memory.",
    )
    learning_rate: float = Field(5e-5, gt=0, description="Highest learning rate of the encoder.")
    head_learning_rate: float = Field(5e-4, gt=0, description="Highest learning rate of the head.")
    schedule: Literal["linear", "cosine", "constant"] = Field(
        "linear", description="Course of the learning rate after the warm-up."
    )
    warmup: float = Field(0.1, ge=0, lt=1, description="Share of the steps in which the learning rate rises.")
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        0.0, description="Share of the units dropped out inside the encoder; null keeps the model's own."
    )
    weight_decay: float = Field(0.01, ge=0, description="Decoupled weight decay of AdamW.")
    max_grad_norm: float = Field(1.0, gt=0, description="Norm at which the gradient of the step is clipped.")
    precision: Literal["auto", "bfloat16", "float32"] = Field(
        "auto",
        description="'auto' trains in bfloat16 where the hardware has it. What is judged is in float32.",
    )
    rho: float = Field(0.05, ge=0, description="Radius of SAM's ascent; 0 is AdamW alone.")
    neighbourhood: Literal["euclidean", "adaptive"] = Field(
        "euclidean",
        description="What the radius measures: 'euclidean' is SAM, 'adaptive', by the weights' size, ASAM.",
    )
    eta: float = Field(0.01, ge=0, description="ASAM: added to the size of every weight.")
    ascent_share: float = Field(
        0.25, gt=0, le=1, description="Share of every batch that the ascent runs on; less is cheaper."
    )
    ascent_parameters: Literal["all", "normalisation"] = Field(
        "normalisation",
        description="Weights that ascend: all, or those of the normalisation layers, which is cheaper.",
    )
    ascent_phase: float = Field(
        1.0, gt=0, le=1, description="Share of the steps, the last ones, that ascend; before, AdamW alone."
    )


class OutsideSettings(_Section):
    """Predictions from elsewhere, such as the answers of a language model, as a method like any other."""

    predictions: str = Field(
        min_length=1,
        description="Table with a row per test text: 'id' or 'text', and 'predicted' or 'answer'.",
    )
    answers: Literal["labels", "text"] = Field(
        "labels",
        description="'labels' stand in the column 'predicted'; 'text' in 'answer' names them in its words.",
    )


Settings = TfidfSettings | OutsideSettings
SETTINGS: dict[Kind, type[Settings]] = {
    "finetune": TrainingSettings,
    "probe": ProbeSettings,
    "tfidf": TfidfSettings,
    "outside": OutsideSettings,
}
SECTIONS: dict[Kind, str] = {"finetune": "training", "probe": "probe", "tfidf": "tfidf"}
_FULL = {"ascent_share": 1.0, "ascent_parameters": "all", "ascent_phase": 1.0}
PRESETS: dict[str, tuple[Kind, dict[str, Any]]] = {
    "sam": ("finetune", {}),
    "sam-full": ("finetune", _FULL),
    "asam": ("finetune", {"neighbourhood": "adaptive", "rho": 0.5, **_FULL}),
    "adamw": ("finetune", {"rho": 0.0}),
    "probe": ("probe", {}),
    "tfidf": ("tfidf", {}),
    "outside": ("outside", {}),
}


class ModelSettings(_Section):
    """A pre-trained encoder and how texts are given to it."""

    name: str = Field(
        min_length=1,
        description="Hub id (org/name), local folder, or package:NAME of a package with weights.",
    )
    revision: str | None = Field(
        None, description="Branch, tag or, best, commit on the hub; null for a folder or a package."
    )
    text_prefix: str = Field("", description="Put before every text; E5 models want 'query: '.")
    pooling: Literal["mean", "cls"] = Field(
        "mean",
        description="'mean' averages the tokens under a linear head; 'cls' is transformers' own classifier.",
    )
    max_length: int = Field(128, ge=4, description="Tokens after which a text is cut.")


class ReportSettings(_Section):
    """How the tables compare."""

    reference: str | None = Field(
        None, description="Method that the others are compared with in comparison.tsv; null compares none."
    )
    bootstrap: int = Field(
        2000, ge=100, description="Resamples of seeds and test texts behind every interval and test."
    )


def _null_is_empty(value: Any) -> Any:
    """Read ``sam:`` with nothing behind it as a method without overrides."""
    if isinstance(value, Mapping):
        return {key: {} if entry is None else entry for key, entry in value.items()}
    return value


class Configuration(_Section):
    """Everything that a study is made of, apart from the data sets and the cluster."""

    datasets: str = Field("config/datasets.tsv", description="Sample sheet: one row per data set.")
    seeds: Annotated[
        list[Annotated[int, Field(ge=0, lt=2**31)]], Field(min_length=1), BeforeValidator(_unique)
    ] = Field([1, 2], description="One cell is trained for every seed, of every method that draws at random.")
    methods: Annotated[dict[str, dict[str, Any]], Field(min_length=1), BeforeValidator(_null_is_empty)] = (
        Field(
            {"sam": {}, "probe": {}, "tfidf": {}},
            description=(
                "Named sets of overrides of the sections training, probe and tfidf. "
                "sam, sam-full, asam, adamw, probe, tfidf and outside are known; "
                "another name says by 'base' which of them it varies."
            ),
        )
    )
    models: Annotated[dict[str, ModelSettings], Field(min_length=1)] = Field(
        {
            "english": ModelSettings(name="roberta-base"),
            "german": ModelSettings(name="benjamin/roberta-base-wechsel-german"),
            "french": ModelSettings(name="camembert-base"),
            "default": ModelSettings(name="xlm-roberta-base"),
        },
        description="The pre-trained model of every language; 'default' serves all that are not named.",
    )
    training: TrainingSettings = Field(TrainingSettings(), description="Settings of fine-tuning.")
    probe: ProbeSettings = Field(ProbeSettings(), description="Settings of the frozen-encoder baseline.")
    tfidf: TfidfSettings = Field(TfidfSettings(), description="Settings of the TF-IDF baseline.")
    selection_metric: Metric = Field(
        "macro_f1", description="Score on validation by which settings, epochs, seeds and methods are chosen."
    )
    threads: int = Field(
        1, ge=1, description="Processor threads of a job on CPU; another number gives other last digits."
    )
    seeds_per_job: int = Field(
        1,
        ge=1,
        description="Seeds that one job fine-tunes, one after the other: imports, texts and probe once.",
    )
    split_seed: int = Field(
        0, ge=0, description="By which splits are drawn that datasets.tsv gives in shares."
    )
    checks: dict[CheckName, Severity] = Field(
        {},
        description="Of findings in the data: 'error', 'warning' or 'ignore' in place of a check's own.",
    )
    snapshot_seconds: float = Field(
        600, ge=0, description="Seconds between two snapshots of a training: a killed one loses no more work."
    )
    report: ReportSettings = Field(ReportSettings(), description="Settings of the tables.")


def resolve_method(configuration: Configuration, method: str) -> tuple[Kind, Settings]:
    """Return the kind and the complete settings of `method`: section, then preset, then overrides.

    Raises
    ------
    UserError
        With one line per unknown or unfit override.
    """
    overrides = dict(configuration.methods[method])
    base = overrides.pop("base", method)
    if base not in PRESETS:
        key = f"methods.{method}"
        if "base" in configuration.methods[method]:
            raise UserError(
                f"{key}.base: {base!r}: expected one of {_listed(PRESETS)}{nearest(base, PRESETS)}"
            )
        raise UserError(
            f"{key}: not a known method; expected one of {_listed(PRESETS)}{nearest(base, PRESETS)}, "
            f"or a key 'base' that says which of them it varies"
        )
    kind, preset = PRESETS[base]
    settings_class = SETTINGS[kind]
    section = getattr(configuration, SECTIONS[kind]).model_dump() if kind in SECTIONS else {}
    try:
        return kind, settings_class.model_validate({**section, **preset, **overrides})
    except ValidationError as error:
        raise UserError(*_lines(error, settings_class, f"methods.{method}.")) from None


def parse_settings(kind: Kind, assignments: Sequence[str]) -> Settings:
    """Return the settings of `kind` with ``key=value`` assignments, as the scripts take them.

    Raises
    ------
    UserError
        With one line per assignment that is not understood.
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
        raise UserError(*_lines(error, SETTINGS[kind], "--set ")) from None


def _parsed(value: str) -> Any:
    """Return a value as the workflow gives it, in JSON, or as a person does, in YAML."""
    try:
        return json.loads(value)  # which knows characters that YAML takes for halves
    except ValueError:
        return yaml.safe_load(value)


def explain_settings(kind: Kind) -> str:
    """Return a line per setting of `kind`: key, default and meaning, for the help of the scripts."""
    fields = SETTINGS[kind].model_fields
    width = max(map(len, fields))
    return "\n".join(
        f"  {key:{width}}  {field.description} "
        + ("Required." if field.is_required() else f"Default: {json.dumps(field.default)}.")
        for key, field in fields.items()
    )


def commented_defaults() -> str:
    """Return the defaults of all keys as YAML, each below a comment that explains it."""
    lines = [
        "# Generated from workflow/polysharp/configuration.py by `make schemas`: every key, its default."
    ]
    for key, field in Configuration.model_fields.items():
        default = field.get_default(call_default_factory=True)
        lines += ["", f"# {field.description}"]
        if not isinstance(default, BaseModel):
            lines.append(_as_yaml(key, _plain(default)))
            continue
        lines.append(f"{key}:")
        for inner, inner_field in type(default).model_fields.items():
            lines.append(f"  # {inner_field.description}")
            lines.append(f"  {_as_yaml(inner, _plain(getattr(default, inner)))}")
    return "\n".join(lines) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    return value.model_dump(exclude_defaults=True) if isinstance(value, BaseModel) else value


def _as_yaml(key: str, value: Any) -> str:
    if isinstance(value, dict):
        return yaml.safe_dump({key: value}, sort_keys=False, width=1000, default_flow_style=None).rstrip()
    lines = yaml.safe_dump(value, width=1000, default_flow_style=True).splitlines()
    return f"{key}: {lines[0]}"  # the second line of a plain value is YAML's end mark


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


def check_configuration(content: Mapping[str, Any]) -> tuple[Configuration, list[str]]:
    """Return the configuration in `content`, and a line for everything that is wrong with it.

    Each line starts with the dotted key. Sections with mistakes are left at their defaults, so that
    the rest can be checked in the same go.
    """
    lines: list[str] = []
    try:
        configuration = Configuration.model_validate(dict(content))
    except ValidationError as error:
        lines += _lines(error, Configuration)
        configuration = _without_errors(content, error)
    for method in configuration.methods:
        try:
            resolve_method(configuration, method)
        except UserError as error:
            lines += error.lines
    if not lines:
        lines += _unequal_sizes(configuration)
    reference = configuration.report.reference
    if reference is not None and reference not in configuration.methods:
        lines.append(
            f"report.reference: {reference!r}: expected one of {_listed(configuration.methods)}"
            f"{nearest(reference, configuration.methods)}"
        )
    return configuration, lines


def _unequal_sizes(configuration: Configuration) -> list[str]:
    """Return a line when methods that set no train_size of their own get unequal ones from their sections."""
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
        f"compared on equal numbers of texts ({others}); for one method alone, set it in methods"
    ]


def _without_errors(content: Mapping[str, Any], error: ValidationError) -> Configuration:
    """Return the configuration with its faulty sections left at their defaults."""
    faulty = {str(problem["loc"][0]) for problem in error.errors()}
    return Configuration.model_validate({k: v for k, v in content.items() if str(k) not in faulty})


def _listed(names: Any) -> str:
    return ", ".join(str(name) for name in names)


def _lines(error: ValidationError, model: type[BaseModel], prefix: str = "") -> list[str]:
    """Return pydantic's findings in our words: key, value, what was expected, the nearest valid key."""
    lines = []
    for problem in error.errors():
        location = [part for part in problem["loc"] if part != "[key]"]
        key = prefix + ".".join(str(part) for part in location)
        given, kind = problem["input"], problem["type"]
        if kind == "extra_forbidden":
            valid = list(_fields(model, location[:-1]))
            lines.append(
                f"{key}: not a known key; expected one of {_listed(valid)}{nearest(location[-1], valid)}"
            )
        elif kind == "missing":
            lines.append(f"{key}: missing")
        elif kind == "value_error":
            text = str(problem["ctx"]["error"])
            lines.append(f"{key}: {text}")
        elif isinstance(given, bool) and "[key]" in problem["loc"]:
            lines.append(f"{key}: YAML reads this bare word as {given}; write it in quotes")
        else:
            expected = problem["msg"].replace("Input should", "expected").replace("expected be", "expected")
            expected = f"expected {_PLAIN[kind]}" if kind in _PLAIN else expected
            hint = nearest(given, re.findall(r"'([^']*)'", expected)) if kind == "literal_error" else ""
            lines.append(f"{key}: {given!r}: {expected[0].lower()}{expected[1:]}{hint}")
    return lines


_PLAIN = {
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_parsing": "a number",
    "dict_type": "keys with values",
    "model_type": "keys with values",
    "list_type": "a list",
    "too_short": "at least one entry",
}


def _fields(model: type[BaseModel], location: Sequence[Any]) -> Iterator[str]:
    """Yield the keys that are valid at `location` of `model`."""
    for part in location:
        field = model.model_fields.get(str(part))
        candidates = [field.annotation, *get_args(field.annotation)] if field else [model]
        model = next(
            (item for item in candidates if isinstance(item, type) and issubclass(item, BaseModel)), model
        )
    yield from model.model_fields


class Places:
    """Where the keys of the configuration stand: file and line, or the command line."""

    def __init__(self, paths: Sequence[Path], command_line: Mapping[str, Any]) -> None:
        """Read the YAML files in `paths`, of which later ones take precedence, the command line over all.

        Raises
        ------
        UserError
            When one is not YAML, or names a key twice (YAML silently takes the last).
        """
        self._lines: dict[str, str] = {}
        duplicates: list[str] = []
        for path in paths:
            try:
                tree = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
            except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
                raise UserError(f"{path}: cannot be read as YAML: {' '.join(str(error).split())}") from None
            seen: set[str] = set()
            for key, line in _keys(tree):
                if key in seen:
                    duplicates.append(f"{path}, line {line}: {key}: expected once, stands there again")
                seen.add(key)
                self._lines[key] = f"{path}, line {line}"
        self._lines |= dict.fromkeys(_dotted(command_line), "--config")
        self._default = ", ".join(str(path) for path in paths) or "configuration"
        if duplicates:
            raise UserError(*duplicates)

    def locate(self, line: str) -> str:
        """Return `line`, which starts with a dotted key, with the place of that key before it."""
        key = line.partition(":")[0]
        while key not in self._lines and "." in key:
            key = key.rpartition(".")[0]
        return f"{self._lines.get(key, self._default)}: {line}"


def _dotted(content: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in content.items():
        yield f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _dotted(value, f"{prefix}{key}.")


def _keys(node: yaml.Node | None, prefix: str = "") -> Iterator[tuple[str, int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            name = f"{prefix}{key.value}"
            yield name, key.start_mark.line + 1
            yield from _keys(value, f"{name}.")
