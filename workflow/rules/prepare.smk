# Models and data in the one form that training reads. On a cluster these run on the login node,
# which is where the internet is.
#
# Inputs:  what the configuration names a model; the JSON files of a data set
# Outputs: models/{model}/, results/data/{task}/{language}/{label_type}/


localrules:
    prepare_model,
    prepare_data,


rule prepare_model:
    output:
        "models/{model}/polysharp.json",
        "models/{model}/model.safetensors",
    log:
        "logs/models/{model}.log",
    priority: 1  # what is wrong shows before anything is trained
    conda:
        "../../envs/training.yaml"
    params:
        name=lambda wildcards: MODELS[wildcards.model].name,
        revision=lambda wildcards: [f"--revision={r}" for r in [MODELS[wildcards.model].revision] if r],
    shell:
        'exec python "$POLYSHARP_SCRIPTS/prepare_model.py" --name {params.name:q} {params.revision:q}'
        " --output models/{wildcards.model} --failure work/models/{wildcards.model}/failure.json"
        " --log {log:q}"


rule prepare_data:
    input:
        lambda wildcards: [
            path
            for split in dataset_of(wildcards).splits
            if (path := Path(dataset_of(wildcards).source) / f"{split}.json").exists()
        ],
    output:
        "results/data/{task}/{language}/{label_type}/examples.parquet",
        "results/data/{task}/{language}/{label_type}/labels.json",
        "results/data/{task}/{language}/{label_type}/findings.tsv",
    log:
        "logs/data/{task}/{language}/{label_type}.log",
    priority: 1  # what is wrong shows before anything is trained
    conda:
        "../../envs/tables.yaml"
    params:
        source=lambda wildcards: dataset_of(wildcards).source,
        columns=lambda wildcards: dataset_of(wildcards).columns,
        splits=lambda wildcards: dataset_of(wildcards).splits,
    shell:
        'exec python "$POLYSHARP_SCRIPTS/prepare_data.py" --source {params.source:q} --label-type {wildcards.label_type}'
        " --columns {params.columns:q} --splits {params.splits:q}"
        " --output results/data/{wildcards.task}/{wildcards.language}/{wildcards.label_type}"
        " --failure work/data/{wildcards.task}/{wildcards.language}/{wildcards.label_type}/failure.json"
        " --log {log:q}"
