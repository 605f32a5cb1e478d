"""The workflow as a module of another one."""

from pathlib import Path

import yaml

from tests.integration.study import ROOT, Study

SNAKEFILE = """
configfile: "config/everything.yaml"

module polysharp:
    snakefile: {snakefile!r}
    config: config["classification"]

use rule * from polysharp

onstart:
    shell('python "$POLYSHARP_SCRIPTS/cancel_orphans.py"')

rule words:
    default_target: True
    input: "results/report.tsv"
    output: "lines.txt"
    shell: "wc -l < {{input}} > {{output}}"
"""


def test_another_workflow_takes_the_tables_on(tmp_path: Path) -> None:
    study = Study.write(
        tmp_path / "another",
        [("english", "single")],
        seeds=[1],
        methods={"tfidf": None},
        report={"bootstrap": 200},
    )
    (study.folder / "random.py").write_text("raise SystemExit('a file of the study is no module')")
    whole = study.folder / "config/config.yaml"
    content = {"classification": yaml.safe_load(whole.read_text()), "pages": 3}
    whole.unlink()
    (study.folder / "config/everything.yaml").write_text(yaml.safe_dump(content))
    snakefile = study.folder / "Snakefile"
    snakefile.write_text(SNAKEFILE.format(snakefile=str(ROOT / "Snakefile")))
    study.completed("-c2", snakefile=snakefile)
    assert (study.folder / "lines.txt").read_text().strip() == str(len(study.table("report.tsv")) + 1)

    content["classification"]["methods"] = {"tfidff": None}
    (study.folder / "config/everything.yaml").write_text(yaml.safe_dump(content))
    wrong = study.run("-n", snakefile=snakefile)
    assert wrong.returncode != 0
    assert "methods.tfidff: not a known method" in wrong.stderr and "did you mean 'tfidf'" in wrong.stderr
    assert "Traceback" not in wrong.stderr
