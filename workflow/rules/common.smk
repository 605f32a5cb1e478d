# Shared by all files of rules. Here are the library, the checked configuration and the matrix of cells.
#
# Inputs:  config/config.yaml (or --configfile), the sample sheet it names
# Defines: LINES, STUDY, MATRIX, CONTENTS, JOBS, TRAINED, DATASETS, MODELS, FETCHED, PUBLISHED, FIGURES, TABLES, SEVERITIES, SUMMARISED, failure_file, remove_failures, job_of, dataset_of, prepared, needed
import atexit
import os
import shlex
import signal
import sys
from pathlib import Path
from shutil import which

WORKFLOW = Path(str(workflow.current_basedir)).parent

# Jobs inherit these. The library is found without installation, and `python` is the one that runs
# Snakemake, unless a conda environment or a container has its own. Rules call it with -P, so that a
# study's own files, such as random.py, are not imported. If there is Slurm, sbatch, squeue and similar
# commands are those of workflow/slurm, which wait when Slurm does not answer.
sys.path.insert(0, str(WORKFLOW))
FIRST = [str(Path(sys.executable).parent), *([str(WORKFLOW / "slurm")] if which("sbatch") else [])]
os.environ.update(
    PATH=os.pathsep.join([*FIRST, *os.get_exec_path()]),
    PYTHONPATH=os.pathsep.join(filter(None, [str(WORKFLOW), os.environ.get("PYTHONPATH")])),
    # For workflows that call $POLYSHARP_SCRIPTS/cancel_orphans.py; to be removed in release 0.2.
    POLYSHARP_SCRIPTS=str(WORKFLOW / "scripts"),
    TOKENIZERS_PARALLELISM="false",
    TQDM_DISABLE="1",  # progress bars of several processes would garble each other and Snakemake's
)

from polysharp.core import columns
from polysharp.cluster import driver, locks
from polysharp.core.errors import UserError
from polysharp.core.failure_file import failure_file, remove_failures
from polysharp.config.contents import older_results, study_contents
from polysharp.config.study import load_study, predictions_of
from polysharp.core.paths import PREPARED, Paths
from polysharp.results.forecast import write_forecast
from polysharp.results.packing import arrange_jobs, write_jobs
from polysharp.results.removed import notice_removed
from polysharp.cluster.terminal import ProgressLines, read_log
from polysharp.cluster.wrappers import cancel_what_is_left
from polysharp.cluster.driver_files import end_in_order_on_hangup, register_driver, stop_submitting_on
from polysharp.config.slugs import hub_slug, model_slug

# Jobs on Slurm, and some local ones, run Snakemake again, which reads this file, too: they are not drivers.
if workflow.is_main_process:
    try:
        register_driver()
    except OSError as error:
        sys.exit(f"work: {error.strerror}; expected a folder that can be written")
    stop_submitting_on(signal.SIGINT)  # SIGTERM follows in hooks.smk: Snakemake sets its handler later
    end_in_order_on_hangup(lambda: workflow.local_exec)
    LINES = ProgressLines(logger, hides_logs="rich" in workflow.output_settings.log_handler_settings)
    # Snakemake checks the locks later, when it knows the jobs.
    for run in locks.remove_stale():
        print(f"The lock of an earlier run, {run}, which has ended, is removed.", file=sys.stderr)
    if "--unlock" not in sys.argv:
        for line in locks.who_holds():
            print(line, file=sys.stderr)
        atexit.register(locks.put_back, Path.cwd())  # by then Snakemake has left the study's folder


def slots(threads):
    """Return how many jobs run at the same time on this machine; None on a cluster."""
    resources = workflow.resource_settings
    return None if resources.nodes else max(1, (resources.cores or 1) // threads)


# A file given by --configfile replaces the example: merging would mix the methods of both.
# Relative paths are looked for in the folder where Snakemake runs, then in the one that has this workflow.
BASES = [Path(), WORKFLOW.parent]
EXAMPLE = next(path for base in BASES if (path := base / "config" / "config.yaml").is_file())
if not workflow.configfiles:
    if workflow.is_main_process and not config and EXAMPLE.is_absolute():
        print("Without --configfile this is the embedded example:", EXAMPLE, file=sys.stderr)

    configfile: str(EXAMPLE)


try:
    STUDY, MATRIX = load_study(config, BASES, workflow.configfiles, workflow.config_settings.config)
    MATRIX = arrange_jobs(MATRIX, STUDY, Paths(), workflow.is_main_process, slots(STUDY.threads))
    if workflow.is_main_process:
        notice_removed(MATRIX, Paths())
    # The content of files is a param of the rules that read them: Snakemake itself compares only times, and
    # knows no files of models. Jobs use the values found here, so that they decide as the driver does.
    CONTENTS = study_contents(MATRIX, look=workflow.is_main_process)
except UserError as error:  # one line for each mistake, without lines of this file
    sys.exit("\n".join(["The configuration cannot be used:", *error.lines]))

# If .snakemake was removed, it is not known whether results were made from the files as they are now, and
# Snakemake would consider the study complete.
if workflow.is_main_process and not {"--forcerun", "-R", "--touch", "-t", "--unlock"} & set(sys.argv):
    if older := older_results(MATRIX):
        sys.exit(
            "These results are older than the files they are made from, and Snakemake's records of them (.snakemake)"
            " are gone:\n"
            + "\n".join(older)
            + "\nTo make them again, run the same command with this at its end:"
            f"\n  --forcerun {shlex.join(older)}\nor, if the files have not changed:"
            f"\n  --touch --forcerun {shlex.join(older)}"
        )

# Not params of a rule: they do not affect the results of a cell, so nothing has to run again.
os.environ.update(
    POLYSHARP_SNAPSHOT_SECONDS=str(STUDY.snapshot_seconds),
    POLYSHARP_SEEDS=" ".join(map(str, STUDY.seeds)),
)
JOBS = {job.path: job for job in MATRIX.jobs}
TRAINED = {job: f"results/runs/{job.output}" for job in MATRIX.jobs}
DATASETS = {dataset.path: dataset for dataset in MATRIX.datasets}
MODELS = {model_slug(dataset.model): dataset.model for dataset in MATRIX.datasets}
FETCHED = {hub_slug(dataset.hub): dataset.hub for dataset in MATRIX.datasets if dataset.hub}
PUBLISHED = sorted({cell.dataset.path for cell in MATRIX.cells if cell.has_checkpoint})
FIGURES = ["comparison", *(["curves"] if PUBLISHED else [])]  # tables that are also drawn
TABLES = {table.file.removesuffix(".tsv"): f"results/{table.file}" for table in columns.TABLES}
SEVERITIES = [f"--severity={check}={severity}" for check, severity in STUDY.checks.items()]
# Without a method that has a model, tokens cannot be counted.
SUMMARISED = sorted({cell.dataset.path for cell in MATRIX.cells if cell.has_model})
# What the tables depend on, as arguments of the commands that use the whole study.
STUDY_ARGUMENTS = ["--config", STUDY.model_dump_json(), *(f"--base={base}" for base in BASES)]


def one_of(names):
    """Return a pattern that matches the names and nothing else."""
    return "|".join(sorted(set(names))) or "(?!)"


def methods_of(kind):
    """Return a pattern that matches the methods of a kind."""
    return one_of(cell.method for cell in MATRIX.cells if cell.kind == kind)


wildcard_constraints:
    task=one_of(dataset.task for dataset in MATRIX.datasets),
    language=one_of(dataset.language for dataset in MATRIX.datasets),
    label_type="single|multi",
    seed=r"\d+",
    model=one_of(MODELS),
    source=one_of(FETCHED),


def dataset_of(wildcards):
    """Return the data set of a job."""
    return DATASETS[f"{wildcards.task}/{wildcards.language}/{wildcards.label_type}"]


def job_of(wildcards):
    """Return the job that is named after a cell, which may have further ones."""
    return JOBS[f"{dataset_of(wildcards).path}/{wildcards.method}/seed-{wildcards.seed}"]


def files_of(wildcards):
    """Return the files of a data set, whose content matters, not their times; or the record of a download."""
    dataset = dataset_of(wildcards)
    return dataset.inputs if dataset.hub else ancient(dataset.inputs)


def content_of_data(wildcards):
    """Return the SHA-256 of the files of a data set; for one on the hub, its source, as before."""
    dataset = dataset_of(wildcards)
    return CONTENTS.get(f"data/{dataset.path}", dataset.source.as_arguments())


def outside_of(wildcards):
    """Return the file of predictions that an outside method reads."""
    return predictions_of(job_of(wildcards).cells[0])


def settings_of(wildcards):
    """Return the settings of a job's method, as arguments of the commands."""
    return job_of(wildcards).cells[0].settings


def cells_of(wildcards):
    """Return the paths of a job's cells."""
    return [cell.path for cell in job_of(wildcards).cells]


def soups_of(wildcards):
    """Return the sums that need the weights of a job's cells, as arguments of the command."""
    first = job_of(wildcards).cells[0]
    soups = [soup for soup in MATRIX.of(first.dataset) if first.path in soup.averaged]
    sums = [str(Paths().weight_sum(soup.path.replace(soup.dataset.path, "{dataset}", 1))) for soup in soups]
    return ["--soups", *sums] if sums else []


def averaged_jobs_of(wildcards):
    """Return the outputs of the jobs that train the cells that a soup averages."""
    averaged = set(job_of(wildcards).cells[0].averaged)
    return [output for job, output in TRAINED.items() if averaged & {cell.path for cell in job.cells}]


def prepared(dataset):
    """Return what says that a data set is prepared, or refused. Training depends on it, and not on the texts:
    a refused data set does not hold back the others of a job."""
    return str(Paths().data(dataset.path) / PREPARED)


def needed(path):
    """Return a data set's path and the folders in work/ of what it needs, as an argument of the commands."""
    dataset = DATASETS[path]
    folders = [f"sources/{hub_slug(dataset.hub)}"] if dataset.hub else []
    folders += [f"models/{model_slug(dataset.model)}"] if path in SUMMARISED else []
    return f"{path}={','.join(folders)}"


def data_of_job(wildcards):
    """Return what says that the data sets of a job's cells are prepared."""
    return [*map(prepared, dict.fromkeys(cell.dataset for cell in job_of(wildcards).cells))]


def data_of(wildcards):
    """Return what says that a job's data set is prepared."""
    return [prepared(dataset_of(wildcards))]


def model_of(wildcards):
    """Return the prepared files of a job's model."""
    folder = f"models/{model_slug(dataset_of(wildcards).model)}"
    return [f"{folder}/polysharp.json", f"{folder}/model.safetensors"]


def reading_of(wildcards):
    """Return how a job's texts are given to its model, as arguments of the commands."""
    model = dataset_of(wildcards).model
    return [f"--text-prefix={model.text_prefix}", f"--max-length={model.max_length}"]
