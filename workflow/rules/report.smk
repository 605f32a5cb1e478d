# Tables, figures and the report.
#
# Inputs:  results/runs/, results/data/
# Outputs: results/report.html, report.tsv, comparison.{tsv,parquet,tex,png,pdf}, averages.tsv, confusions.tsv,
#          curves.{tsv,png,pdf}, runs.tsv, costs.tsv, manifest.json


localrules:
    merge_reports,
    partial,
    draw_figures,
    build_report,


rule merge_reports:
    input:
        "results/check.json",  # not there if a data set is refused
        [prepared(dataset) for dataset in MATRIX.datasets],
        TRAINED.values(),
    output:
        TABLES.values(),
        "results/comparison.parquet",
        "results/comparison.tex",
        "results/manifest.json",
    log:
        "logs/merge_reports.log",
    conda:
        "../../envs/tables.yaml"
    params:
        # A function, so that braces in a text prefix are not taken for wildcards.
        study=lambda wildcards: STUDY_ARGUMENTS,
        # So that the tables are made again when a published score changes.
        published=lambda wildcards: [str(score) for score in MATRIX.published],
    shell:
        "exec python -P -m polysharp merge-reports {params.study:q} --log {log:q}"


# All tables, figures and the report from what is complete, while the rest is running: `snakemake -c1 partial`.
rule partial:
    log:
        "logs/partial.log",
    conda:
        "../../envs/tables.yaml"
    params:
        study=lambda wildcards: STUDY_ARGUMENTS,
        figures=FIGURES,
    shell:
        "python -P -m polysharp merge-reports {params.study:q} --partial --at-work --log {log:q} && "
        "python -P -m polysharp draw-figures --figures {params.figures} --results results && "
        "exec python -P -m polysharp build-report {params.study:q} --output results/report.html"


rule draw_figures:
    input:
        [TABLES[name] for name in FIGURES],
    output:
        expand("results/{name}.{format}", name=FIGURES, format=["png", "pdf"]),
    log:
        "logs/draw_figures.log",
    conda:
        "../../envs/tables.yaml"
    params:
        figures=FIGURES,
    shell:
        "exec python -P -m polysharp draw-figures --figures {params.figures} --results results --log {log:q}"


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
        "exec python -P -m polysharp build-report {params.study:q} --output {output:q} --log {log:q}"
