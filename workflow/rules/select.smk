# The best classifier of every data set, by validation.
#
# Inputs:  results/runs/ and results/data/{task}/{language}/{label_type}/, work/runs/.../checkpoint
# Outputs: results/best/{task}/{language}/{label_type}/


localrules:
    select_best,


rule select_best:
    input:
        data=data_of,
        summary="results/data/{task}/{language}/{label_type}/summary.json",  # not there if data are refused
        reports=lambda wildcards: [
            output
            for job, output in TRAINED.items()
            if any(cell.has_checkpoint and cell.dataset == dataset_of(wildcards) for cell in job.cells)
        ],
    output:
        expand(
            "results/best/{{task}}/{{language}}/{{label_type}}/{name}",
            name=["README.md", "config.json", "model.safetensors", "thresholds.json", "tokenizer.json"],
        ),
    log:
        "logs/best/{task}/{language}/{label_type}.log",
    conda:
        "../../envs/tables.yaml"
    params:
        cells=lambda wildcards: [
            cell.path for cell in MATRIX.of(dataset_of(wildcards)) if cell.has_checkpoint
        ],
        dataset=lambda wildcards: dataset_of(wildcards).path,
        metric=STUDY.selection_metric,
        bootstrap=STUDY.report.bootstrap,
    shell:
        "exec python -P -m polysharp select-best --cells {params.cells} --metric {params.metric}"
        " --bootstrap {params.bootstrap} --output results/best/{params.dataset} --log {log:q}"
