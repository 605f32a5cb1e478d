"""The only definition of the configuration: keys, defaults, limits and explanations.

The JSON schema and the commented defaults in workflow/schemas are generated from here
(``make schemas``); a test keeps them in sync. Do not import slow modules here: every run of Snakemake
and every job imports this module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

from polysharp.config.checks import CheckName, Severity
from polysharp.core.terms import Kind, Metric


def _unique(values: Sequence[Any]) -> Sequence[Any]:
    if isinstance(values, list) and len({str(value) for value in values}) < len(values):
        raise ValueError("expected every value once")
    return values


def _is_null(value: Any) -> bool:
    """Whether a value is YAML's null, which Snakemake's ``--config`` passes on as text."""
    return value is None or (isinstance(value, str) and value in ("", "~", "null", "Null", "NULL"))


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_values(cls, value: Any) -> Any:
        """Refuse booleans, which pydantic would read as 0 or 1."""
        if any(isinstance(entry, bool) for entry in (value if isinstance(value, list) else [value])):
            raise ValueError(f"{value}: expected no boolean; YAML reads a bare yes, no, on or off as one")
        return value

    @field_validator("*", mode="before")
    @classmethod
    def _null(cls, value: Any, field: ValidationInfo) -> Any:
        """Read the words for null as null if the field allows it."""
        annotation = cls.model_fields[str(field.field_name)].annotation
        return None if type(None) in get_args(annotation) and _is_null(value) else value


class TfidfSettings(_Section):
    """Baseline: TF-IDF of words and of character n-grams with logistic regression."""

    train_size: Annotated[int, Field(ge=2)] | None = Field(
        None, description="Number of training texts, drawn with the seed; null uses all of them."
    )
    class_weights: Literal["balanced", "none"] = Field(
        "balanced", description="'balanced' weights every label by its rarity in the training texts."
    )
    inverse_regularisation: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)] = Field(
        [0.01, 0.1, 1, 10, 100],
        description="Candidates for C of the logistic regression; the best on validation is used.",
    )


class ProbeSettings(TfidfSettings):
    """Baseline: frozen encoder, mean pooling, logistic regression."""

    inverse_regularisation: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)] = Field(
        [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1],
        description="Candidates for C of the logistic regression; the best on validation is used.",
    )


class TrainingSettings(ProbeSettings):
    """Fine-tuning with sharpness-aware minimisation (SAM), or with AdamW alone if `rho` is 0."""

    head: Literal["probe", "random"] = Field(
        "probe", description="Initial weights of the linear head: the logistic-regression probe, or random."
    )
    epochs: int = Field(4, ge=1, description="Passes over the training texts.")
    keep: Literal["best", "last", "average"] = Field(
        "best",
        description="State that a training ends with: its best epoch on validation, its last epoch, or the "
        "mean of the weights of its last epochs.",
    )
    averaged_epochs: int = Field(3, ge=1, description="Number of epochs whose mean 'average' keeps.")
    batch_size: int = Field(16, ge=1, description="Texts per optimizer step.")
    micro_batch_size: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="Texts of a batch that are computed at once; null: all of them. Fewer need less memory.",
    )
    learning_rate: float = Field(5e-5, gt=0, description="Peak learning rate of the encoder.")
    head_learning_rate: float = Field(5e-4, gt=0, description="Peak learning rate of the head.")
    schedule: Literal["linear", "cosine", "constant"] = Field(
        "linear", description="Schedule of the learning rate after the warm-up."
    )
    warmup: float = Field(0.1, ge=0, lt=1, description="Share of the steps in which the learning rate rises.")
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        0.0, description="Dropout probability inside the encoder; null keeps the model's own."
    )
    weight_decay: float = Field(0.01, ge=0, description="Decoupled weight decay of AdamW.")
    max_grad_norm: float = Field(1.0, gt=0, description="The gradient of each step is clipped to this norm.")
    precision: Literal["auto", "bfloat16", "float32"] = Field(
        "auto",
        description="'auto' trains in bfloat16 if the hardware has it. Evaluation is in float32.",
    )
    rho: float = Field(0.05, ge=0, description="Radius of SAM's ascent; 0 is AdamW alone.")
    neighbourhood: Literal["euclidean", "adaptive"] = Field(
        "euclidean",
        description="'euclidean' is SAM; 'adaptive' is ASAM, whose radius depends on the weights' size.",
    )
    eta: float = Field(0.01, ge=0, description="ASAM: added to the size of every weight.")
    ascent_share: float = Field(
        0.25, gt=0, le=1, description="Share of each batch used for the ascent; less is cheaper."
    )
    ascent_parameters: Literal["all", "normalisation"] = Field(
        "normalisation",
        description="Weights that the ascent changes: all, or those of normalisation layers (cheaper).",
    )
    ascent_phase: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Share of the steps, the last ones, that use SAM; earlier steps use AdamW alone.",
    )


class SoupSettings(_Section):
    """One classifier with the mean of the weights of all seeds of a fine-tuned method."""

    of: str = Field(min_length=1, description="The method whose seeds are averaged.")


class OutsideSettings(_Section):
    """Predictions from elsewhere, such as the answers of a language model, compared like any method."""

    predictions: str = Field(
        min_length=1,
        description="Table with one row per test text: 'id' or 'text', and 'predicted' or 'answer'.",
    )
    answers: Literal["labels", "text"] = Field(
        "labels",
        description="'labels': read from the column 'predicted'; 'text': found in the free text of 'answer'.",
    )


class PublishedSettings(_Section):
    """Scores from a publication, shown beside those of the study; they are not computed here."""

    scores: str = Field(
        min_length=1,
        description="Table with one row per data set: 'language', 'metric', 'score' (0 to 1) and 'source'.",
    )


Settings = TfidfSettings | SoupSettings | OutsideSettings | PublishedSettings
SETTINGS: dict[Kind, type[Settings]] = {
    "finetune": TrainingSettings,
    "soup": SoupSettings,
    "probe": ProbeSettings,
    "tfidf": TfidfSettings,
    "outside": OutsideSettings,
    "published": PublishedSettings,
}
SECTIONS: dict[Kind, str] = {"finetune": "training", "probe": "probe", "tfidf": "tfidf"}
_FULL = {"ascent_share": 1.0, "ascent_parameters": "all", "ascent_phase": 1.0}


class Preset(NamedTuple):
    """A known method: its kind, what differs from the section's settings, and its meaning for readers."""

    kind: Kind
    settings: dict[str, Any]
    meaning: str


PRESETS: dict[str, Preset] = {
    "sam": Preset(
        "finetune",
        {},
        "fine-tuning with a cheaper form of sharpness-aware minimisation (SAM; Foret et al. 2021)",
    ),
    "sam-full": Preset("finetune", _FULL, "fine-tuning with SAM as published"),
    "asam": Preset(
        "finetune",
        {"neighbourhood": "adaptive", "rho": 0.5, **_FULL},
        "fine-tuning with adaptive SAM (Kwon et al. 2021)",
    ),
    "adamw": Preset("finetune", {"rho": 0.0}, "fine-tuning without SAM"),
    "soup": Preset(
        "soup", {}, "one classifier: the mean of the weights of all seeds of a method (Wortsman et al. 2022)"
    ),
    "probe": Preset(
        "probe", {}, "logistic regression on the vectors of the pre-trained model, which is not trained"
    ),
    "tfidf": Preset("tfidf", {}, "logistic regression on words and character n-grams, without a model"),
    "outside": Preset("outside", {}, "predictions from elsewhere"),
    "published": Preset("published", {}, "published scores, which were not computed here"),
}


class ModelSettings(_Section):
    """A pre-trained encoder and how it reads texts."""

    name: str = Field(
        min_length=1,
        description="Hub id (org/name), local folder, or package:NAME of a package with weights.",
    )
    revision: str | None = Field(
        None, description="Commit (best), tag or branch on the hub; null for a folder or a package."
    )
    text_prefix: str = Field("", description="Put before every text; E5 models need 'query: '.")
    pooling: Literal["mean", "cls"] = Field(
        "mean",
        description="'mean': the mean of the tokens, and a linear head; 'cls': transformers' own classifier.",
    )
    max_length: int = Field(128, ge=4, description="Texts are truncated to this number of tokens.")


class ReportSettings(_Section):
    """How the tables compare methods."""

    reference: str | None = Field(
        None, description="Method that the others are compared with in comparison.tsv; null compares none."
    )
    bootstrap: int = Field(
        2000, ge=100, description="Resamples of seeds and test texts for every interval and test."
    )


def _null_is_empty(value: Any) -> Any:
    """Read ``sam:`` without a value as a method without overrides."""
    if isinstance(value, Mapping):
        return {key: {} if _is_null(entry) else entry for key, entry in value.items()}
    return value


class Configuration(_Section):
    """All settings of a study, apart from its data sets and the cluster."""

    datasets: str = Field("config/datasets.tsv", description="Sample sheet: one row per data set.")
    seeds: Annotated[
        list[Annotated[int, Field(ge=0, lt=2**31)]], Field(min_length=1), BeforeValidator(_unique)
    ] = Field([1, 2], description="One cell is trained per seed, for every method that draws at random.")
    methods: Annotated[dict[str, dict[str, Any]], Field(min_length=1), BeforeValidator(_null_is_empty)] = (
        Field(
            {"sam": {}, "probe": {}, "tfidf": {}},
            description=(
                "Named sets of overrides of the sections training, probe and tfidf. "
                "sam, sam-full, asam, adamw, soup, probe, tfidf, outside and published are known; "
                "any other name needs 'base', the known method that it varies."
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
        description="The pre-trained model of each language; 'default' is for all others.",
    )
    training: TrainingSettings = Field(TrainingSettings(), description="Settings of fine-tuning.")
    probe: ProbeSettings = Field(ProbeSettings(), description="Settings of the frozen-encoder baseline.")
    tfidf: TfidfSettings = Field(TfidfSettings(), description="Settings of the TF-IDF baseline.")
    selection_metric: Metric = Field(
        "macro_f1", description="Score on validation by which settings, epochs, seeds and methods are chosen."
    )
    threads: int = Field(
        1, ge=1, description="Processor threads of a job on CPU; another number changes the last digits."
    )
    cells_per_job: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description=(
            "Cells that one job trains in turn, also of several data sets with the same model; libraries and "
            "model are loaded once. null: the seeds of one data set."
        ),
    )
    seeds_per_job: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Former name of cells_per_job."
    )
    split_seed: int = Field(
        0, ge=0, description="Seed for drawing the splits that datasets.tsv gives as shares."
    )
    checks: dict[CheckName, Severity] = Field(
        {},
        description="Severity of checks of the data: 'error', 'warning' or 'ignore' instead of their own.",
    )
    snapshot_seconds: float = Field(
        600,
        ge=0,
        description="Seconds between two snapshots: a killed training loses at most this much work.",
    )
    report: ReportSettings = Field(ReportSettings(), description="Settings of the tables.")

    @property
    def in_one_job(self) -> int | None:
        """Return the number of cells in one job, by its present or its former name."""
        return self.cells_per_job if self.seeds_per_job is None else self.seeds_per_job
