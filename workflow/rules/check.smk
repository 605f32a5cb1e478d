# Summaries of the data sets and findings of the data check: `snakemake -c2 check`, and part of every run.
#
# Inputs:  results/data/{task}/{language}/{label_type}/, models/{model}/
# Outputs: results/data/{task}/{language}/{label_type}/summary.{tsv,json,png}, results/check.{tsv,json}


localrules:
    summarise_data,
    merge_findings,
    check,


rule summarise_data:
    input:
        data_of,
        lambda wildcards: model_of(wildcards)[0],
    output:
        "results/data/{task}/{language}/{label_type}/summary.tsv",
        "results/data/{task}/{language}/{label_type}/summary.json",
        "results/data/{task}/{language}/{label_type}/summary.png",
    log:
        "logs/data/{task}/{language}/{label_type}/summary.log",
    priority: 1  # problems show before anything is trained
    retries: 0  # a retry would fail in the same way
    conda:
        "../../envs/tables.yaml"
    params:
        model=lambda wildcards: f"models/{model_slug(dataset_of(wildcards).model)}",
        reading=reading_of,
        severities=SEVERITIES,
    shell:
        "exec python -P -m polysharp summarise-data --model {params.model:q} {params.reading:q}"
        " --data results/data/{wildcards.task}/{wildcards.language}/{wildcards.label_type}"
        " --output results/data/{wildcards.task}/{wildcards.language}/{wildcards.label_type}"
        " {params.severities:q} --log {log:q}"


rule merge_findings:
    input:
        [f"results/data/{path}/findings.json" for path in DATASETS],
        [f"results/data/{path}/summary.json" for path in SUMMARISED],
    output:
        "results/check.tsv",
        "results/check.json",  # only made if no data set is missing or refused
    log:
        "logs/merge_findings.log",
    priority: 1  # problems show before anything is trained
    retries: 0  # a retry would fail in the same way
    conda:
        "../../envs/tables.yaml"
    params:
        datasets=[needed(path) for path in DATASETS],
    shell:
        "exec python -P -m polysharp merge-findings --datasets {params.datasets:q} --log {log:q}"


rule check:
    input:
        "results/check.tsv",
        "results/check.json",
