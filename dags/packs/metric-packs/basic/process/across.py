"""What a profile has counted across the columns of rows, by the names of columns."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hdm_profile import Cell, Newest, Pair, Profile
    from plans import RowPlan
    from tables import Column


@dataclass(frozen=True, kw_only=True)
class Across:
    """The answers to a RowPlan; empty without a plan."""

    event: str = ""  # the event column; '': none
    days: tuple[int, ...] = ()  # rows of each event day, the earliest first
    newest_day: int | None = None  # its place in `days`
    newest: Mapping[str, Newest] = field(default_factory=dict)  # by column
    pairs: Mapping[tuple[str, str], Pair] = field(default_factory=dict)
    repeats: int | None = None  # rows that repeat an earlier one; None: not counted
    plan: RowPlan | None = None
    profile: Profile | None = None  # open, as long as `cells` is called

    @classmethod
    def of(cls, columns: Sequence[Column], plan: RowPlan, profile: Profile) -> Across:
        """The answers of a finished profile of these columns."""
        if not profile.has_plan:
            return cls()
        days, newest_day, newest = profile.days()
        names = [column.name for column in columns]
        return cls(
            event=plan.event,
            days=tuple(days) if plan.event else (),
            newest_day=newest_day,
            newest=dict(zip(names, newest, strict=False)),
            pairs=dict(zip(plan.pairs, profile.pairs(), strict=True)),
            repeats=profile.repeats if plan.whole else None,
            plan=plan,
            profile=profile,
        )

    def including(self, other: Across) -> Across:
        """The same, with the other's columns: it has read these of the same rows, with the same event column."""
        return replace(self, newest={**other.newest, **self.newest})

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes by whose levels there are numbers."""
        return self.plan.codes if self.plan else ()

    def cells(self, code: str) -> dict[str, dict[str | None, Cell]]:
        """Each number by the levels of a code; empty if these are too many."""
        found = self.profile.cells(self.codes.index(code)) if self.plan and self.profile else None
        if not found or not self.plan:
            return {}
        return {number: {level: row[i] for level, row in found.items()} for i, number in enumerate(self.plan.numbers)}
