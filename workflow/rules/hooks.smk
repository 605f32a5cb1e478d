# What happens before the first job and after a failure.
#
# Inputs:  Slurm's queue; whatever a run has left
# Outputs: the tables as far as they can be made, results/check.tsv, results/failures.tsv


def held_locks():
    """Return the lock files that this run holds. Snakemake has no public API for them."""
    return [Path(lock) for lock in getattr(workflow.persistence, "_lockfile", {}).values()]


def alone(target):
    """Return whether this is the only target, so that nothing is trained."""
    return set(workflow.dag_settings.targets) == {target}


# A run that is killed leaves its lock, which a later run removes if it knows whose it was. It may also have
# left jobs in the queue, which this run would submit a second time.
onstart:
    if not alone("partial"):
        driver.start(driver.process_here(), held_locks())
        write_jobs(MATRIX, Paths())
        write_forecast(MATRIX, STUDY.selection_metric, Paths())
        # Reasons of an earlier run: they may have been fixed since; what is still wrong is reported again.
        for step in ("models", "sources"):
            remove_failures(step)
        stop_submitting_on(signal.SIGTERM)
        settings = workflow.executor_settings  # not known yet while this file is read
        prefix = getattr(settings, "jobname_prefix", None) or "polysharp"
        local = [] if hasattr(settings, "jobname_prefix") else ["--local"]
        shell(
            "python -P -m polysharp cancel-orphans --prefix {prefix:q} {local:q} --log logs/cancel_orphans.log"
        )
        for line in read_log(Path("logs/cancel_orphans.log")):
            logger.warning(line)


onsuccess:
    driver.end(driver.process_here())
    if alone("check"):
        warnings = read_log(Path("results/check.tsv"))[1:]  # below the names of the columns
        advice = "look through the warnings first" if warnings else "there are no warnings"
        LINES.say_last(
            [f"All data sets can be trained on; {advice}: {Path('results/check.tsv').resolve()}"]
        )
    elif alone("partial") or not workflow.dag_settings.targets:
        LINES.say_last(
            [
                f"The report: {Path('results/report.html').resolve()}",
                f"The merged classification reports: {Path('results/report.tsv').resolve()}",
            ]
        )


# If cells failed, the tables are made from what is complete, and show the failed cells. There is no manifest
# then, so that merge_reports runs again as soon as every cell is complete.
onerror:
    cancel_what_is_left()
    datasets = [needed(path) for path in DATASETS]
    shell(
        "python -P -m polysharp merge-findings --datasets {datasets:q} --log logs/merge_findings.log"
        " || true"
    )
    LINES.say_last(read_log(Path("logs/merge_findings.log")))
    if not alone("check"):
        shell(
            "python -P -m polysharp merge-reports {STUDY_ARGUMENTS:q} --partial --log logs/merge_reports.log"
        )
        LINES.say_last(read_log(Path("logs/merge_reports.log")))
        shell(
            "python -P -m polysharp build-report {STUDY_ARGUMENTS:q} --output results/report.html"
            " --log logs/build_report.log"
        )
        shell(
            "python -P -m polysharp draw-figures --figures {FIGURES} --results results --log logs/draw_figures.log"
        )
    driver.end(driver.process_here())
