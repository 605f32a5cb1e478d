"""Fine-tuning on tiny models of real architectures, from a prepared folder to a stored classifier."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor, nn
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    get_constant_schedule_with_warmup,
    get_cosine_schedule_with_warmup,
    get_linear_schedule_with_warmup,
)

from polysharp.config.settings import PRESETS, ModelSettings, ProbeSettings, TrainingSettings
from polysharp.core.errors import Interrupted, UserError
from polysharp.core.labels import encode
from polysharp.data.prepared import PreparedData
from polysharp.evaluation.decisions import judge
from polysharp.results.outcome import Outcome
from polysharp.training import finetuning, steps
from polysharp.training.batches import tokenize_splits
from polysharp.training.features import probe_encoder
from polysharp.training.finetuning import FineTuning
from polysharp.training.hardware import accelerator, fingerprint
from polysharp.training.inputs import PretrainedModel, SharedTrainingInputs
from polysharp.training.optimisation import make_loss, make_optimizer, make_schedule
from polysharp.training.snapshots import Snapshots

SETTINGS = TrainingSettings(
    epochs=3,
    batch_size=5,
    learning_rate=1e-2,
    head_learning_rate=2e-2,
    inverse_regularisation=[0.01, 0.1],
    ascent_share=1.0,
    ascent_parameters="all",
)
COMBINATIONS = [
    (architecture, label_type, pooling)
    for architecture in ("bert", "roberta", "camembert", "xlm-roberta")
    for label_type in ("single", "multi")
    for pooling in ("mean", "cls")
]


@dataclass(frozen=True)
class Trained:
    outcome: Outcome
    checkpoint: Path

    @property
    def weights(self) -> bytes:
        return (self.checkpoint / "model.safetensors").read_bytes()


@dataclass(frozen=True)
class Trainer:
    """Runs trainings, each in a folder of its own."""

    device: Accelerator
    folder: Path
    tiny_model: Callable[[str], Path]

    def prepare(
        self,
        data: PreparedData,
        settings: TrainingSettings = SETTINGS,
        architecture: str = "bert",
        pooling: str = "mean",
        seed: int = 1,
    ) -> FineTuning:
        model = ModelSettings(name="tiny", pooling=pooling, text_prefix="see: ", max_length=24)
        folder = self.tiny_model(architecture)
        return FineTuning(
            SharedTrainingInputs(PretrainedModel(folder, model), data, settings, "macro_f1", self.device),
            seed,
        )

    def __call__(self, *arguments: Any, snapshots: Snapshots | None = None, **keywords: Any) -> Trained:
        run = self.prepare(*arguments, **keywords)
        outcome = run.run(snapshots)
        checkpoint = self.folder / f"checkpoint-{len(list(self.folder.iterdir()))}"
        run.save(checkpoint, outcome.decision.thresholds)
        return Trained(outcome, checkpoint)


@pytest.fixture
def train(device: Accelerator, tmp_path: Path, tiny_model: Callable[[str], Path]) -> Trainer:
    return Trainer(device, tmp_path, tiny_model)


def settings(**changes: Any) -> TrainingSettings:
    return TrainingSettings.model_validate(SETTINGS.model_dump() | changes)


def reloaded_logits(checkpoint: Path, texts: list[str]) -> NDArray[np.float64]:
    """Return logits as the model card says to compute them, with nothing but the stored folder."""
    model = AutoModelForSequenceClassification.from_pretrained(checkpoint).eval()
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    stored = model.config.polysharp
    batch = tokenizer(
        [stored["text_prefix"] + text for text in texts],
        padding=True,
        truncation=True,
        max_length=stored["max_length"],
        return_tensors="pt",
    )
    with torch.no_grad():
        return model(**batch).logits.double().numpy()


def shuffled_test_labels(data: PreparedData) -> PreparedData:
    """Return the data with the labels of the test texts dealt out anew."""
    rows = data.examples.to_dicts()
    test = [row for row in rows if row["split"] == "test"]
    labels = [row["labels"] for row in test]
    order = np.random.default_rng(0).permutation(len(test))
    for row, other in zip(test, order, strict=True):
        row["labels"] = labels[other]
    return replace(data, examples=pl.DataFrame(rows, schema=data.examples.schema))


@pytest.mark.parametrize(("architecture", "label_type", "pooling"), COMBINATIONS)
def test_what_is_stored_is_the_best_state_and_gives_the_reported_logits(
    architecture: str,
    label_type: str,
    pooling: str,
    train: Trainer,
    small_data: Callable[[str], PreparedData],
) -> None:
    data = small_data(label_type)
    trained = train(data, architecture=architecture, pooling=pooling)
    outcome, history = trained.outcome, trained.outcome.history
    assert [entry["epoch"] for entry in history] == [0, 1, 2, 3]
    values = [entry["validation_macro_f1"] for entry in history]
    assert outcome.epochs == [values.index(max(values))]
    assert [entry["epoch"] for entry in history if entry["kept"]] == outcome.epochs
    assert outcome.decision.value == max(values)
    assert (outcome.decision.thresholds is None) == (label_type == "single")
    for split in ("validation", "test"):
        reloaded = reloaded_logits(trained.checkpoint, data.split(split)["text"].to_list())
        np.testing.assert_allclose(reloaded, outcome.logits[split], atol=1e-4)
    config = json.loads((trained.checkpoint / "config.json").read_text())
    assert config["polysharp"]["thresholds"] == outcome.decision.thresholds
    assert config["id2label"] == {str(number): name for number, name in enumerate(data.labels)}
    assert config["label2id"] == {name: number for number, name in enumerate(data.labels)}


@pytest.mark.parametrize("label_type", ["single", "multi"])
@pytest.mark.parametrize("keep", ["last", "average"])
def test_the_weights_of_the_last_epochs_are_stored(
    keep: str, label_type: str, train: Trainer, small_data: Callable[[str], PreparedData]
) -> None:
    data = small_data(label_type)
    trained = train(data, settings(keep=keep, averaged_epochs=2))
    outcome = trained.outcome
    assert outcome.epochs == ([3] if keep == "last" else [2, 3])
    assert [entry["epoch"] for entry in outcome.history if entry["kept"]] == outcome.epochs
    for split in ("validation", "test"):
        reloaded = reloaded_logits(trained.checkpoint, data.split(split)["text"].to_list())
        np.testing.assert_allclose(reloaded, outcome.logits[split], atol=1e-4)
    truth = encode(data.split("validation")["labels"].to_list(), data.labels)
    again = judge(outcome.logits["validation"], truth, data.label_type, "macro_f1")
    assert (again.value, again.thresholds) == (outcome.decision.value, outcome.decision.thresholds)
    if keep == "last":
        assert outcome.decision.value == outcome.history[-1]["validation_macro_f1"]


def test_trained_in_bfloat16_and_judged_in_float32(
    train: Trainer, small_data: Callable[[str], PreparedData], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = small_data("multi")
    exact = train(data).outcome
    monkeypatch.setattr(AcceleratorState, "_shared_state", {})  # one precision per process, normally
    trained = replace(train, device=accelerator("bfloat16", 1))(data)
    outcome = trained.outcome
    assert not np.allclose(outcome.logits["test"], exact.logits["test"], atol=1e-4)
    reloaded = reloaded_logits(trained.checkpoint, data.split("test")["text"].to_list())
    np.testing.assert_allclose(reloaded, outcome.logits["test"], atol=1e-5)
    assert outcome.epochs
    assert outcome.decision.value == outcome.history[outcome.epochs[0]]["validation_macro_f1"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="on a GPU transformers chooses")
def test_attention_on_a_processor_is_the_plain_one(
    train: Trainer, small_data: Callable[[str], PreparedData]
) -> None:
    model = train.prepare(small_data("single")).model
    asked = {module.config._attn_implementation for module in model.modules() if hasattr(module, "config")}
    assert asked == {"eager"}


@pytest.mark.parametrize("label_type", ["single", "multi"])
def test_training_learns(label_type: str, train: Trainer, small_data: Callable[[str], PreparedData]) -> None:
    data = small_data(label_type)
    outcome = train(data, settings(epochs=10, head="random")).outcome
    losses = [entry["train_loss"] for entry in outcome.history[1:]]
    assert losses[-1] < 0.9 * losses[0]
    assert outcome.epochs != [0]
    assert outcome.decision.value > outcome.history[0]["validation_macro_f1"] + 0.1


@pytest.mark.parametrize("label_type", ["single", "multi"])
@pytest.mark.parametrize("architecture", ["bert", "camembert"])
def test_the_state_before_training_is_the_probe(
    architecture: str,
    label_type: str,
    train: Trainer,
    small_data: Callable[[str], PreparedData],
    tiny_model: Callable[[str], Path],
    device: Accelerator,
) -> None:
    data, folder = small_data(label_type), tiny_model(architecture)
    model = PretrainedModel(folder, ModelSettings(name="tiny", text_prefix="see: ", max_length=24))
    probe_settings = ProbeSettings(inverse_regularisation=SETTINGS.inverse_regularisation)
    probe = probe_encoder(
        model.encoder(),
        tokenize_splits(data, model.tokenizer, None, 1),
        model.tokenizer,
        data.label_type,
        probe_settings,
        "macro_f1",
        device.device,
    )
    # Steps this small change no float32 weight, so that what comes out is what went in.
    idle = settings(epochs=1, learning_rate=1e-30, head_learning_rate=1e-30)
    outcome = train(data, idle, architecture).outcome
    assert outcome.epochs == [0]
    for split in ("validation", "test"):
        np.testing.assert_allclose(outcome.logits[split], probe.logits[split], atol=1e-3)
    assert outcome.decision.value == pytest.approx(probe.decision.value)
    assert outcome.history[0]["validation_macro_f1"] == pytest.approx(probe.decision.value)
    assert probe.epochs is None and len(probe.history) == 1


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_seeds_decide_every_byte(
    pooling: str, train: Trainer, small_data: Callable[[str], PreparedData]
) -> None:
    data, quick = small_data("multi"), settings(head="random")
    one, again, other = (train(data, quick, pooling=pooling, seed=seed) for seed in (1, 1, 2))
    assert one.weights == again.weights
    assert one.outcome.history == again.outcome.history
    assert one.outcome.decision.thresholds == again.outcome.decision.thresholds
    for split in ("validation", "test"):
        assert np.array_equal(one.outcome.logits[split], again.outcome.logits[split])
    for file in one.checkpoint.iterdir():
        assert file.read_bytes() == (again.checkpoint / file.name).read_bytes(), file.name
    assert one.weights != other.weights
    assert one.outcome.epochs != [0], "no test if the state before training is kept"


@pytest.mark.parametrize(("pooling", "label_type"), [("mean", "single"), ("mean", "multi"), ("cls", "multi")])
def test_test_labels_decide_nothing(
    pooling: str, label_type: str, train: Trainer, small_data: Callable[[str], PreparedData]
) -> None:
    data = small_data(label_type)
    shuffled = shuffled_test_labels(data)
    assert data.split("test")["labels"].to_list() != shuffled.split("test")["labels"].to_list()
    one, other = (train(given, settings(head="random"), pooling=pooling) for given in (data, shuffled))
    assert one.weights == other.weights
    assert one.outcome.epochs == other.outcome.epochs
    assert one.outcome.epochs != [0], "no test if the state before training is kept"
    assert one.outcome.history == other.outcome.history
    assert one.outcome.decision.thresholds == other.outcome.decision.thresholds
    assert np.array_equal(one.outcome.logits["validation"], other.outcome.logits["validation"])
    assert np.array_equal(one.outcome.logits["test"], other.outcome.logits["test"])


def test_the_earliest_of_equally_good_epochs_is_kept(
    train: Trainer, small_data: Callable[[str], PreparedData]
) -> None:
    outcome = train(small_data("single"), settings(learning_rate=1e-30, head_learning_rate=1e-30)).outcome
    assert len({entry["validation_macro_f1"] for entry in outcome.history}) == 1
    assert outcome.epochs == [0]


def test_train_size_and_random_head(train: Trainer, small_data: Callable[[str], PreparedData]) -> None:
    outcome = train(small_data("single"), settings(train_size=9, batch_size=4, head="random")).outcome
    assert [entry["steps"] for entry in outcome.history[1:]] == [3, 3, 3]


def test_a_radius_of_zero_trains_otherwise(train: Trainer, small_data: Callable[[str], PreparedData]) -> None:
    sam, adamw = (train(small_data("single"), settings(epochs=1, rho=rho)).outcome for rho in (0.05, 0.0))
    assert sam.history[0] == adamw.history[0]
    assert sam.history[1]["train_loss"] != adamw.history[1]["train_loss"]


def test_an_ascent_on_a_share_of_the_batch(train: Trainer, small_data: Callable[[str], PreparedData]) -> None:
    whole, quarter = (
        train(small_data("single"), settings(epochs=1, batch_size=8, ascent_share=share))
        for share in (1.0, 0.25)
    )
    assert whole.outcome.history[1] != quarter.outcome.history[1]


@given(st.lists(st.integers(), min_size=1, max_size=40, unique=True), st.floats(0.01, 1))
def test_a_share_of_the_batch_lies_spread_over_it(rows: list[int], share: float) -> None:
    part = steps.spread(rows, share)
    assert len(part) == max(1, round(share * len(rows)))
    places = [rows.index(row) for row in part]
    assert places == sorted(set(places))
    gaps = {other - one for one, other in pairwise(places)}
    assert max(gaps, default=0) - min(gaps, default=0) <= 1
    assert steps.spread(rows, 1.0) == rows
    assert abs(np.mean(places) - (len(rows) - 1) / 2) <= 0.5  # neither the shortest nor the longest texts


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_dropout_of_the_settings_reaches_the_encoder(
    pooling: str, train: Trainer, small_data: Callable[[str], PreparedData]
) -> None:
    trained = {
        rate: train(small_data("single"), settings(epochs=1, dropout=rate), pooling=pooling)
        for rate in (None, 0.0, 0.5)
    }
    assert len({run.outcome.history[1]["train_loss"] for run in trained.values()}) == 3
    config = json.loads((trained[0.5].checkpoint / "config.json").read_text())
    encoder = config["encoder"] if pooling == "mean" else config
    assert encoder["hidden_dropout_prob"] == encoder["attention_probs_dropout_prob"] == 0.5


def test_neither_embeddings_nor_norms_nor_biases_decay(
    tiny_model: Callable[[str], Path], small_data: Callable[[str], PreparedData], device: Accelerator
) -> None:
    model = ModelSettings(name="tiny")
    run = FineTuning(
        SharedTrainingInputs(
            PretrainedModel(tiny_model("xlm-roberta"), model),
            small_data("single"),
            SETTINGS,
            "macro_f1",
            device,
        ),
        1,
    )
    groups = make_optimizer(run.model, SETTINGS).param_groups
    names = {id(parameter): name for name, parameter in run.model.named_parameters()}
    described = {
        names[id(parameter)]: (group["lr"], group["weight_decay"])
        for group in groups
        for parameter in group["params"]
    }
    assert sorted(described) == sorted(names.values())  # every parameter is trained, and once
    assert described["encoder.embeddings.word_embeddings.weight"] == (SETTINGS.learning_rate, 0.0)
    assert described["head.weight"] == (SETTINGS.head_learning_rate, SETTINGS.weight_decay)
    assert described["head.bias"] == (SETTINGS.head_learning_rate, 0.0)
    for name, (_, decay) in described.items():
        if "LayerNorm" in name or name.endswith("bias") or "embeddings" in name:
            assert decay == 0.0, name
    assert described["encoder.encoder.layer.0.output.dense.weight"][1] == SETTINGS.weight_decay


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
def test_a_loss_that_is_not_finite_is_told_in_words(
    train: Trainer, small_data: Callable[[str], PreparedData]
) -> None:
    with pytest.raises(UserError, match="expected a lower learning_rate"):
        train(small_data("single"), settings(learning_rate=1e30, head_learning_rate=1e30))
    with pytest.raises(UserError, match=r"epoch 1: .* no gradient is finite"):
        train(small_data("single"), settings(rho=1e30, batch_size=2))


def test_a_single_bad_step_does_not_end_the_training(
    train: Trainer, small_data: Callable[[str], PreparedData], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = steps.sam_step, iter(range(1000))

    def sometimes(backward: Callable[[], float], *arguments: Any, **keywords: Any) -> Any:
        factor = math.nan if next(calls) == 1 else 1.0
        parameters = arguments[0]

        def spoilt() -> float:
            loss = backward()
            parameters[0].grad.mul_(factor)
            return loss

        return real(spoilt, *arguments, **keywords)

    monkeypatch.setattr(steps, "sam_step", sometimes)
    outcome = train(small_data("single"), settings(epochs=1, batch_size=8)).outcome
    assert outcome.history[1]["skipped_steps"] == 1
    assert outcome.history[1]["steps"] == 5


def test_progress_is_told_inside_long_epochs(
    train: Trainer,
    small_data: Callable[[str], PreparedData],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(finetuning, "PROGRESS_SECONDS", 0)
    with caplog.at_level("INFO", logger="polysharp"):
        train(small_data("single"), settings(epochs=1, batch_size=10))
    steps = [line for line in caplog.messages if "step" in line and "s left" in line]
    assert [line.split(", about")[0] for line in steps] == [
        f"epoch 1/1: step {step} of 4" for step in (1, 2, 3)
    ]


def test_the_fingerprint_says_what_the_bytes_depend_on(device: Accelerator) -> None:
    said = fingerprint(device)
    assert said.startswith(f"torch {torch.__version__}, transformers ")
    assert said.endswith("1 threads, float32")


# --- Resumed, in parts, out of memory -------------------------------------------------------------


class StoppedAfter(Snapshots):
    """Stops the training after a number of snapshots, as a signal does, but at a moment of choice."""

    def __init__(self, folder: Path, number: int) -> None:
        super().__init__(folder, {"seed": 1}, 0)
        self._left = number

    def write(self, step: int, state: Mapping[str, Any]) -> None:
        super().write(step, state)
        self._left -= 1

    @property
    def asked_to_stop(self) -> bool:
        return self._left == 0


EVERYTHING = {
    "epochs": 2,
    "batch_size": 7,
    "micro_batch_size": 3,
    "dropout": 0.2,
    "ascent_share": 0.6,
    "ascent_phase": 0.8,
    "neighbourhood": "adaptive",
}


# Six steps an epoch and a snapshot after each, and after the epoch is judged: in both epochs, at their ends.
@pytest.mark.parametrize("number", [1, 4, 6, 7, 8, 13, 14])
@pytest.mark.parametrize(("label_type", "keep"), [("single", "best"), ("multi", "average")])
def test_stopped_and_resumed_it_gives_the_same_bytes(
    label_type: str,
    keep: str,
    number: int,
    train: Trainer,
    small_data: Callable[[str], PreparedData],
    tmp_path: Path,
) -> None:
    data, chosen = small_data(label_type), settings(**EVERYTHING, keep=keep)
    whole = train(data, chosen)
    assert whole.outcome.history[1]["steps"] == 6
    with pytest.raises(Interrupted):
        train(data, chosen, snapshots=StoppedAfter(tmp_path / "snapshots", number))
    torch.manual_seed(99)  # another process, another state of the generators
    resumed = train(data, chosen, snapshots=Snapshots(tmp_path / "snapshots", {"seed": 1}, 0))
    assert resumed.outcome.epochs == whole.outcome.epochs != [0]
    assert resumed.weights == whole.weights
    assert resumed.outcome.history == whole.outcome.history
    for split in ("validation", "test"):
        assert np.array_equal(resumed.outcome.logits[split], whole.outcome.logits[split])


def after_an_epoch(run: FineTuning) -> dict[str, Tensor]:
    """Return the weights after one epoch; a whole run might go back to those before it."""
    run._epoch(1, None)
    return {name: parameter.detach().clone() for name, parameter in run.model.named_parameters()}


def in_float64(run: FineTuning) -> FineTuning:
    """Let sums in another order not show."""
    run.model.double()
    run.steps.loss.double()
    return run


@pytest.mark.parametrize(
    "changes",
    [
        {"rho": 0.0},
        {},
        {"ascent_share": 0.5},
        {"ascent_parameters": "normalisation"},
        {"neighbourhood": "adaptive", "rho": 0.5},
    ],
)
@pytest.mark.parametrize("label_type", ["single", "multi"])
def test_micro_batches_are_the_same_step_as_the_whole_batch(
    label_type: str, changes: dict[str, Any], train: Trainer, small_data: Callable[[str], PreparedData]
) -> None:
    weights = []
    for size in (None, 3):
        chosen = settings(batch_size=8, micro_batch_size=size, dropout=0.0, learning_rate=1e-3, **changes)
        run = in_float64(train.prepare(small_data(label_type), chosen, "roberta"))
        begin = run.model.get_input_embeddings().weight.detach().clone()
        weights.append(after_an_epoch(run))
        assert run._progress.micro_batch_size == (size or 8)
        assert not torch.equal(run.model.get_input_embeddings().weight, begin)
    for name, weight in weights[0].items():
        torch.testing.assert_close(weights[1][name], weight, rtol=0, atol=1e-10)


FULL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")


def out_of_memory_above(
    run: FineTuning, texts: int, calls: range = range(10**6), error: RuntimeError = FULL
) -> None:
    """Let the model refuse batches of more texts than that, in the calls of these numbers.

    At the end of the pass, when random numbers have been drawn.
    """
    counted = iter(range(10**6))

    def refuse(_module: nn.Module, _arguments: Any, inputs: dict[str, Any], _outputs: Any) -> None:
        if run.model.training and next(counted) in calls and len(inputs["input_ids"]) > texts:
            raise error

    run.model.register_forward_hook(refuse, with_kwargs=True)


@pytest.mark.parametrize(
    "error",
    [
        FULL,
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 20 bytes."),
    ],
)
def test_a_step_that_runs_out_of_memory_goes_on_in_smaller_parts(
    error: RuntimeError, train: Trainer, small_data: Callable[[str], PreparedData]
) -> None:
    data = small_data("single")
    run = train.prepare(data, settings(batch_size=8, dropout=0.1))
    out_of_memory_above(run, texts=3, error=error)
    weights = after_an_epoch(run)
    assert run._progress.out_of_memory == 2
    assert run._progress.micro_batch_size == 2
    expected = after_an_epoch(train.prepare(data, settings(batch_size=8, dropout=0.1, micro_batch_size=2)))
    for name, weight in weights.items():
        assert torch.equal(weight, expected[name]), name


def test_out_of_memory_is_recorded_and_survives_a_stop(
    train: Trainer, small_data: Callable[[str], PreparedData], tmp_path: Path
) -> None:
    data, chosen, ends = small_data("single"), settings(batch_size=8, dropout=0.1, head="random"), []
    for stopped in (False, True):
        if stopped:
            run = train.prepare(data, chosen)
            out_of_memory_above(run, texts=3)
            with pytest.raises(Interrupted):
                run.run(StoppedAfter(tmp_path, 3))
        run = train.prepare(data, chosen)
        out_of_memory_above(run, texts=3)
        ends.append((run.run(Snapshots(tmp_path, {"seed": 1}, 1000)), run))
    (whole, first), (resumed, second) = ends
    assert [entry.get("out_of_memory") for entry in whole.history] == [None, 2, 0, 0]
    assert [entry.get("micro_batch_size") for entry in whole.history] == [None, 2, 2, 2]
    assert resumed.history == whole.history
    assert whole.epochs != [0]
    for ours, theirs in zip(first.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


# Two passes a step, the ascent and the descent, each of one part, or of two, of which the second fails.
@pytest.mark.parametrize(("size", "call"), [(8, 0), (8, 1), (8, 2), (8, 5), (5, 1), (5, 3)])
def test_out_of_memory_skips_no_text(
    size: int, call: int, train: Trainer, small_data: Callable[[str], PreparedData]
) -> None:
    """Without dropout the size of the parts changes the last digits only."""
    chosen = settings(dropout=0.0, learning_rate=1e-3, epochs=1, batch_size=8, micro_batch_size=size)
    ends = []
    for calls in (range(0), range(call, call + 1)):
        run = in_float64(train.prepare(small_data("single"), chosen))
        out_of_memory_above(run, 2, calls)
        ends.append((after_an_epoch(run), run._progress))
    (whole, _), (weights, progress) = ends
    assert progress.out_of_memory == 1
    for name, weight in weights.items():
        torch.testing.assert_close(weight, whole[name], rtol=0, atol=1e-10)


def test_where_not_even_one_text_fits_it_says_so(
    train: Trainer, small_data: Callable[[str], PreparedData]
) -> None:
    run = train.prepare(small_data("single"))
    out_of_memory_above(run, texts=0)
    with pytest.raises(UserError, match=r"out of memory with 1 texts at a time; expected a lower max_length"):
        run.run()


def test_out_of_memory_outside_of_the_passes_is_told_in_words(
    train: Trainer, small_data: Callable[[str], PreparedData]
) -> None:
    def refuse(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")

    run = train.prepare(small_data("single"))
    run.steps.optimizer.register_step_pre_hook(refuse)
    with pytest.raises(UserError, match="out of memory; expected a smaller model"):
        run.run()


def test_the_last_part_of_the_steps_ascends(
    train: Trainer, small_data: Callable[[str], PreparedData]
) -> None:
    passes = []
    for phase in (1.0, 0.4):
        run, counted = train.prepare(small_data("single"), settings(epochs=2, ascent_phase=phase)), []
        run.model.register_forward_pre_hook(
            lambda module, _inputs, counted=counted: counted.append(1) if module.training else None
        )
        run.run()
        passes.append(len(counted))
    steps = run.steps.total
    assert passes == [2 * steps, steps + round(0.4 * steps)]


def test_adamw_alone_looks_at_no_setting_of_the_ascent(
    train: Trainer, small_data: Callable[[str], PreparedData]
) -> None:
    data = small_data("single")
    changes = {"ascent_share": 0.3, "neighbourhood": "adaptive", "ascent_parameters": "normalisation"}
    plain, changed = (
        after_an_epoch(train.prepare(data, settings(rho=0.0, **more))) for more in ({}, changes)
    )
    for name, weight in plain.items():
        assert torch.equal(changed[name], weight), name


@pytest.mark.parametrize(
    ("method", "climbing", "eta", "rows"),
    [
        ("sam", "normalisation", None, [2, 6]),
        ("sam-full", "all", None, list(range(8))),
        ("asam", "all", 0.01, list(range(8))),
        ("adamw", None, None, []),
    ],
)
def test_what_a_method_climbs_with(
    method: str,
    climbing: str | None,
    eta: float | None,
    rows: list[int],
    train: Trainer,
    small_data: Callable[[str], PreparedData],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chosen = TrainingSettings.model_validate({"batch_size": 8, "epochs": 1, **PRESETS[method].settings})
    run = train.prepare(small_data("single"), chosen)
    taken, passes = [], []
    step, backward = steps.sam_step, run.steps.backward

    def noted_step(*arguments: Any, **keywords: Any) -> Any:
        taken.append(arguments[4])
        return step(*arguments, **keywords)

    def noted_pass(rows: list[int], *arguments: Any, **keywords: Any) -> float:
        passes.append(rows)
        return backward(rows, *arguments, **keywords)

    monkeypatch.setattr(steps, "sam_step", noted_step)
    monkeypatch.setattr(run.steps, "backward", noted_pass)
    batch = [5, 3, 17, 0, 8, 30, 21, 11]
    run.model.train()
    run.steps.take(batch)
    (ascent,) = taken
    assert passes == ([[batch[place] for place in rows], batch] if rows else [batch])
    if climbing is None:
        assert ascent is None
        return
    names = {id(parameter): name for name, parameter in run.model.named_parameters()}
    climbed = {names[id(parameter)] for parameter in ascent.parameters}
    assert climbed == {name for name in names.values() if climbing == "all" or "LayerNorm" in name}
    assert (ascent.rho, ascent.eta) == (chosen.rho, eta)


def test_learning_rates_count_the_steps_of_partial_batches(
    train: Trainer, small_data: Callable[[str], PreparedData]
) -> None:
    chosen = settings(batch_size=7, micro_batch_size=3, epochs=2, schedule="cosine", warmup=0.25)
    run, seen = train.prepare(small_data("single"), chosen), []
    run.steps.optimizer.register_step_pre_hook(
        lambda optimizer, *_: seen.append(optimizer.param_groups[0]["lr"] / chosen.learning_rate)
    )
    run.run()
    theirs = published(chosen, 12)  # 40 texts are 5 batches of 7 and one of 5
    next(theirs)
    assert seen == pytest.approx([next(theirs) for _ in range(12)])


def test_labels_weigh_by_the_texts_that_were_drawn(
    train: Trainer, small_data: Callable[[str], PreparedData]
) -> None:
    data = small_data("single")
    run = train.prepare(data, settings(train_size=17))
    drawn = run.splits["train"].truth.argmax(axis=1)
    assert len(drawn) == 17
    expected = compute_class_weight("balanced", classes=np.unique(drawn), y=drawn)
    assert run.steps.loss.weight.tolist() == pytest.approx(expected.tolist())


def test_only_the_rows_in_use_are_trained_and_all_are_stored(
    train: Trainer, small_data: Callable[[str], PreparedData]
) -> None:
    run = train.prepare(small_data("single"))
    used = {token for split in run.splits.values() for row in split.token_ids for token in row}
    used.add(run.tokenizer.pretrained.pad_token_id)
    before = run._full_embedding.weight.detach().clone()
    assert len(run.model.base_model.get_input_embeddings().weight) == len(used) < len(before)
    run.run()
    run.save(train.folder / "stored", None)
    stored = AutoModelForSequenceClassification.from_pretrained(train.folder / "stored")
    after = stored.base_model.get_input_embeddings().weight.detach()
    unused = [row for row in range(len(before)) if row not in used]
    assert torch.equal(after[unused], before[unused])
    assert not torch.equal(after, before)


def test_nothing_is_evaluated_twice(
    train: Trainer, small_data: Callable[[str], PreparedData], monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluated, infer = [], finetuning.infer

    def noted(forward: Any, split: Any, *arguments: Any) -> Any:
        evaluated.append(len(split.token_ids))
        return infer(forward, split, *arguments)

    monkeypatch.setattr(finetuning, "infer", noted)
    train(small_data("single"))
    assert evaluated == [24] * 3 + [30]  # validation after each of three epochs; before, the probe's; test


def test_an_embedding_that_does_more_than_to_look_up_is_left_whole(
    train: Trainer, small_data: Callable[[str], PreparedData], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Scaled(nn.Embedding):
        """As Gemma's and BART's."""

        def forward(self, ids: Tensor) -> Tensor:
            return 3.0 * super().forward(ids)

    from transformers import BertModel

    real = BertModel.__init__

    def scaled(model: BertModel, *arguments: Any, **keywords: Any) -> None:
        real(model, *arguments, **keywords)
        model.embeddings.word_embeddings.__class__ = Scaled

    monkeypatch.setattr(BertModel, "__init__", scaled)
    data = small_data("single")
    trained = train(data)
    reloaded = reloaded_logits(trained.checkpoint, data.split("test")["text"].to_list())
    np.testing.assert_allclose(reloaded, trained.outcome.logits["test"], atol=1e-4)


# --- Learning rates -------------------------------------------------------------------------------


def rates(chosen: TrainingSettings, steps: int) -> list[float]:
    """Return the learning rate of every step, as the loop sees it."""
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    schedule = make_schedule(optimizer, chosen, steps)
    seen = []
    for _ in range(steps):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return seen


def published(chosen: TrainingSettings, steps: int) -> Iterator[float]:
    """Yield the learning rates of transformers' schedule from its step 0 on."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    warmup = round(chosen.warmup * steps)
    schedule = {
        "linear": lambda: get_linear_schedule_with_warmup(optimizer, warmup, steps + 1),
        "cosine": lambda: get_cosine_schedule_with_warmup(optimizer, warmup, steps + 1),
        "constant": lambda: get_constant_schedule_with_warmup(optimizer, warmup),
    }[chosen.schedule]()
    while True:
        yield optimizer.param_groups[0]["lr"]
        optimizer.step()
        schedule.step()


@given(
    st.integers(1, 60),
    st.floats(0, 1, exclude_max=True),
    st.sampled_from(["linear", "cosine", "constant"]),
)
def test_learning_rates_are_transformers_without_the_idle_steps(
    steps: int, warmup: float, schedule: str
) -> None:
    chosen = settings(schedule=schedule, warmup=warmup)
    ours, theirs = rates(chosen, steps), published(chosen, steps)
    idle = next(theirs)
    assert idle == (0.0 if round(warmup * steps) else 1.0)
    assert ours == pytest.approx([next(theirs) for _ in ours])
    assert min(ours) > 0
    if schedule != "constant":
        assert next(theirs) == pytest.approx(0, abs=1e-12)  # a step more would be idle, too


def test_learning_rates_rise_and_fall() -> None:
    seen = rates(settings(schedule="linear", warmup=0.3), 10)
    assert all(one < other for one, other in pairwise(seen[:3]))
    assert seen[2] == 1.0
    assert all(one > other for one, other in pairwise(seen[2:]))


def test_the_history_has_the_encoders_learning_rate_of_the_last_step(
    train: Trainer, small_data: Callable[[str], PreparedData]
) -> None:
    flat = settings(schedule="constant", warmup=0.0)
    history = train(small_data("single"), flat).outcome.history
    assert [entry["learning_rate"] for entry in history[1:]] == [1e-2] * 3


# --- Weights of the labels ------------------------------------------------------------------------


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=40))
def test_single_label_weights_are_scikit_learns(drawn: list[str]) -> None:
    names = list("abcde")  # 'e' is never drawn
    loss = make_loss(encode([[name] for name in drawn], names), "single", "balanced")
    present = sorted(set(drawn))
    expected = dict(
        zip(present, compute_class_weight("balanced", classes=np.array(present), y=drawn), strict=True)
    )
    assert loss.weight.tolist() == pytest.approx([expected.get(name, 0.0) for name in names])


@given(st.lists(st.booleans(), min_size=2, max_size=40).filter(lambda y: 0 < sum(y) < len(y)))
def test_multi_label_weights_are_scikit_learns(drawn: list[bool]) -> None:
    truth = np.array(drawn)[:, None]
    loss = make_loss(truth, "multi", "balanced")
    negative, positive = compute_class_weight("balanced", classes=np.array([False, True]), y=truth[:, 0])
    assert loss.pos_weight.item() == pytest.approx(positive / negative, rel=1e-5)


def test_without_class_weights_no_label_weighs_more() -> None:
    truth = encode([["a"], ["a"], ["b"]], ["a", "b"])
    assert make_loss(truth, "single", "none").weight is None
    assert make_loss(truth, "multi", "none").pos_weight is None


def test_labels_that_all_or_no_training_texts_have_keep_the_loss_finite() -> None:
    truth = np.array([[True, False], [True, False]])
    loss = make_loss(truth, "multi", "balanced")
    assert torch.isfinite(loss(torch.zeros(2, 2), torch.from_numpy(truth).float())).all()
    assert torch.isfinite(loss.pos_weight).all() and (loss.pos_weight > 0).all()
