# Models and data in the one form that training reads. On a cluster these run on the login node,
# which is where the internet is.
#
# Inputs:  what the configuration names a model; the files of a data set, or what the hub has of it
# Outputs: models/{model}/, sources/{source}/, results/data/{task}/{language}/{label_type}/


localrules:
    prepare_model,
    fetch_data,
    prepare_data,


# The text of a shell command decides whether Snakemake runs a rule again: these paths stay as they are.
MODEL_FAILURE = failure_file("models/{wildcards.model}")
SOURCE_FAILURE = failure_file("sources/{wildcards.source}")
DATA_FAILURE = failure_file("data/{wildcards.task}/{wildcards.language}/{wildcards.label_type}")


rule prepare_model:
    output:
        "models/{model}/polysharp.json",
        "models/{model}/model.safetensors",
    log:
        "logs/models/{model}.log",
    priority: 1  # what is wrong shows before anything is trained
    retries: 0  # a mistake stays one
    conda:
        "../../envs/training.yaml"
    params:
        name=lambda wildcards: MODELS[wildcards.model].name,
        revision=lambda wildcards: [f"--revision={r}" for r in [MODELS[wildcards.model].revision] if r],
        # Of the hub's models the revision says what they hold; the name again is no other param than before.
        content=lambda wildcards: CONTENTS.get(f"models/{wildcards.model}", MODELS[wildcards.model].name),
    shell:
        "exec python -P -m polysharp prepare-model --name {params.name:q} {params.revision:q}"
        " --output models/{wildcards.model}"
        f" --failure {MODEL_FAILURE}"
        " --log {log:q}"


rule fetch_data:
    output:
        "sources/{source}/fetched.json",
    log:
        "logs/sources/{source}.log",
    priority: 1  # what is wrong shows before anything is trained
    retries: 0  # a mistake stays one
    conda:
        "../../envs/tables.yaml"
    params:
        source=lambda wildcards: str(FETCHED[wildcards.source]),
    shell:
        "exec python -P -m polysharp fetch-data --source {params.source:q}"
        " --output sources/{wildcards.source}"
        f" --failure {SOURCE_FAILURE}"
        " --log {log:q}"


rule prepare_data:
    input:
        files_of,
    output:
        "results/data/{task}/{language}/{label_type}/examples.parquet",
        "results/data/{task}/{language}/{label_type}/labels.json",
        "results/data/{task}/{language}/{label_type}/findings.tsv",
        "results/data/{task}/{language}/{label_type}/findings.json",
    log:
        "logs/data/{task}/{language}/{label_type}.log",
    priority: 1  # what is wrong shows before anything is trained
    retries: 0  # a mistake stays one
    conda:
        "../../envs/tables.yaml"
    params:
        source=lambda wildcards: dataset_of(wildcards).source.as_arguments(),
        content=content_of_data,
        severities=SEVERITIES,
        seed=lambda wildcards: (
            [f"--split-seed={STUDY.split_seed}"] if dataset_of(wildcards).source.shares else []
        ),
    shell:
        "exec python -P -m polysharp prepare-data {params.source:q} --label-type {wildcards.label_type}"
        " --language {wildcards.language} {params.severities:q} {params.seed:q}"
        " --output results/data/{wildcards.task}/{wildcards.language}/{wildcards.label_type}"
        f" --failure {DATA_FAILURE}"
        " --log {log:q}"
