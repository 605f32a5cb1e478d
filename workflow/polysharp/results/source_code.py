"""Which code made a result, and which code a snapshot can be resumed with."""

import ast
import hashlib
from importlib.util import find_spec
from pathlib import Path

import polysharp
from polysharp.core.files import sha256

# The modules that determine the numbers of a training, from its start to its outcome. If one of them changes
# in between, a resumed training gives numbers that neither the old code nor the new one gives. A snapshot's
# identity also has settings, data and model. Results are computed afterwards, from the outcome.
TRAINING = (
    "polysharp.core.labels",  # order of the labels, decisions
    "polysharp.data.prepared",  # which texts are drawn
    "polysharp.evaluation.decisions",  # which epoch is best
    "polysharp.evaluation.metrics",  # the same
    "polysharp.evaluation.thresholds",
    "polysharp.models.classifier",  # pooling and head
    "polysharp.models.encoders",  # what is loaded
    "polysharp.models.folder",  # how many positions a model has
    "polysharp.training.batches",  # tokens, order and size of the batches
    "polysharp.training.features",  # what the probe sees
    "polysharp.training.finetuning",
    "polysharp.training.hardware",  # precision, deterministic algorithms
    "polysharp.training.inputs",  # what is loaded, dropout
    "polysharp.training.kept",  # which epochs, and their mean
    "polysharp.training.optimisation",  # loss, optimizer, learning rates
    "polysharp.training.probe",  # where the head starts
    "polysharp.training.progress",
    "polysharp.training.randomness",
    "polysharp.training.sam",
    "polysharp.training.steps",  # micro-batches, the ascent's part of a batch
    "polysharp.training.used_rows",  # which rows of the embedding are trained
)


def code_sha256() -> str:
    """Return the SHA-256 of the library's source: the code that made a result."""
    return sha256(*sorted(Path(polysharp.__path__[0]).rglob("*.py")))


def training_sha256() -> str:
    """Return the SHA-256 of the code that determines the numbers of a training.

    Comments, docstrings and layout do not count. Another version of Python may give another value.

    Raises
    ------
    ModuleNotFoundError
        When there is no such module.
    """
    digest = hashlib.sha256()
    for name in TRAINING:
        spec = find_spec(name)  # does not import the module
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(name)
        digest.update(f"{name}\n{_code(Path(spec.origin).read_text(encoding='utf-8'))}\n".encode())
    return digest.hexdigest()


def _code(source: str) -> str:
    """Return the syntax tree of a source file as text, without docstrings and other standalone strings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            body[:] = [statement for statement in body if not _is_text(statement)]
    return ast.dump(tree)


def _is_text(statement: ast.stmt) -> bool:
    """Whether a statement is nothing but a string."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
