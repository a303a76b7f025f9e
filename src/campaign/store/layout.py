"""Every path of a campaign directory. No other module spells a file name.

::

    <campaign>/
      campaign.json                     identity of the directory: schema, name, id, when and with what it was made
      manifest.json                     as submitted last
      history/<n>.json                  as submitted n-th, n = 0, 1, …
      inputs/<hash>/<name>              copies of the files that a submission was made from (`kept`)
      inputs/<hash>.json                their index
      plan/<stage>/<n>.json             header of the n-th plan of a stage: resolved stage, programs, counts
      plan/<stage>/<n>.parquet          its rows, one a run: run_id, axes, program, part, block, row, attempt
      programs/<stage>/<program>.json   what a program's runs report: parameters, units, fields (from the first worker)
      runs/<run_id>/summary.json        layout "directories"
      runs/<run_id>/meta.json
      runs/<run_id>/…                   what `campaign export` adds: `RunFolder`
      summaries/<stage>/<part>-<block>.jsonl   layout "packed": the same records, one line a run
      traces.zarr/<stage>/<program>/    arrays over (run, step, …)
      checkpoints/<stage>/<part>-<block>.npz
      checkpoints/<stage>/<part>-<block>.passes          sums of row blocks since the last checkpoint, appended to
      checkpoints/<stage>/<part>-<block>.passes-before   those of the time before it
      checkpoints/<stage>/<part>-<block>.hung   runs of the block that did not come back, and where they hung
      states/<stage>/<part>-<block>.npz        where the runs of a finished block stand: more steps go on from here
      tables/summary.parquet            one row a planned run
      tables/<name>.parquet             other reductions
      tables/parts/<stage>/<part>-<block>.arrow   the reducer's own cache; may be deleted at any time
      events/<writer>.jsonl             one writer a file, append only
      logs/<writer>.log
      logs/output/<stage>/<part>-<block>.log   what people's code printed while the block was computed
      lock/driver.json                  lease of the driver
      lock/claim-<token>-<n>.json       the n-th claim to end the lease with that token
      lock/stop.json                    somebody asks all drivers and workers to drain, to pause, or to end
      lock/driver-job.json              the job of a detached driver
      lock/share-<array>-<k>.json       lease of the k-th share of a job array
      lock/array.json                   the job array that works on the campaign: job, blocks, shares
      lock/pilots-<token>.json          where pilot jobs find their scheduler, and its keys; only its owner may read it
      lock/probe-<writer>               asks the file system what time it is; gone at once
      damaged/<n>/…                     what a repair moved aside or replaced, under its own path
      report.html
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths under one campaign directory."""

    root: Path

    @property
    def identity(self) -> Path:
        return self.root / "campaign.json"

    @property
    def manifest(self) -> Path:
        return self.root / "manifest.json"

    @property
    def history(self) -> Path:
        return self.root / "history"

    @property
    def inputs(self) -> Path:
        return self.root / "inputs"

    def kept(self, tree: str) -> Path:
        """Folder of the copies of a submission's files; its index lies beside it."""
        return self.inputs / tree

    def output(self, stage: str, part: int, block: int) -> Path:
        """What people's code printed while a block was computed."""
        return self.logs / "output" / stage / f"{part:04d}-{block:06d}.log"

    def plan_folder(self, stage: str) -> Path:
        return self.root / "plan" / stage

    def plan_header(self, stage: str, part: int) -> Path:
        return self.plan_folder(stage) / f"{part:04d}.json"

    def plan_rows(self, stage: str, part: int) -> Path:
        return self.plan_folder(stage) / f"{part:04d}.parquet"

    def program(self, stage: str, program: str) -> Path:
        return self.root / "programs" / stage / f"{program}.json"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    def run_folder(self, run_id: str) -> Path:
        return self.runs / run_id

    def summary(self, run_id: str) -> Path:
        return self.run_folder(run_id) / "summary.json"

    def meta(self, run_id: str) -> Path:
        return self.run_folder(run_id) / "meta.json"

    def summaries_folder(self, stage: str) -> Path:
        return self.root / "summaries" / stage

    def summaries(self, stage: str, part: int, block: int) -> Path:
        return self.summaries_folder(stage) / f"{part:04d}-{block:06d}.jsonl"

    @property
    def traces(self) -> Path:
        return self.root / "traces.zarr"

    def trace_group(self, stage: str, program: str) -> Path:
        return self.traces / stage / program

    def checkpoint(self, stage: str, part: int, block: int) -> Path:
        return self.root / "checkpoints" / stage / f"{part:04d}-{block:06d}.npz"

    def passes(self, stage: str, part: int, block: int) -> Path:
        """What passes over the rows have summed since the last checkpoint; that before it: `earlier_passes`."""
        return self.checkpoint(stage, part, block).with_suffix(".passes")

    def earlier_passes(self, stage: str, part: int, block: int) -> Path:
        return self.checkpoint(stage, part, block).with_suffix(".passes-before")

    def hung(self, stage: str, part: int, block: int) -> Path:
        return self.checkpoint(stage, part, block).with_suffix(".hung")

    def states_folder(self, stage: str) -> Path:
        return self.root / "states" / stage

    def state(self, stage: str, part: int, block: int) -> Path:
        return self.states_folder(stage) / f"{part:04d}-{block:06d}.npz"

    @property
    def tables(self) -> Path:
        return self.root / "tables"

    @property
    def table(self) -> Path:
        return self.tables / "summary.parquet"

    @property
    def table_parts(self) -> Path:
        return self.tables / "parts"

    def named_table(self, name: str) -> Path:
        return self.tables / f"{name}.parquet"

    def table_part(self, stage: str, part: int, block: int) -> Path:
        return self.table_parts / stage / f"{part:04d}-{block:06d}.arrow"

    @property
    def events(self) -> Path:
        return self.root / "events"

    def event_log(self, writer: str) -> Path:
        return self.events / f"{writer}.jsonl"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    def log(self, writer: str) -> Path:
        return self.logs / f"{writer}.log"

    @property
    def lease(self) -> Path:
        return self.root / "lock" / "driver.json"

    def lease_claim(self, token: str, number: int) -> Path:
        return self.lease.with_name(f"claim-{token}-{number}.json")

    def lease_probe(self, writer: str) -> Path:
        return self.lease.with_name(f"probe-{writer}")

    @property
    def stop(self) -> Path:
        return self.root / "lock" / "stop.json"

    @property
    def driver_job(self) -> Path:
        return self.root / "lock" / "driver-job.json"

    def submission(self, name: str) -> Path:
        return self.root / "lock" / f"submission-{name}.json"

    @property
    def array(self) -> Path:
        return self.root / "lock" / "array.json"

    def share_lease(self, array: str, share: int) -> Layout:
        """The same campaign, with the lease of one share of a job array in the place of the driver's."""
        return _ShareLayout(self.root, f"share-{array}-{share}.json")

    def pilots(self, token: str) -> Path:
        return self.root / "lock" / f"pilots-{token}.json"

    @property
    def damaged(self) -> Path:
        return self.root / "damaged"

    @property
    def report(self) -> Path:
        return self.root / "report.html"


@dataclass(frozen=True, slots=True)
class _ShareLayout(Layout):
    lease_name: str

    @property
    def lease(self) -> Path:
        return self.root / "lock" / self.lease_name


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The files of one run as plain files, in any folder: what `campaign export` writes and `campaign.load_…` read."""

    folder: Path

    @property
    def summary(self) -> Path:
        return self.folder / "summary.json"

    @property
    def meta(self) -> Path:
        return self.folder / "meta.json"

    @property
    def steps(self) -> Path:
        return self.folder / "diag_steps.jsonl"

    @property
    def metric(self) -> Path:
        """What other programs write in place of `curvature` and `precond`; read only."""
        return self.folder / "metric.npz"

    def arrays(self, name: str) -> Path:
        """trace, grads, signals, curvature, precond, checkpoint_best, checkpoint_final."""
        return self.folder / f"{name}.npz"


@dataclass(frozen=True, slots=True, order=True)
class BlockTask:
    """The address of a block: all that travels to a worker, besides the campaign directory."""

    stage: str
    part: int
    block: int
