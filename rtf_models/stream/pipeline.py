"""The stream itself: take alerts, encode them in micro-batches, commit parts.

What a commit holds follows from the alerts taken since the one before, in their order: so a run that was killed and
started again writes the same fingerprints as one that was not.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ..errors import DataError, MissingPackage
from .arrival import AlertStream, Arrival, EndOfStream
from .detections import source_of
from .encoder import Encoder
from .history import History
from .journal import Journal
from .packets import Alert, BrokenPacket, alert_of
from .parts import Fingerprints, encode_part
from .recent import RecentAlerts
from .state import changed_state, restore, whole_state
from .triplets import Triplets

COUNTERS = ("alerts", "fingerprints", "duplicates", "no_detection", "broken")
LEAST_WHOLE = 4 << 20  # bytes of changes before the state is written whole again
IDLE_LOOK = 0.2  # seconds that one look for alerts may take while a batch waits


@dataclass(frozen=True)
class EncodeOptions:
    """batch: alerts encoded together. part_rows: fingerprints a part. max_wait: seconds after which what has been taken
    is committed, however little. form: "avro" or "parquet". int8: fingerprints as bytes. history: objects remembered;
    history_detections: of all of them together (None: 50 an object). image_history: objects whose newest triplet is
    remembered, if the network takes images. remember: alerts remembered, to notice repeats. max_alerts: stop after so
    many in this run. idle_exit: stop when nothing has come for so many seconds.
    """

    batch: int = 64
    part_rows: int = 4096
    max_wait: float = 30.0
    form: str = "avro"
    int8: bool = False
    history: int = 20_000
    history_detections: int | None = None
    image_history: int = 1000
    remember: int = 200_000
    max_alerts: int | None = None
    idle_exit: float | None = None


@dataclass
class _Open:
    """Taken since the last commit: alerts that wait for their batch, rows that wait for their part, dead letters."""

    waiting: list[tuple[Alert, int, object, dict]] = field(default_factory=list)
    rows: list[tuple] = field(default_factory=list)
    letters: list[dict] = field(default_factory=list)
    alerts: int = 0
    since: float = 0.0


class Pipeline:
    """Encodes a stream into the journal's folder.

    Raises (all methods): StreamError, JournalError, OSError of the output folder.
    """

    def __init__(self, stream: AlertStream, encoder: Encoder, journal: Journal, options: EncodeOptions):
        self.stream, self.encoder, self.journal, self.options = stream, encoder, journal, options
        self.history = History(options.history, encoder.days, encoder.longest, metadata=encoder.metadata,
                               detections=options.history_detections)
        self.triplets = Triplets(options.image_history)
        self.recent = RecentAlerts(options.remember)
        self.totals = dict.fromkeys(COUNTERS, 0) | dict(journal.last.totals if journal.last else {})
        self.parts: list[str] = []
        self._open = _Open()
        self._base_bytes = self._changed_bytes = 0
        states = journal.states()
        positions = restore(states, self.history, self.triplets, self.recent)
        if states:
            self._base_bytes, self._changed_bytes = len(states[0]), sum(map(len, states[1:]))
        self.stream.resume(positions)
        if not states:
            self._commit()  # where the stream begins is a fact to be kept as well

    def run(self, stop: Callable[[], bool] = lambda: False, progress: Callable[[int], object] = lambda _: None) -> None:
        """Until the stream ends, `stop()` says so, or an option's limit is reached; then commits what it has.

        progress: called with the number of records after each.
        """
        taken, last = 0, time.monotonic()
        try:
            while not stop() and (self.options.max_alerts is None or taken < self.options.max_alerts):
                arrival = self.stream.take(self._patience())
                if arrival is not None:
                    last = time.monotonic()
                    taken += arrival.count
                    self._accept(arrival)
                    progress(arrival.count)
                elif self.options.idle_exit is not None and time.monotonic() - last >= self.options.idle_exit:
                    break
                self._commit_when_due()
        except EndOfStream:
            pass
        self._flush()
        if self._open.alerts:
            self._commit()

    def _patience(self) -> float:
        """Seconds to wait for the next alert."""
        if not self._open.alerts:
            return IDLE_LOOK
        return min(IDLE_LOOK, max(0.0, self._open.since + self.options.max_wait - time.monotonic()))

    def _commit_when_due(self) -> None:
        open_ = self._open
        if len(open_.waiting) >= self.options.batch:
            self._flush()
        late = open_.alerts and time.monotonic() - open_.since >= self.options.max_wait
        if late or len(open_.rows) >= self.options.part_rows or open_.alerts >= 8 * self.options.part_rows:
            self._flush()
            self._commit()

    # alerts

    def _accept(self, arrival: Arrival) -> None:
        if not self._open.alerts:
            self._open.since = time.monotonic()
        self._open.alerts += arrival.count
        self.totals["alerts"] += arrival.count
        if arrival.packet is None:
            self._bury(arrival.where, arrival.broken, count=arrival.count)
            return
        try:
            alert = alert_of(arrival.packet, metadata=self.encoder.metadata)
        except (BrokenPacket, DataError) as error:
            self._bury(arrival.where, str(error))
            return
        except Exception as error:  # a packet may hold anything; the stream goes on
            self._bury(arrival.where, f"{type(error).__name__}: {error}")
            return
        if alert.candid in self.recent:
            self.totals["duplicates"] += 1
            return
        self.recent.add(alert.candid)
        self._prepare(alert, arrival)

    def _prepare(self, alert: Alert, arrival: Arrival) -> None:
        rows = self.history.touch(alert.object_id, alert.jd, alert.rows)
        if not len(rows):
            self.totals["no_detection"] += 1
            return
        try:
            image = self.triplets.newest(alert, arrival.packet, rows) if self.encoder.images else None
            item = self.encoder.prepare(source_of(alert.object_id, rows, image))
        except MissingPackage:
            raise
        except Exception as error:
            self._bury(arrival.where, f"cannot be encoded: {error}", alert)
            return
        self._open.waiting.append((alert, len(rows), item, arrival.where))

    def _flush(self) -> None:
        """Encodes what waits."""
        waiting, self._open.waiting = self._open.waiting, []
        if not waiting:
            return
        latent, anomaly = self.encoder.encode([item for _, _, item, _ in waiting])
        finite = np.isfinite(latent).all(axis=1)
        for (alert, count, _, where), vector, score, good in zip(waiting, latent, anomaly, finite, strict=True):
            if good:
                self._open.rows.append((alert.object_id, alert.candid, alert.jd, count, vector, score))
                self.totals["fingerprints"] += 1
            else:
                self._bury(where, "the fingerprint is not finite", alert)

    def _bury(self, where: dict, reason: str, alert: Alert | None = None, count: int = 1) -> None:
        letter = {**where, "reason": reason}
        if count > 1:
            letter["count"] = count
        if alert is not None:
            letter |= {"objectId": alert.object_id, "candid": alert.candid}
        self._open.letters.append(letter)
        self.totals["broken"] += count

    # commits

    def _commit(self) -> None:
        number, open_ = self.journal.next_number, self._open
        files = {}
        if open_.rows:
            name = f"fingerprints-{number:08d}.{self.options.form}"
            files[name] = encode_part(self._table(open_.rows), self.options.form, self.options.int8)
            self.parts.append(name)
        if open_.letters:
            text = "".join(json.dumps(letter) + "\n" for letter in open_.letters)
            files[f"dead_letters/dead-{number:08d}.jsonl"] = text.encode()
        whole = self.journal.last is None or self._changed_bytes > max(self._base_bytes, LEAST_WHOLE)
        if whole:
            state = whole_state(self.history, self.triplets, self.recent, self.stream.whole_position())
            self._base_bytes, self._changed_bytes = len(state), 0
        else:
            state = changed_state(self.history, self.triplets, self.recent, self.stream.changed_position())
            self._changed_bytes += len(state)
        self.journal.commit(files, state, whole_state=whole, totals=self.totals, note=self.stream.note())
        self._open = _Open()
        self.stream.committed()

    def _table(self, rows: list[tuple]) -> Fingerprints:
        ids, candids, jds, counts, vectors, scores = zip(*rows, strict=True)
        return Fingerprints(np.array(ids), np.array(candids, np.int64), np.array(jds, np.float64),
                            np.array(counts, np.int32), np.stack(vectors).astype(np.float32, copy=False),
                            np.array(scores, np.float32), self.encoder.model_hash)


