"""Which runs a run reads: a small file beside the plan, key → run ids, as compact as ids are."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from campaign.errors import Damage

_ID_BYTES = 16


def members_file(members: Mapping[str, bytes]) -> tuple[str, bytes]:
    """(name relative to the campaign directory, content) of a file that holds sets of runs.

    Args:
        members: key → ids of the runs, 16 bytes each, ascending.
    """
    keys = pa.array(list(members), type=pa.string())
    table = pa.table({"members": keys, "run_ids": pa.array(list(members.values()), type=pa.large_binary())})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="none", use_dictionary=False, write_statistics=False)
    content = buffer.getvalue()
    return f"inputs/{hashlib.sha256(content).hexdigest()[:16]}/members.parquet", content


def read_members(file: Path | bytes, key: str) -> list[str]:
    """Ids of the runs behind a key, ascending.

    Raises:
        Damage: the file cannot be read, or does not hold the key.
    """
    try:
        table = pq.read_table(io.BytesIO(file) if isinstance(file, bytes) else file, filters=[("members", "=", key)])
    except (OSError, pa.ArrowException) as error:
        raise Damage(f"the members file {file} cannot be read: {error}", hint="run `campaign verify`") from error
    if table.num_rows == 0:
        raise Damage(f"the members file {file} does not hold `{key}`", hint="run `campaign verify`")
    ids = table.column("run_ids")[0].as_py().hex()
    return [ids[i : i + 2 * _ID_BYTES] for i in range(0, len(ids), 2 * _ID_BYTES)]
