# The tables that people read, and their picture.
#
# Inputs:  results/runs/, results/data/
# Outputs: results/report.tsv, comparison.tsv, runs.tsv, costs.tsv, manifest.json, comparison.png


localrules:
    merge_reports,
    plot_comparison,


rule merge_reports:
    input:
        [path for dataset in MATRIX.datasets for path in prepared(dataset)],
        TRAINED.values(),
    output:
        report(TABLES[0], caption="../report/report.rst", category="Tables"),
        report(TABLES[1], caption="../report/comparison.rst", category="Tables"),
        TABLES[2:],
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


rule plot_comparison:
    input:
        TABLES[1],
    output:
        report("results/comparison.png", caption="../report/figure.rst", category="Figures"),
    log:
        "logs/plot_comparison.log",
    conda:
        "../../envs/tables.yaml"
    shell:
        'exec python "$POLYSHARP_SCRIPTS/plot_comparison.py" --table {input:q} --output {output:q} --log {log:q}'
