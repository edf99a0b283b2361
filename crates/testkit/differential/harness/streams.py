"""Driving a streaming query one step at a time, so that its answer does not depend on timing.

A step writes one file into each input directory it names and waits with `processAllAvailable` until
the query has nothing left to do, no-data batches included. What the step did is then read from the
memory sink (the rows that were not there before) and from the progress of the batches it ran.
Progress entries without an `addBatch` duration are idle reports, not batches, and are left out.
"""

import json

from harness import answer

MODES = ("append", "update", "complete")


def outcomes(env, df, modes=MODES):
    """What becomes of `df` in each output mode: "ok" when a first batch ran, else the error."""
    return {mode: env.attempt(lambda: _first_batch(df, mode)) for mode in modes}


def _first_batch(df, mode):
    query = df.writeStream.format("noop").outputMode(mode).start()
    try:
        query.processAllAvailable()
        return "ok"
    finally:
        query.stop()


def batches(query, seen: set):
    """Summaries of the batches that ran since the last call; `seen` remembers their ids."""
    return [summary(document) for document in documents(query, seen)]


def documents(query, seen: set):
    """The progress documents of the batches that ran since the last call."""
    told = []
    for progress in query.recentProgress:
        document = json.loads(progress.json) if hasattr(progress, "json") else dict(progress)
        if "addBatch" not in document.get("durationMs", {}) or document["batchId"] in seen:
            continue
        seen.add(document["batchId"])
        told.append(document)
    return told


def has_data(progress: dict) -> bool:
    """Whether a batch read anything, be it an empty file."""
    return any(_offset(source.get("startOffset")) != _offset(source.get("endOffset")) for source in progress["sources"])


def summary(progress: dict) -> str:
    """A line with what of a progress document does not depend on the machine: counts, watermark,
    the state of each stateful operator (the last in the plan first)."""
    told = f"batch {progress['batchId']}: {input_rows(progress)} rows"
    event_time = progress.get("eventTime") or {}
    if "watermark" in event_time:
        told += f", watermark {event_time['watermark']}"
    if "max" in event_time:
        told += f", seen {event_time['min']} .. {event_time['max']} avg {event_time['avg']}"
    for o in progress.get("stateOperators") or []:
        told += (
            f"; {o['operatorName']} total {o['numRowsTotal']} updated {o['numRowsUpdated']}"
            f" removed {o['numRowsRemoved']} late {o['numRowsDroppedByWatermark']}"
        )
    return told


def input_rows(progress: dict) -> int:
    return progress.get("numInputRows", sum(s["numInputRows"] for s in progress["sources"]))


def ends(progress: dict):
    """Sources and sink of a progress document: descriptions, offsets, row counts."""
    return {
        "sources": [
            {k: _offset(s.get(k)) for k in ("description", "startOffset", "endOffset", "numInputRows")}
            for s in progress["sources"]
        ],
        "sink": {k: progress["sink"].get(k) for k in ("description", "numOutputRows")},
    }


def _offset(v):
    """Offsets arrive as JSON or as text holding JSON, depending on the client."""
    if isinstance(v, str) and v[:1] in "{[0123456789":
        try:
            return json.loads(v)
        except ValueError:
            return v
    return v
