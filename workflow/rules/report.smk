# The tables that people read, and their picture.
#
# Inputs:  results/runs/, results/data/
# Outputs: results/report.html, report.tsv, comparison.{tsv,parquet,tex,png}, averages.tsv, confusions.tsv, curves.tsv,
#          runs.tsv, costs.tsv, manifest.json


localrules:
    merge_reports,
    partial,
    plot_comparison,
    build_report,


rule merge_reports:
    input:
        [path for dataset in MATRIX.datasets for path in prepared(dataset)],
        TRAINED.values(),
    output:
        report(TABLES["report"], caption="../report/report.rst", category="Tables"),
        report(TABLES["comparison"], caption="../report/comparison.rst", category="Tables"),
        report(TABLES["averages"], caption="../report/averages.rst", category="Tables"),
        [path for name, path in TABLES.items() if name not in ("report", "comparison", "averages")],
        "results/comparison.parquet",
        "results/comparison.tex",
        "results/manifest.json",
    log:
        "logs/merge_reports.log",
    conda:
        "../../envs/tables.yaml"
    params:
        # A function, as braces in a text prefix are no wildcards.
        study=lambda wildcards: STUDY_ARGUMENTS,
    shell:
        'exec python "$POLYSHARP_SCRIPTS/merge_reports.py" {params.study:q} --log {log:q}'


# All tables and the report from what is finished, while the rest is at work: `snakemake -c1 partial`.
rule partial:
    log:
        "logs/partial.log",
    conda:
        "../../envs/tables.yaml"
    params:
        study=lambda wildcards: STUDY_ARGUMENTS,
    shell:
        'python "$POLYSHARP_SCRIPTS/merge_reports.py" {params.study:q} --log {log:q} && '
        'exec python "$POLYSHARP_SCRIPTS/build_report.py" {params.study:q} --output results/report.html'


rule plot_comparison:
    input:
        TABLES["comparison"],
    output:
        report("results/comparison.png", caption="../report/figure.rst", category="Figures"),
    log:
        "logs/plot_comparison.log",
    conda:
        "../../envs/tables.yaml"
    shell:
        'exec python "$POLYSHARP_SCRIPTS/plot_comparison.py" --table {input:q} --output {output:q} --log {log:q}'


rule build_report:
    input:
        TABLES.values(),
        "results/check.tsv",
        [f"results/best/{path}/thresholds.json" for path in PUBLISHED],
    output:
        "results/report.html",
    log:
        "logs/build_report.log",
    conda:
        "../../envs/tables.yaml"
    params:
        study=lambda wildcards: STUDY_ARGUMENTS,
    shell:
        'exec python "$POLYSHARP_SCRIPTS/build_report.py" {params.study:q} --output {output:q} --log {log:q}'
