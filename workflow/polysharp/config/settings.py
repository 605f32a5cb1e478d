"""The one definition of the configuration: keys, defaults, limits and their explanations.

The JSON schema and the commented defaults in workflow/schemas are generated from here
(``make schemas``), a test holds them in step. Nothing heavy is imported: every run of Snakemake,
on every node, reads this module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

from polysharp.config.checks import CheckName, Severity
from polysharp.core.terms import Kind, Metric


def _unique(values: Sequence[Any]) -> Sequence[Any]:
    if isinstance(values, list) and len({str(value) for value in values}) < len(values):
        raise ValueError("expected every value once")
    return values


def _is_null(value: Any) -> bool:
    """Whether a value is YAML's null, which Snakemake's ``--config`` gives as the text that stands for it."""
    return value is None or (isinstance(value, str) and value in ("", "~", "null", "Null", "NULL"))


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

    @field_validator("*", mode="before")
    @classmethod
    def _null(cls, value: Any, field: ValidationInfo) -> Any:
        """Read what stands for null as null, where a field can be null."""
        annotation = cls.model_fields[str(field.field_name)].annotation
        return None if type(None) in get_args(annotation) and _is_null(value) else value


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
        return {key: {} if _is_null(entry) else entry for key, entry in value.items()}
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
