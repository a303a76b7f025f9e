"""kill -9 in the middle of a reduction, at any moment: readers see the old table or the new one, whole."""

import os
import signal
import subprocess
import sys
import time

import pyarrow.parquet as pq

import planting as p
from campaign.analysis.verify import repair, verify
from campaign.reduce.reducer import reduce

SCRIPT = """
import sys, time
from pathlib import Path
from campaign.reduce import assembling, reducer
from campaign.store.layout import Layout
assembling.WINDOW = 16
real = assembling._window
def slowly(*arguments):
    time.sleep(0.02)
    return real(*arguments)
assembling._window = slowly
print("begin", flush=True)
reducer.reduce(Layout(Path(sys.argv[1])))
print("end", flush=True)
"""


def test_the_old_table_stays_until_the_new_one_is_whole(tmp_path):
    fit = p.Planting(n_runs=320, block_size=16)
    layout = p.plant(tmp_path, fit)
    p.publish(layout, fit, *range(10))
    reduce(layout)
    before = layout.table.read_bytes()
    p.publish(layout, fit)
    n_killed = 0
    for delay in (0.0, 0.05, 0.1, 0.2, 0.3):
        process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "begin\n"
        time.sleep(delay)
        os.kill(process.pid, signal.SIGKILL)
        rest, _ = process.communicate()
        if rest == "":
            n_killed += 1
            assert layout.table.read_bytes() == before
    assert n_killed >= 3
    assert pq.read_table(layout.table).column("status").null_count == 160
    leftovers = verify(layout)
    assert {f.kind for f in leftovers} == {"leftover"}
    repair(layout, leftovers)
    assert verify(layout) == []
    assert reduce(layout).n_done == 320
    losses = pq.read_table(layout.table).column("loss").to_pylist()
    assert losses == [float(i) for i in range(320)]
