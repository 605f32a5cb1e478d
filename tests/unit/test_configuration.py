"""The configuration: what is accepted, and how mistakes are told."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from snakemake.cli import parse_config

from polysharp.config.checking import check_configuration, parse_settings, resolve_method, resolve_model
from polysharp.config.defaults import explain_settings
from polysharp.config.messages import Places
from polysharp.config.settings import SETTINGS, Configuration, ProbeSettings, TfidfSettings, TrainingSettings
from polysharp.config.study import as_arguments, load_study
from polysharp.core.errors import UserError
from polysharp.core.terms import Kind
from tests.conftest import write_source


def lines_of(**content: Any) -> list[str]:
    return check_configuration(content)[1]


def study_errors(folder: Path, text: str, content: dict[str, Any], **command_line: Any) -> tuple[str, ...]:
    """Return what is wrong with a configuration file, its folder's name left out."""
    file = folder / "config.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        load_study({**content, **command_line}, [folder], [str(file)], command_line)
    return tuple(line.replace(f"{folder}/", "") for line in caught.value.lines)


# --- Mistakes -------------------------------------------------------------------------------------


def test_the_defaults_are_sound() -> None:
    configuration, lines = check_configuration({})
    assert lines == []
    assert configuration == Configuration()


def test_every_mistake_is_told_at_once() -> None:
    lines = lines_of(
        sedes=[1],
        seeds=[1, 1],
        methods={
            "sma": {},
            "wide": {"base": "sam", "learnig_rate": 1},
            "other": {"base": "smm"},
            "tfidf": {"rho": 1},
            "sam": {"epochs": 0, "batch_size": "many"},
        },
        training={"learning_rate": -1, "epochs": "six", "head": "prob"},
        report={"reference": "sma2", "bootstrap": 1},
        selection_metric="macro-f1",
        models={"default": {"revision": 3}},
    )
    expected = [
        ("seeds", "expected every value once"),
        ("models.default.name", "missing"),
        ("models.default.revision", "3: expected a valid string"),
        ("training.head", "'prob': expected 'probe' or 'random'; did you mean 'probe'?"),
        ("training.epochs", "'six': expected a whole number"),
        ("training.learning_rate", "-1: expected greater than 0"),
        ("selection_metric", "'accuracy'; did you mean 'macro_f1'?"),
        ("report.bootstrap", "1: expected greater than or equal to 100"),
        ("sedes", "not a known key; expected one of datasets, seeds"),
        ("sedes", "did you mean 'seeds'?"),
        (
            "methods.sma",
            "expected one of sam, sam-full, asam, adamw, soup, probe, tfidf, outside, published; "
            "did you mean 'sam'?",
        ),
        ("methods.sma", "or a key 'base' that names the one it varies"),
        ("methods.wide.learnig_rate", "did you mean 'learning_rate'?"),
        (
            "methods.other.base",
            "'smm': expected one of sam, sam-full, asam, adamw, soup, probe, tfidf, outside, published; "
            "did you mean 'sam'?",
        ),
        ("methods.tfidf.rho", "not a known key; expected one of train_size, class_weights"),
        ("methods.sam.epochs", "0: expected greater than or equal to 1"),
        ("methods.sam.batch_size", "'many': expected a whole number"),
    ]
    for key, text in expected:
        assert any(line.startswith(f"{key}: ") and text in line for line in lines), (key, text, lines)
    assert {line.partition(":")[0] for line in lines} == {key for key, _ in expected}
    assert all("\n" not in line for line in lines)


@pytest.mark.parametrize("key", ["epochs", "rho", "train_size", "dropout", "head"])
@pytest.mark.parametrize("value", [True, False])
def test_a_bare_yes_or_no_is_no_value(key: str, value: bool) -> None:
    (line,) = lines_of(training={key: value})
    assert line.startswith(f"training.{key}: {value}: ")
    (line,) = lines_of(methods={"sam": {key: value}})
    assert line.startswith(f"methods.sam.{key}: {value}: ")


def test_a_bare_yes_or_no_in_a_list_is_no_value() -> None:
    assert len(lines_of(seeds=[True])) == 1
    assert len(lines_of(probe={"inverse_regularisation": [True]})) == 1


@pytest.mark.parametrize(
    "content",
    [
        {"seeds": []},
        {"seeds": [-1]},
        {"seeds": [2**31]},
        {"seeds": [1.5]},
        {"seeds": 1},
        {"seeds": ["1", 1]},
        {"methods": {}},
        {"methods": "sam"},
        {"methods": {"sam": [1]}},
        {"models": {}},
        {"models": {"english": "roberta-base"}},
        {"models": {"english": {"name": ""}}},
        {"models": {"default": {"name": "x", "max_length": 3}}},
        {"training": None},
        {"training": [1]},
        {"training": {"rho": float("nan")}},
        {"training": {"rho": float("inf")}},
        {"training": {"rho": -0.1}},
        {"training": {"warmup": 1}},
        {"training": {"dropout": 1}},
        {"training": {"ascent_share": 0}},
        {"training": {"train_size": 1}},
        {"probe": {"inverse_regularisation": []}},
        {"probe": {"inverse_regularisation": [0]}},
        {"threads": 0},
        {1: 2},
    ],
)
def test_values_outside_the_limits_are_one_line_each(content: dict[str, Any]) -> None:
    _, lines = check_configuration(content)
    assert len(lines) == 1
    assert lines[0].startswith(str(next(iter(content))))


def test_unknown_keys_inside_a_section_are_answered_with_its_own_keys() -> None:
    lines = lines_of(
        training={"learnig_rate": 1},
        report={"refrence": "sam"},
        models={"english": {"name": "x", "poling": "cls"}},
        tfidf={"epochs": 3},
    )
    assert lines == [
        "models.english.poling: not a known key; expected one of name, revision, text_prefix, pooling, "
        "max_length; did you mean 'pooling'?",
        "training.learnig_rate: not a known key; expected one of "
        f"{', '.join(TrainingSettings.model_fields)}; did you mean 'learning_rate'?",
        "tfidf.epochs: not a known key; expected one of train_size, class_weights, inverse_regularisation",
        "report.refrence: not a known key; expected one of reference, bootstrap; did you mean 'reference'?",
    ]


def test_a_sound_section_is_checked_beside_a_faulty_one() -> None:
    configuration, lines = check_configuration({"seeds": [], "threads": 3})
    assert len(lines) == 1
    assert configuration.threads == 3 and configuration.seeds == Configuration().seeds


def test_a_reference_must_be_a_method() -> None:
    assert lines_of(report={"reference": "probes"}) == [
        "report.reference: 'probes': expected one of sam, probe, tfidf; did you mean 'probe'?"
    ]
    assert lines_of(report={"reference": "probe"}) == []


def test_methods_are_not_compared_on_unequal_sizes_by_an_oversight() -> None:
    few = {"train_size": 100}
    assert lines_of(training=few) == [
        "training.train_size: 100: expected the same in every section, so that methods are compared on "
        "equal numbers of texts (probe: null, tfidf: null); for a single method, set it in methods"
    ]
    (line,) = lines_of(training=few, probe=few, tfidf={"train_size": 50})
    assert line.startswith("training.train_size: 100: ") and "(probe: 100, tfidf: 50)" in line
    assert lines_of(training=few, probe=few, tfidf=few) == []
    assert lines_of(training=few, methods={"sam": {}, "adamw": {}}) == []  # no method of another section
    assert lines_of(training=few, methods={"sam": {}, "probe": few}) == []
    assert lines_of(methods={"sam": {}, "sam-100": {"base": "sam", **few}, "probe": {}}) == []


# --- Places ---------------------------------------------------------------------------------------


def test_mistakes_have_file_and_line(tmp_path: Path) -> None:
    text = "seeds:\n- 1\n- -1\n\n# the methods\nmethods:\n  sam:\n    epochs: 0\n  probee: {}\n"
    content = {"seeds": [1, -1], "methods": {"sam": {"epochs": 0}, "probee": {}}, "threads": 0}
    lines = study_errors(tmp_path, text, content)
    assert "config.yaml, line 1: seeds.1: -1: expected greater than or equal to 0" in lines
    assert "config.yaml, line 8: methods.sam.epochs: 0: expected greater than or equal to 1" in lines
    assert any(line.startswith("config.yaml, line 9: methods.probee: not a known method") for line in lines)
    assert "config.yaml: threads: 0: expected greater than or equal to 1" in lines  # from nowhere in it


@pytest.mark.parametrize(("name", "meant"), [("spansih", True), ("Spanish", False), ("german", False)])
def test_a_model_of_a_misspelt_language_is_told(name: str, meant: bool, tmp_path: Path) -> None:
    """Models of languages that a study leaves out are no mistake: one file may serve several studies."""
    write_source(tmp_path / "data", {split: {} for split in ("train", "val", "test")})
    (tmp_path / "sheet.tsv").write_text("language\tlabel_type\tsource\nspanish\tsingle\tdata")
    content = {"datasets": "sheet.tsv", "models": {name.lower(): {"name": "a/b"}, "default": {"name": "a/c"}}}
    if meant:
        (line,) = study_errors(tmp_path, f"models:\n  {name}: {{name: a/b}}\n", content)
        assert (
            line
            == f"config.yaml, line 2: models.{name}: no data set has this language; did you mean 'spanish'?"
        )
    else:
        load_study(content, [tmp_path])


def test_the_command_line_can_leave_out_what_a_file_can(tmp_path: Path) -> None:
    write_source(tmp_path / "data", {split: {} for split in ("train", "val", "test")})
    (tmp_path / "sheet.tsv").write_text("language\tlabel_type\tsource\nenglish\tsingle\tdata")

    def of(*entries: str) -> Any:
        given = parse_config(["datasets=sheet.tsv", *entries])
        return load_study(given, [tmp_path], [], given)[0]

    for nothing in ("", "~", "null"):
        study = of(
            f"methods={{tfidf: {nothing}, probe: {nothing}, few: {{base: tfidf, train_size: {nothing}}}}}",
            f"training={{dropout: {nothing}, micro_batch_size: {nothing}}}",
            f"report={{reference: {nothing}}}",
            f"models={{default: {{name: some/model, revision: {nothing}, text_prefix: {nothing}}}}}",
        )
        assert study.methods == {"tfidf": {}, "probe": {}, "few": {"base": "tfidf", "train_size": nothing}}
        assert resolve_method(study, "few")[1].train_size is None
        assert study.training.dropout is study.training.micro_batch_size is study.report.reference is None
        assert study.models["default"].revision is None
        assert study.models["default"].text_prefix == nothing  # a text is what it is
    with pytest.raises(UserError, match=r"training\.epochs: '': expected a whole number"):
        of("training={epochs: }")


def test_the_command_line_is_named_where_it_said_so(tmp_path: Path) -> None:
    lines = study_errors(
        tmp_path, "threads: 0\nreport:\n  bootstrap: 5\n", {"report": {"bootstrap": 5}}, threads=0
    )
    assert "--config: threads: 0: expected greater than or equal to 1" in lines
    assert "config.yaml, line 3: report.bootstrap: 5: expected greater than or equal to 100" in lines


def test_the_command_line_is_named_for_single_keys_of_a_section(tmp_path: Path) -> None:
    text = "training:\n  epochs: 0\n  rho: 0.1\n"
    lines = study_errors(tmp_path, text, {"training": {"epochs": 0}}, training={"rho": -1, "epochs": 2})
    assert "--config: training.rho: -1: expected greater than or equal to 0" in lines


def test_later_files_take_precedence(tmp_path: Path) -> None:
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text("threads: 1\nseeds: [1]\n")
    two.write_text("\n\nthreads: 0\n")
    places = Places([one, two], {})
    assert places.locate("threads: wrong") == f"{two}, line 3: threads: wrong"
    assert places.locate("seeds.0: wrong") == f"{one}, line 2: seeds.0: wrong"
    assert places.locate("report.reference: wrong") == f"{one}, {two}: report.reference: wrong"


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    text = "seeds: [1]\nmethods:\n  sam: {}\n  sam: {rho: 1}\nseeds: [2]\n"
    assert study_errors(tmp_path, text, {}) == (
        "config.yaml, line 4: methods.sam: appears twice; expected once",
        "config.yaml, line 5: seeds: appears twice; expected once",
    )


def test_a_bare_no_as_a_name_is_told(tmp_path: Path) -> None:
    text = "methods:\n  sam:\n  no: {base: sam}\n"
    lines = study_errors(tmp_path, text, {"methods": {"sam": None, False: {"base": "sam"}}})
    told = [line for line in lines if "write it in quotes" in line]
    assert len(told) == 1 and "YAML reads this bare word as False" in told[0]
    assert told[0].startswith("config.yaml, line ")


def test_what_is_not_yaml_is_one_line(tmp_path: Path) -> None:
    (line,) = study_errors(tmp_path, "seeds: [1\nmethods: {", {})
    assert line.startswith("config.yaml: cannot be read as YAML: ") and "line 2" in line


# --- Methods --------------------------------------------------------------------------------------


def method(name: str, **content: Any) -> tuple[Kind, TfidfSettings]:
    configuration, lines = check_configuration(content)
    assert lines == []
    return resolve_method(configuration, name)


def test_presets() -> None:
    methods: dict[str, Any] = {"sam": None, "adamw": None, "probe": None, "tfidf": None}
    kinds = {name: method(name, methods=methods) for name in methods}
    assert kinds == {
        "sam": ("finetune", TrainingSettings()),
        "adamw": ("finetune", TrainingSettings(rho=0.0)),
        "probe": ("probe", ProbeSettings.model_validate(ProbeSettings().model_dump())),
        "tfidf": ("tfidf", TfidfSettings.model_validate(TfidfSettings().model_dump())),
    }


def test_overrides_take_precedence_over_presets_over_sections() -> None:
    methods = {"adamw": {}, "mine": {"base": "adamw", "epochs": 3}, "sharp": {"base": "adamw", "rho": 0.2}}
    content: dict[str, Any] = {"training": {"rho": 0.1, "epochs": 8, "batch_size": 4}, "methods": methods}
    values = {}
    for name in methods:
        settings = method(name, **content)[1]
        assert isinstance(settings, TrainingSettings)
        values[name] = settings.rho, settings.epochs, settings.batch_size
    assert values == {"adamw": (0.0, 8, 4), "mine": (0.0, 3, 4), "sharp": (0.2, 8, 4)}


def test_a_preset_can_itself_be_a_variant_of_another() -> None:
    kind, settings = method("sam", methods={"sam": {"base": "tfidf"}})
    assert kind == "tfidf" and type(settings) is TfidfSettings


def test_numbers_in_scientific_notation_are_numbers() -> None:
    """YAML reads 5e-5, without a point, as text."""
    settings = method("sam", training={"learning_rate": "5e-5"}, methods={"sam": {"rho": "1e-2"}})[1]
    assert isinstance(settings, TrainingSettings)
    assert (settings.learning_rate, settings.rho) == (5e-5, 0.01)


def test_models_by_language() -> None:
    configuration = Configuration.model_validate(
        {"models": {"english": {"name": "a"}, "default": {"name": "b"}}}
    )
    assert resolve_model(configuration, "english").name == "a"
    assert resolve_model(configuration, "welsh").name == "b"
    only = Configuration.model_validate({"models": {"english": {"name": "a"}}})
    with pytest.raises(UserError, match="no model for 'welsh'; expected a key 'welsh' or 'default'"):
        resolve_model(only, "welsh")


# --- Settings as arguments ------------------------------------------------------------------------

positive = st.floats(min_value=0, exclude_min=True, allow_infinity=False)
not_negative = st.floats(0, allow_infinity=False)
below_one = st.floats(0, 1, exclude_max=True)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "train_size": st.none() | st.integers(2, 10**9),
    "class_weights": st.sampled_from(["balanced", "none"]),
    "inverse_regularisation": st.lists(positive | st.integers(1, 10**20), min_size=1, max_size=4),
    "precision": st.sampled_from(["auto", "bfloat16", "float32"]),
    "head": st.sampled_from(["probe", "random"]),
    "epochs": st.integers(1, 10**6),
    "batch_size": st.integers(1, 10**6),
    "micro_batch_size": st.none() | st.integers(1, 10**6),
    "learning_rate": positive,
    "head_learning_rate": positive,
    "schedule": st.sampled_from(["linear", "cosine", "constant"]),
    "warmup": below_one,
    "dropout": st.none() | below_one,
    "weight_decay": not_negative,
    "max_grad_norm": positive,
    "rho": not_negative,
    "neighbourhood": st.sampled_from(["euclidean", "adaptive"]),
    "eta": not_negative,
    "ascent_share": st.floats(0, 1, exclude_min=True),
    "ascent_parameters": st.sampled_from(["all", "normalisation"]),
    "ascent_phase": st.floats(0, 1, exclude_min=True),
    "keep": st.sampled_from(["best", "last", "average"]),
    "averaged_epochs": st.integers(1, 10**6),
    "of": st.text(min_size=1),
    "predictions": st.text(min_size=1),
    "scores": st.text(min_size=1),
    "answers": st.sampled_from(["labels", "text"]),
}


def valid(kind: Kind) -> st.SearchStrategy[tuple[Kind, TfidfSettings]]:
    """Return a strategy for all settings of a kind; a new setting needs a line above."""
    fields = SETTINGS[kind].model_fields
    return st.tuples(st.just(kind), st.builds(SETTINGS[kind], **{key: VALUES[key] for key in fields}))


@given(st.one_of(*map(valid, SETTINGS)))
def test_settings_survive_the_command_line(drawn: tuple[Kind, TfidfSettings]) -> None:
    kind, settings = drawn
    arguments = as_arguments(settings.model_dump())
    parsed = parse_settings(kind, arguments)
    assert parsed == settings
    assert as_arguments(parsed.model_dump()) == arguments


@pytest.mark.parametrize("kind", SETTINGS)
def test_the_help_lists_every_setting_with_its_default(kind: Kind) -> None:
    lines = explain_settings(kind).splitlines()
    assert [line.split()[0] for line in lines] == list(SETTINGS[kind].model_fields)
    for line, field in zip(lines, SETTINGS[kind].model_fields.values(), strict=True):
        assert line.endswith("Required." if field.is_required() else f"Default: {json.dumps(field.default)}.")


def test_assignments_that_are_not_understood() -> None:
    with pytest.raises(UserError, match="--set epochs: expected key=value"):
        parse_settings("finetune", ["epochs"])
    with pytest.raises(UserError) as caught:
        parse_settings("finetune", ["epochs=0", "epcohs=3", "rho=x=y"])
    assert len(caught.value.lines) == 3
    assert any(line.startswith("--set epcohs: not a known key") for line in caught.value.lines)
    assert "--set epochs: 0: expected greater than or equal to 1" in caught.value.lines
    with pytest.raises(UserError, match="--set rho: not a known key"):
        parse_settings("tfidf", ["rho=0.1"])


@pytest.mark.parametrize("value", ["[1", "{a: ", '"x', "a: b: c", "@x"])
def test_an_assignment_that_is_not_yaml_is_told_in_words(value: str) -> None:
    with pytest.raises(UserError, match="--set rho="):
        parse_settings("finetune", [f"rho={value}"])
