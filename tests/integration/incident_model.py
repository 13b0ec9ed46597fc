"""A short model of incidents: the fold that docs/explanation/incidents.md describes, one incident at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date

Key = tuple[str, str, str]  # rule, table, column
LEVELS = ("High", "Warning", "Info")
CLOSING = ("retired", "gone", "usual")
EXACT = ("usual", "explained")  # kinds that name one incident each
UNPROCESSED = "the pack could not process it"


@dataclass(frozen=True)
class Night:
    """What the newest run of a rule pack left for one endpoint and metric date."""

    status: str
    alerts: Mapping[Key, str] = field(default_factory=dict)  # to the level
    not_judged: Mapping[Key, tuple[str, str]] = field(default_factory=dict)  # to kind and reason
    incomplete: tuple[str, ...] = ()

    @property
    def usable(self) -> bool:
        return self.status in {"success", "partial"}

    def cover(self, key: Key) -> tuple[str, str] | None:
        """Why the incident was not judged: kind and reason; None if it was."""
        rule, table, column = key
        masks = [(r, t, c) for t in (table, "") for c in (column, "") for r in (rule, "")]
        masks.sort(key=lambda mask: (mask[1] == "" != table, mask[2] == "" != column, mask[0] == "" != rule))
        found = [self.not_judged[mask] for mask in masks if mask in self.not_judged]
        found = [one for one in found if one[0] not in EXACT or one == self.not_judged.get(key)]
        if self._lacks(rule, table, column):
            found.append(("no metrics", UNPROCESSED))
        order = {"retired": -1, "gone": 1, "usual": 2}
        found.sort(key=lambda one: order.get(one[0], 0))
        return found[0] if found else None

    def _lacks(self, rule: str, table: str, column: str) -> bool:
        """Whether the ledger says that the incident was not judged."""
        names = [name for name in self.incomplete if name]
        if not names:
            return self.status == "partial" and not self.not_judged
        return any(
            name in {"*", rule}
            or not table
            or f".{name}".endswith((f".{table}", f".{table}.{column}"))
            or (not column and f".{table}." in f".{name}")
            for name in names
        )


@dataclass(frozen=True)
class State:
    """An incident; all but `state` as the columns of hdm_incident."""

    state: str = "none"
    closed_as: str | None = None
    level: str = ""
    first_on: date | None = None
    opened_on: date | None = None
    ended_on: date | None = None
    not_judged_since: date | None = None
    last_on: date | None = None


@dataclass(frozen=True)
class Event:
    """A derived event of one incident."""

    date: date
    kind: str
    state: str
    closed_as: str | None
    level: str
    opened_on: date | None
    not_judged_since: date | None
    last_on: date | None
    detail: str
    silent: bool = False
    withdrawn: bool = False


@dataclass
class Act:
    """Somebody closed or accepted an incident."""

    date: date
    closed_as: str
    level: str
    opened_on: date | None
    last_on: date | None
    withdrawn: bool = False  # it was not open


@dataclass
class Life:
    """An incident with its history."""

    state: State = field(default_factory=State)
    at_night: dict[date, State] = field(default_factory=dict)  # after each date, before people acted
    history: dict[tuple[date, str], Event] = field(default_factory=dict)  # one per date and kind
    people: list[Act] = field(default_factory=list)
    seen: date | None = None  # its last alert while it was open

    @property
    def events(self) -> list[Event]:
        return [event for event in self.history.values() if not event.withdrawn]


@dataclass
class Model:
    """The incidents of one rule pack on one endpoint."""

    reopen_days: int
    nights: dict[date, Night] = field(default_factory=dict)  # as they were derived last
    lives: dict[Key, Life] = field(default_factory=dict)

    def derive(self, pending: Mapping[date, Night], now: Mapping[date, Night]) -> None:
        """Take in news.

        Args:
            pending: metric dates with new rows in the ledger.
            now: all metric dates.
        """
        if not (begins := [day for day, night in pending.items() if night.usable or day in self.nights]):
            return
        begin, former = min(begins), max(self.nights, default=None)
        again = {day for day in self.nights if day >= begin} | {day for day in pending if now[day].usable}
        self.nights |= {day: now[day] for day in again}
        for key in {key for night in self.nights.values() for key in night.alerts} | set(self.lives):
            self._fold(key, begin, former)

    def people_close(self, key: Key, closed_as: str) -> date:
        """Close an open incident; return the metric date of the event."""
        life = self.lives[key]
        assert life.state.state == "open"
        assert life.state.opened_on
        day = max(*self.nights, life.state.opened_on)
        life.state = self._closed(life, life.state, day, closed_as)
        life.people.append(Act(day, closed_as, life.state.level, life.state.opened_on, life.state.last_on))
        return day

    def open(self) -> list[Key]:
        return sorted(key for key, life in self.lives.items() if life.state.state == "open")

    def _fold(self, key: Key, begin: date, former: date | None) -> None:
        life = self.lives.setdefault(key, Life())
        known, life.history, life.seen = life.history, {}, None
        now = State()
        for day in sorted({*self.nights, *(act.date for act in life.people)}):
            if day in self.nights:
                stuck = [one for one in known.values() if one.date == day and one.kind in {"opened", "reopened"}]
                stuck.sort(key=lambda one: (one.withdrawn, one.kind))
                now = self._night(key, day, now, stuck[0] if stuck else None)
                late = former is not None and (day < former or (day == former and begin < former))
                for one, event in life.history.items():
                    if event.date == day:
                        silent = known[one].silent if one in known else late or event.silent
                        life.history[one] = replace(event, silent=silent)
            life.at_night[day] = now
            for act in (one for one in life.people if one.date == day):
                act.withdrawn = now.state != "open"
                if now.state == "open":
                    now = self._closed(life, now, day, act.closed_as)
                    act.level, act.opened_on, act.last_on = now.level, now.opened_on, now.last_on
        life.history |= {one: replace(event, withdrawn=True) for one, event in known.items() if one not in life.history}
        life.state = now
        if now.state == "none":
            del self.lives[key]

    def _night(self, key: Key, day: date, now: State, stuck: Event | None) -> State:
        """Fold a date; `silent` of its events is whether they are none on any date."""
        life = self.lives.setdefault(key, Life())
        for kind, after, detail in self._outcomes(key, day, now, stuck):
            quiet, now = now.closed_as == "accepted" and kind == "resolved", after
            if now.state == "open" and kind != "not judged":
                life.seen = day
            if kind in {"not judged", "resolved", "closed"} and now.last_on is None:
                now = replace(now, last_on=life.seen)
            life.history[day, kind] = Event(
                date=day,
                kind=kind,
                state=now.state,
                closed_as=now.closed_as,
                level=now.level,
                opened_on=now.opened_on,
                not_judged_since=now.not_judged_since,
                last_on=now.last_on,
                detail=detail,
                silent=quiet,
            )
        if now.state == "open" and self.nights[day].usable and key in self.nights[day].alerts:
            life.seen = day
        return now

    @staticmethod
    def _closed(life: Life, now: State, day: date, closed_as: str) -> State:
        last_on = now.last_on or life.seen
        return replace(now, state="closed", closed_as=closed_as, ended_on=day, not_judged_since=None, last_on=last_on)

    def _outcomes(self, key: Key, day: date, now: State, stuck: Event | None) -> Iterator[tuple[str, State, str]]:
        """What a date tells: kind of event, the state after it, and the detail."""
        night = self.nights[day]
        level = night.alerts.get(key) if night.usable else None
        if level and now.state == "open":
            yield from self._persists(now, level)
            return
        if level and now.closed_as == "accepted" and LEVELS.index(level) >= LEVELS.index(now.level):
            return
        if level or (stuck and now.state != "open"):
            soon = now.ended_on is not None and (day - now.ended_on).days <= self.reopen_days
            kind = "reopened" if soon else "opened"
            if not level and stuck and now.state != "none":
                kind = stuck.kind
            now = State("open", None, level or (stuck.level if stuck else ""), now.first_on or day, day)
            yield kind, now, ""
        if not level and night.usable and (now.state == "open" or now.closed_as == "accepted"):
            yield from self._absent(day, now, night.cover(key))

    def _persists(self, now: State, level: str) -> Iterator[tuple[str, State, str]]:
        after = replace(now, level=level, not_judged_since=None, last_on=None)
        if level != now.level:
            yield "level", after, now.level
        if now.not_judged_since:
            yield "judged", after, ""

    def _absent(self, day: date, now: State, cover: tuple[str, str] | None) -> Iterator[tuple[str, State, str]]:
        ended = replace(now, closed_as=None, ended_on=day, not_judged_since=None)
        if cover is None:
            yield "resolved", replace(ended, state="resolved"), ""
        elif now.state == "open" and cover[0] in CLOSING:
            yield "closed", replace(ended, state="closed", closed_as=cover[0]), cover[1] or cover[0]
        elif now.state == "open" and now.not_judged_since is None:
            yield "not judged", replace(now, not_judged_since=day), cover[1] or cover[0]
