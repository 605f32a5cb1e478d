# Cells: a data set, a method, a seed. A job of fine-tuning, probe or tfidf may train several, one after the
# other: it has the name of the first. A method from outside trains nothing: its predictions are read.
#
# Inputs:  results/data/{task}/{language}/{label_type}/, models/{model}/
# Outputs: results/runs/{task}/{language}/{label_type}/{method}/seed-{seed}/
# Also:    work/runs/.../checkpoint and snapshots, which a failed job must not lose: they are not declared as
#          outputs, as Snakemake deletes those of a failed job. For the same reason a job that may have
#          several cells declares a receipt instead of results: one cell may fail.


localrules:
    outside,


CELL = "{task}/{language}/{label_type}/{method}/seed-{seed}"
FAILURE = failure_file("runs/{params.cell}")
# In the folders of a command with --cells, {cell} stands for the cell and {dataset} for its data set.
CELLS = (
    " --cells {params.cells} --data 'results/data/{{dataset}}' --output 'results/runs/{{cell}}'"
    f" --receipt {{output.receipt:q}} --failure '{failure_file('runs/{{cell}}')}'"
)
RUN_FILES = expand(
    "results/runs/{cell}/{name}",
    cell=CELL,
    name=["report.json", "predictions.parquet", "history.jsonl", "costs.json"],
)


rule finetune:
    input:
        data=data_of_job,
        model=model_of,
    output:
        receipt=f"results/runs/{CELL}/job.json",
    log:
        f"logs/runs/{CELL}.log",
    benchmark:
        f"benchmarks/runs/{CELL}.tsv"
    wildcard_constraints:
        method=methods_of("finetune"),
    conda:
        "../../envs/training.yaml"
    threads: STUDY.threads
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: job_of(wildcards).minutes * attempt,
    params:
        cells=cells_of,
        soups=soups_of,
        settings=settings_of,
        metric=STUDY.selection_metric,
        reading=reading_of,
        pooling=lambda wildcards: dataset_of(wildcards).model.pooling,
        torch_threads=STUDY.threads,
    shell:
        "export HF_HUB_OFFLINE=1; "
        "exec python -P -m polysharp train --model $(dirname {input.model[0]:q})"
        f"{CELLS} --work 'work/runs/{{{{cell}}}}'"
        " --study-seeds $POLYSHARP_SEEDS --metric {params.metric} --threads {params.torch_threads}"
        " --pooling {params.pooling} {params.reading:q} --set {params.settings:q} {params.soups:q}"
        " --snapshot-seconds $POLYSHARP_SNAPSHOT_SECONDS --log {log:q}"


# One classifier with the mean of the weights of all seeds of a method. It runs as soon as they are trained,
# because until then the classifiers of all seeds are kept.
rule soup:
    input:
        data=data_of,
        model=model_of,
        trainings=averaged_jobs_of,
    output:
        RUN_FILES,
    log:
        f"logs/runs/{CELL}.log",
    benchmark:
        f"benchmarks/runs/{CELL}.tsv"
    wildcard_constraints:
        method=methods_of("soup"),
    priority: 1
    conda:
        "../../envs/training.yaml"
    threads: STUDY.threads
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        cell=lambda wildcards: job_of(wildcards).path,
        averaged=lambda wildcards: job_of(wildcards).cells[0].averaged,
        metric=STUDY.selection_metric,
        reading=reading_of,
        torch_threads=STUDY.threads,
    shell:
        "export HF_HUB_OFFLINE=1; "
        "exec python -P -m polysharp average-seeds --cell {params.cell} --of {params.averaged}"
        " --model $(dirname {input.model[0]:q}) --metric {params.metric} --threads {params.torch_threads}"
        " {params.reading:q}"
        f" --failure {FAILURE}"
        " --log {log:q}"


rule probe:
    input:
        data=data_of_job,
        model=model_of,
    output:
        receipt=f"results/runs/{CELL}/job.json",
    log:
        f"logs/runs/{CELL}.log",
    benchmark:
        f"benchmarks/runs/{CELL}.tsv"
    wildcard_constraints:
        method=methods_of("probe"),
    conda:
        "../../envs/training.yaml"
    threads: STUDY.threads
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        cells=cells_of,
        settings=settings_of,
        metric=STUDY.selection_metric,
        reading=reading_of,
        torch_threads=STUDY.threads,
    shell:
        "export HF_HUB_OFFLINE=1; "
        "exec python -P -m polysharp train-probe --model $(dirname {input.model[0]:q})"
        f"{CELLS}"
        " --metric {params.metric} --threads {params.torch_threads} {params.reading:q} --set {params.settings:q}"
        " --log {log:q}"


rule tfidf:
    input:
        data=data_of_job,
    output:
        receipt=f"results/runs/{CELL}/job.json",
    log:
        f"logs/runs/{CELL}.log",
    benchmark:
        f"benchmarks/runs/{CELL}.tsv"
    wildcard_constraints:
        method=methods_of("tfidf"),
    conda:
        "../../envs/tables.yaml"
    threads: STUDY.threads
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        cells=cells_of,
        settings=settings_of,
        metric=STUDY.selection_metric,
        kernel_threads=STUDY.threads,
    shell:
        "exec python -P -m polysharp train-tfidf"
        f"{CELLS}"
        " --metric {params.metric} --threads {params.kernel_threads} --set {params.settings:q} --log {log:q}"


rule outside:
    input:
        data=data_of,
        predictions=lambda wildcards: ancient(outside_of(wildcards)),
    output:
        RUN_FILES,
    log:
        f"logs/runs/{CELL}.log",
    wildcard_constraints:
        method=methods_of("outside"),
    retries: 0  # a retry would fail in the same way
    conda:
        "../../envs/tables.yaml"
    params:
        cell=lambda wildcards: job_of(wildcards).path,
        settings=settings_of,
        metric=STUDY.selection_metric,
        content=lambda wildcards: CONTENTS[f"outside/{outside_of(wildcards)}"],
    shell:
        "exec python -P -m polysharp read-predictions --data $(dirname {input.data[0]:q})"
        " --task {wildcards.task} --language {wildcards.language} --metric {params.metric}"
        " --set {params.settings:q} --output results/runs/{params.cell}"
        f" --failure {FAILURE}"
        " --log {log:q}"
