# Models and data in the form that training reads. On a cluster these rules run on the login node,
# which has access to the internet.
#
# Inputs:  the models that the configuration names; the files of data sets, or data sets of the hub
# Outputs: models/{model}/, sources/{source}/, results/data/{task}/{language}/{label_type}/


localrules:
    prepare_model,
    fetch_data,
    prepare_data,


# Do not change these paths: Snakemake reruns a rule if the text of its shell command changes.
MODEL_FAILURE = failure_file("models/{wildcards.model}")
SOURCE_FAILURE = failure_file("sources/{wildcards.source}")
DATA_FAILURE = failure_file("data/{wildcards.task}/{wildcards.language}/{wildcards.label_type}")


rule prepare_model:
    output:
        "models/{model}/polysharp.json",
        "models/{model}/model.safetensors",
    log:
        "logs/models/{model}.log",
    priority: 1  # problems show before anything is trained
    retries: 0  # a retry would fail in the same way
    conda:
        "../../envs/training.yaml"
    params:
        name=lambda wildcards: MODELS[wildcards.model].name,
        revision=lambda wildcards: [f"--revision={r}" for r in [MODELS[wildcards.model].revision] if r],
        # The content of a model on the hub is known by its revision; repeating the name changes no params.
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
    priority: 1  # problems show before anything is trained
    retries: 0  # a retry would fail in the same way
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
        "results/data/{task}/{language}/{label_type}/prepared.json",
        "results/data/{task}/{language}/{label_type}/findings.tsv",
        "results/data/{task}/{language}/{label_type}/findings.json",
    log:
        "logs/data/{task}/{language}/{label_type}.log",
    priority: 1  # problems show before anything is trained
    retries: 0  # a retry would fail in the same way
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
        "exec python -P -m polysharp prepare-data --tolerate-refusal {params.source:q} --label-type {wildcards.label_type}"
        " --language {wildcards.language} {params.severities:q} {params.seed:q}"
        " --output results/data/{wildcards.task}/{wildcards.language}/{wildcards.label_type}"
        f" --failure {DATA_FAILURE}"
        " --log {log:q}"
