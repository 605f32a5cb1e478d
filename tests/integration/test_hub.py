"""The tutorial's configuration, with models and a data set of a hub on loopback."""

import json
from pathlib import Path

import polars as pl
import pytest
import torch
import yaml
from transformers import AutoModel

from tests.conftest import ROOT
from tests.hub import COMMIT, Hub, serving
from tests.integration.study import LABELS, LANGUAGES, Study, write_data
from tests.tiny_models import write_tiny_model

TOKEN = "hf_canaryCanaryCANARY0123456789"
NAMES = {
    "english": "FacebookAI/roberta-base",
    "german": "benjamin/roberta-base-wechsel-german",
    "french": "camembert-base",
    "turkish": "xlm-roberta-base",
}
CARD = """---
dataset_info:
  features:
  - name: text
    dtype: string
  - name: topic
    dtype: {class_label: {names: {'0': economy, '1': health, '2': schools}}}
---
"""


def fill(hub: Hub) -> None:
    """Put tiny models of the tutorial's architectures and a Turkish data set on the hub."""
    for language, name in NAMES.items():
        architecture, words = LANGUAGES[language]
        model = write_tiny_model(hub.folder / "models" / language, architecture, words * 20)
        if language == "german":  # the one that may be pickled
            torch.save(AutoModel.from_pretrained(model).state_dict(), model / "pytorch_model.bin")
            (model / "model.safetensors").unlink()
        hub.add(name, model)
    hub.moved["roberta-base"] = NAMES["english"]
    write_data(hub.folder / "turkish", "turkish", "single")
    files = {"README.md": CARD.encode()}
    for split, name in (("train", "train"), ("val", "validation"), ("test", "test")):
        content = json.loads((hub.folder / f"turkish/{split}.json").read_text())
        rows = zip(content["Text"], map(LABELS.index, content["Labels"]), strict=True)
        lines = [f"{text},{label}" for text, label in rows]
        files[f"data/{name}.csv"] = "\n".join(["text,topic", *lines]).encode()
    hub.add("parliament/speeches", files, "datasets")


@pytest.mark.slow
def test_the_tutorial_runs_with_models_and_data_of_a_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = Study(tmp_path / "study")
    (study.folder / "config").mkdir(parents=True)
    rows = ["language\tlabel_type\tsource\ttext\tlabels"]
    for language, label_type in (("english", "single"), ("german", "multi"), ("french", "single")):
        write_data(study.folder / "data" / language, language, label_type)
        rows.append(f"{language}\t{label_type}\tdata/{language}\t\t")
    rows.append(f"turkish\tsingle\thub:parliament/speeches@{COMMIT}\ttext\ttopic")
    (study.folder / "config/datasets.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    hub = Hub(tmp_path, token=TOKEN)
    fill(hub)
    tutorial = ROOT / "config/tutorial.yaml"
    with serving(hub):
        for name, value in (hub.environment | {"HF_TOKEN": TOKEN}).items():
            monkeypatch.setenv(name, value)
        checked = study.run("check", "-c2", "--configfile", str(tutorial))
        assert checked.returncode == 0, checked.stderr
    for language, kind in (("english", "single"), ("german", "multi")):
        summary = study.folder / f"results/data/main/{language}/{kind}/summary.png"
        assert summary.read_bytes().startswith(b"\x89PNG")
    # Training needs no hub: none can be reached any more.
    for name in (*hub.environment, "HF_TOKEN"):
        monkeypatch.delenv(name)
    for name in ("HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{hub.port}")
    # One method and one seed of it, as the others take time and show nothing more.
    content = yaml.safe_load(tutorial.read_text()) | {"methods": {"asam": None}, "seeds": [1], "report": {}}
    shorter = study.folder / "config/shorter.yaml"
    shorter.write_text(yaml.safe_dump(content))
    trained = study.run("-c2", "--configfile", str(shorter))
    assert trained.returncode == 0, trained.stdout + trained.stderr

    runs = {row["language"]: row for row in study.table("runs.tsv")}
    assert len(runs) == 4 and {row["status"] for row in runs.values()} == {"complete"}
    assert {row["model_revision"] for row in runs.values()} == {COMMIT}
    assert runs["english"]["model"] == "roberta-base"
    best = study.folder / "results/best/main"
    kinds = {
        language: json.loads((best / language / kind / "config.json").read_text())["architectures"]
        for language, kind in (("english", "single"), ("german", "multi"), ("turkish", "single"))
    }
    assert kinds == {
        "english": ["RobertaForSequenceClassification"],
        "german": ["RobertaForSequenceClassification"],
        "turkish": ["XLMRobertaForSequenceClassification"],
    }
    predictions = pl.read_parquet(
        study.folder / "results/runs/main/turkish/single/asam/seed-1/predictions.parquet"
    )
    ids = predictions.filter(pl.col("split") == "test")["id"].to_list()
    assert ids == [f"test.parquet:{row}" for row in range(1, 21)]

    files = [file for file in study.folder.rglob("*") if file.is_file()]
    assert not [file for file in files if file.suffix in (".bin", ".pt", ".pkl") and "work" not in file.parts]
    assert not [file for file in files if TOKEN.encode() in file.read_bytes()]
    assert TOKEN not in checked.stdout + checked.stderr + trained.stdout + trained.stderr
