"""What executors tell people while they work: warnings of the logger `campaign`, which end on stderr."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from campaign.execute.queue.slurm import JobState

MAX_NAMED = 3  # jobs whose ids are written out


def say(text: str) -> None:
    """A line or two for a user who watches."""
    logging.getLogger("campaign").warning("%s", text)


class QueueTalk:
    """Says why nothing runs: when all jobs have waited for two looks at the queue, and when the reason changes."""

    def __init__(self) -> None:
        self._seen = self._said = ""

    def look(self, jobs: Sequence[JobState]) -> None:
        is_waiting = bool(jobs) and all(job.state == "PENDING" for job in jobs)
        text = _waiting(jobs) if is_waiting else ""
        if text and text == self._seen:
            self.say_once(text)
        self._seen = text

    def say_once(self, text: str) -> None:
        """Say something, unless it was the last thing said."""
        if text != self._said:
            self._said = text
            say(text)


def _waiting(jobs: Sequence[JobState]) -> str:
    ids = sorted({job.array or job.job for job in jobs})
    reasons = ", ".join(sorted({job.reason.strip("()") for job in jobs} - {"", "None"})) or "no reason given"
    if len(ids) == 1:
        return f"job {ids[0]} waits in the queue: {reasons}"
    named = f"jobs {', '.join(ids)}" if len(ids) <= MAX_NAMED else f"{len(ids)} jobs"
    return f"{named} wait in the queue: {reasons}"
