$command &
trap 'kill -USR1 $$! 2>/dev/null' USR1
trap 'kill -TERM $$! 2>/dev/null' TERM
while :; do wait $$!; code=$$?; kill -0 $$! 2>/dev/null || break; done
[ $$code -ne 75 ] || scontrol requeue "$${SLURM_ARRAY_JOB_ID:-$$SLURM_JOB_ID}$${SLURM_ARRAY_TASK_ID:+_$$SLURM_ARRAY_TASK_ID}"
exit $$code
