# What happens before the first job and after a failure.
#
# Inputs:  Slurm's queue; whatever a run has left
# Outputs: the tables as far as they can be made, results/failures.tsv


PREFIX = getattr(workflow.executor_settings, "jobname_prefix", None) or "polysharp"


# A run that was killed may have left jobs in the queue, which this one would submit a second time.
onstart:
    submit_nothing_after(signal.SIGTERM)
    shell('python "$POLYSHARP_SCRIPTS/cancel_orphans.py" --prefix {PREFIX:q}')


onsuccess:
    driver.end(os.getpid())


# When cells failed, the tables are brought up to date from what there is, the failed ones shown. They
# come without a manifest, which makes merge_reports run again as soon as every cell is there.
onerror:
    cancel_what_is_left()
    driver.end(os.getpid())
    shell('python "$POLYSHARP_SCRIPTS/merge_reports.py" {STUDY_ARGUMENTS:q} --log logs/merge_reports.log')
