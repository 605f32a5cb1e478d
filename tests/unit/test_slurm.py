"""What Slurm's commands print is understood. The commands themselves are in tests/slurm."""

import os
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from polysharp.cluster.doctor import Choice, examine
from polysharp.cluster.examination import Examination
from polysharp.cluster.profile import PUBLISHED, ProfileSettings, render_profile
from polysharp.cluster.slurm import parse_gpus, parse_minutes
from polysharp.core.errors import UserError
from tests.conftest import write_command


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("infinite", None), ("UNLIMITED", None), ("30:00", 30), ("1:00:00", 60), ("2-00:00:00", 2880),
        ("1-12", 2160), ("1-12:30", 2190), ("5", 5),
    ],
)  # fmt: skip
def test_limits_of_time(limit: str, expected: int | None) -> None:
    assert parse_minutes(limit) == expected


@given(st.integers(0, 50), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_every_time_is_its_minutes(days: int, hours: int, minute: int, second: int) -> None:
    text = f"{hours:02d}:{minute:02d}:{second:02d}"
    assert parse_minutes(f"{days}-{text}" if days else text) == (days * 24 + hours) * 60 + minute


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
    assert parse_gpus(gres) == expected


def test_a_profile_is_yaml_with_a_comment_above_every_key() -> None:
    whole = ProfileSettings(
        "gpu", "reason", "cpu", "reason", "gpu:a100:1", "reason", "study", "reason", "squeue", "reason",
        30, 8000, 20, 2000, 64000, 20, 4000, "gpus", "long", "a100", 20,
    )  # fmt: skip
    for settings in (PUBLISHED, whole):
        text = render_profile(settings)
        content = yaml.safe_load(text)
        assert content["set-resources"]["finetune"]["gres"] == settings.gres
        assert content["default-resources"]["slurm_partition"] == "cpu"
        lines = [line.strip() for line in text.splitlines()]
        for number, line in enumerate(lines):
            if line and not line.startswith("#") and not line.endswith(":") and line != "executor: slurm":
                assert lines[number - 1].startswith("#") or lines[number - 2].startswith("#"), line
    assert content["slurm-status-command"] == "squeue"
    assert content["slurm-init-seconds-before-status-checks"] == 20
    chosen, of_gpu = content["default-resources"], content["set-resources"]["finetune"]
    assert (chosen["slurm_account"], chosen["qos"]) == ("study", "long")
    assert (of_gpu["qos"], of_gpu["constraint"]) == ("gpus", "a100")


# --- What the doctor makes of a cluster, told by scripts in the place of Slurm's commands ----------


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cluster with two kinds of GPU in one partition, parts of GPUs in another, and no accounting."""
    commands = {
        "sinfo": """cat <<'END'
small*|up|infinite|9|128000|(null)
small*|up|infinite|1|256000|(null)
mixed|up|1-00:00:00|2|256000|gpu:a100:4
mixed|up|1-00:00:00|4|2048000|(null)
mixed|up|1-00:00:00|8|512000|gpu:v100:2
parts|up|1-00:00:00|4|512000|gpu:a100_1g.5gb:28
END""",
        "scontrol": r"""case $2 in
config) printf 'JobRequeue = 1\nPreemptMode = REQUEUE\nMinJobAge = 60 sec\n' ;;
*) echo PartitionName=$4 PreemptMode=CANCEL ;;
esac""",
        "sbatch": """echo $@ >> asked
if [ -e refused ] && grep -qe "$(cat refused)" <<< $@; then echo no >&2; exit 1; fi""",
        "sacct": "exit 1",
        "sacctmgr": "exit 1",
    }
    for name, script in commands.items():
        write_command(tmp_path / "bin", name, script)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(examination: Examination, level: str) -> str:
    return "\n".join(finding.text for finding in examination.findings if finding.level == level)


def test_of_several_kinds_the_one_that_is_there_most_is_asked_for(cluster: Path) -> None:
    examination = examine(Choice(), cluster)
    settings = examination.settings
    assert settings is not None and "wrong" not in {finding.level for finding in examination.findings}
    assert (settings.gpu_partition, settings.gres) == ("mixed", "gpu:v100:1")
    assert (settings.cpu_partition, settings.cpu_node_memory) == ("small", 256000)
    assert settings.gpu_node_memory == 512000  # not that of a node without GPUs
    assert (settings.status_command, settings.first_check) == ("squeue", 20)
    assert "partition mixed are cancelled (PreemptMode=CANCEL)" in said(examination, "look")
    assert "a quota is not taken into account" in said(examination, "ok") + said(examination, "look")


def test_a_large_disk_is_named(cluster: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "large").mkdir()
    monkeypatch.setenv("SCRATCH", str(tmp_path / "large"))
    monkeypatch.setenv("WORK", str(cluster.parent))  # where the study is already
    disks = [line for line in said(examine(Choice(), cluster), "ok").splitlines() if "disk: $" in line]
    assert len(disks) == 1 and "`--directory $SCRATCH/study`" in disks[0]


def test_a_partition_that_refuses_gives_way_to_the_next(cluster: Path) -> None:
    (cluster / "refused").write_text("partition=mixed")
    examination = examine(Choice(qos="long", constraint="fast"), cluster)
    assert examination.settings is not None and examination.settings.gpu_partition == "parts"
    assert "partition mixed: not used: no" in said(examination, "look")
    asked = (cluster / "asked").read_text().splitlines()
    assert all(("--constraint=fast" in line) == ("--gres" in line) for line in asked)
    assert all("--qos=long" in line for line in asked)
    profile = yaml.safe_load(render_profile(examination.settings))
    assert profile["default-resources"]["qos"] == "long"
    assert "constraint" not in profile["default-resources"]
    assert profile["set-resources"]["finetune"]["constraint"] == "fast"


def test_a_quality_of_service_for_gpus_alone_is_not_asked_for_without_them(cluster: Path) -> None:
    (cluster / "refused").write_text("small.*qos")
    examination = examine(Choice(qos="gpus"), cluster)
    assert examination.settings is not None and examination.fits
    profile = yaml.safe_load(render_profile(examination.settings))
    assert "qos" not in profile["default-resources"]
    for rule in ("finetune", "probe"):
        assert profile["set-resources"][rule]["qos"] == "gpus"


def test_where_every_partition_refuses_the_remedy_is_said(cluster: Path) -> None:
    (cluster / "refused").write_text("gres")
    examination = examine(Choice(), cluster)
    assert not examination.fits
    wrong = said(examination, "wrong")
    assert "partition=mixed" in wrong and "partition=parts" in wrong and "--account, --qos" in wrong


def test_a_kind_that_the_executor_cannot_ask_for(cluster: Path) -> None:
    sinfo = cluster / "bin/sinfo"
    sinfo.write_text(sinfo.read_text().replace("v100", "nvidia_a100-sxm4"))
    settings = examine(Choice(), cluster).settings
    assert settings is not None and settings.gres == "gpu:1" and "starts again" in settings.gres_reason
    with pytest.raises(UserError, match="the executor can only request kinds of letters, digits"):
        examine(Choice(gpu_kind="nvidia_a100-sxm4"), cluster)
