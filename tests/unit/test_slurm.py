"""What Slurm's commands print is understood. The commands themselves are in tests/slurm."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from polysharp.doctor import PUBLISHED, Settings, render
from polysharp.slurm import gpus, minutes


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("infinite", None), ("UNLIMITED", None), ("30:00", 30), ("1:00:00", 60), ("2-00:00:00", 2880),
        ("1-12", 2160), ("1-12:30", 2190), ("5", 5),
    ],
)  # fmt: skip
def test_limits_of_time(limit: str, expected: int | None) -> None:
    assert minutes(limit) == expected


@given(st.integers(0, 50), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_every_time_is_its_minutes(days: int, hours: int, minute: int, second: int) -> None:
    text = f"{hours:02d}:{minute:02d}:{second:02d}"
    assert minutes(f"{days}-{text}" if days else text) == (days * 24 + hours) * 60 + minute


@pytest.mark.parametrize(
    ("gres", "expected"),
    [
        ("(null)", {}),
        ("gpu:4", {"": 4}),
        ("gpu:a100:2", {"a100": 2}),
        ("gpu:a100:2(S:0-1),gpu:v100:8(S:0,1)", {"a100": 2, "v100": 8}),
        ("license:1,gpu:nvidia_h100:4,nvme:2", {"nvidia_h100": 4}),
        ("gpu:4(S:0-1)", {"": 4}),
        ("craynetwork:4", {}),
    ],
)
def test_gpus_of_a_node(gres: str, expected: dict[str, int]) -> None:
    assert gpus(gres) == expected


def test_a_profile_is_yaml_with_a_comment_above_every_key() -> None:
    whole = Settings(
        "gpu", "reason", "cpu", "reason", "gpu:a100:1", "reason", "study", "reason", "squeue", "reason",
        30, 8000, 20, 2000, 45, 64000, 20, 4000,
    )  # fmt: skip
    for settings in (PUBLISHED, whole):
        text = render(settings)
        content = yaml.safe_load(text)
        assert content["set-resources"]["finetune"]["gres"] == settings.gres
        assert content["default-resources"]["slurm_partition"] == "cpu"
        lines = [line.strip() for line in text.splitlines()]
        for number, line in enumerate(lines):
            if line and not line.startswith("#") and not line.endswith(":") and line != "executor: slurm":
                assert lines[number - 1].startswith("#") or lines[number - 2].startswith("#"), line
    assert content["slurm-status-command"] == "squeue"
    assert content["set-resources"]["finetune"]["runtime"] == 45
    assert content["default-resources"]["slurm_account"] == "study"
