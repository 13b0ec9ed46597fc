"""A program for test_hdm_profile_sanitized: feeds hdm_profile with streams, whole and damaged, for some seconds.

usage: python hdm_profile_feeder.py SECONDS SEED THREADS

Each thread fills profiles of its own. With several threads, the main one watches what they fill, and stops some of it.
"""

from __future__ import annotations

import random
import struct
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from decimal import Decimal

import hdm_profile as hp
from hdm_profile import Plan, Profile, ProfileError, Spec

from tests.unit.hdm_profile_harness import copied, numeric, packets

ONE, TWO, FOUR = [hp.PG_BOOL], [hp.PG_INT2], [hp.PG_INT4, hp.PG_OID, hp.PG_FLOAT4, hp.PG_DATE]
EIGHT = [hp.PG_INT8, hp.PG_FLOAT8, hp.PG_TIMESTAMP, hp.PG_TIME]
WIRES = {1: ONE, 2: TWO, 4: FOUR, 8: EIGHT, 12: [hp.PG_TIMETZ], 16: [hp.PG_UUID]}
SIZES = {wire: size for size, wires in WIRES.items() for wire in wires}  # bytes of PostgreSQL's values
POSTGRES = [
    *[Spec(hp.INTEGER, wire) for wire in (hp.PG_BOOL, hp.PG_INT2, hp.PG_INT4, hp.PG_OID, hp.PG_INT8)],
    *[Spec(hp.FLOAT, wire) for wire in (hp.PG_FLOAT4, hp.PG_FLOAT8)],
    *[Spec(hp.TEXT, wire) for wire in (hp.PG_TEXT, hp.PG_BPCHAR, hp.PG_UUID, hp.PG_TIMETZ)],
    *[Spec(hp.DECIMAL, hp.PG_NUMERIC), Spec(hp.FLOAT, hp.PG_NUMERIC, decimal=True), Spec(hp.OPAQUE, hp.PG_OPAQUE)],
    *[Spec(hp.DATE, hp.PG_DATE, 7), Spec(hp.DATETIME, hp.PG_TIMESTAMP, 7), Spec(hp.TIME, hp.PG_TIME)],
]
MYSQL = [
    *[Spec(hp.INTEGER, hp.MY_INTEGER), Spec(hp.UNSIGNED, hp.MY_UNSIGNED), Spec(hp.FLOAT, hp.MY_FLOAT)],
    *[Spec(hp.DECIMAL, hp.MY_DECIMAL), Spec(hp.FLOAT, hp.MY_DECIMAL, decimal=True), Spec(hp.TEXT, hp.MY_TEXT)],
    *[Spec(hp.INTEGER, hp.MY_BIT), Spec(hp.UNSIGNED, hp.MY_BIT), Spec(hp.OPAQUE, hp.MY_OPAQUE)],
    *[Spec(hp.DATE, hp.MY_DATE, 7), Spec(hp.DATETIME, hp.MY_DATETIME, 7), Spec(hp.TIME, hp.MY_TIME)],
]
ROWS = [
    *[Spec(hp.INTEGER, hp.ANY_INTEGER), Spec(hp.FLOAT, hp.ANY_FLOAT), Spec(hp.TEXT, hp.ANY_TEXT)],
    *[Spec(hp.DATE, hp.ANY_DATE), Spec(hp.DATETIME, hp.ANY_DATETIME), Spec(hp.TIME, hp.ANY_TIME)],
]
NUMBERS = {hp.INTEGER, hp.UNSIGNED, hp.FLOAT, hp.DECIMAL}
MANY, MANY_TEXTS = Spec(hp.INTEGER, hp.PG_INT8), Spec(hp.TEXT, hp.PG_TEXT)
MOMENTS = [
    "2020-02-29",
    "0000-00-00",
    "2020-02-30 12:00:00",
    "-838:59:59.5",
    "10:00",
    "2020-01-01T10:00:00.123+02:00",
    "",
]


class Feeder:
    """Makes streams, damages them, and feeds them."""

    def __init__(self, seed: int, folder: str) -> None:
        self.random = random.Random(seed)  # noqa: S311  # it is to be the same again
        self.folder = folder
        self.seen: Counter[int] = Counter()  # failures
        self.profile: Profile | None = None  # being filled
        self.error: BaseException | None = None

    def run_until(self, end: float) -> None:
        """Feeds until that time. An error other than ProfileError stays in `error`."""
        try:
            while time.monotonic() < end:
                self.run()
        except BaseException as error:  # noqa: BLE001  # the main thread raises it
            self.error = error

    def run(self) -> None:
        """One stream of one kind."""
        kind, specs = self.random.choice([("copy", POSTGRES), ("mysql", MYSQL), ("rows", ROWS)])
        chosen = self.random.choices(specs, k=self.random.randint(1, 4))
        count = self.random.choice([0, 1, 3, 30])
        memory = self.random.choice([1, 1 << 18, 1 << 29])
        plan = self.plan(chosen)
        profile = self.profile = Profile(chosen, memory=memory, folder=self.folder_or_none(), plan=plan)
        try:
            if self.random.random() < 0.04:
                chosen, plan = [MANY, MANY_TEXTS], Plan(whole=True)
                profile = self.profile = Profile(chosen, memory=memory, folder=self.folder_or_none(), plan=plan)
                self.keep(profile, chosen)
                profile.feed_copy(self.many())
            elif kind == "rows":
                self.keep(profile, chosen)
                profile.feed_rows([tuple(self.object() for _ in chosen) for _ in range(count)])
            else:
                self.keep(profile, chosen)
                self.feed(profile, kind, chosen, count)
            profile.finish()
        except ProfileError as error:
            self.seen[error.failure] += 1
        else:
            self.seen[hp.FINE] += 1
            profile.frequencies(0)
            self.compare(profile, chosen)
            if profile.has_plan:
                self.ask(profile, len(plan.codes) if plan else 0)
        profile.close()

    def keep(self, profile: Profile, specs: list[Spec]) -> None:
        """Some of the columns, in too little room or in plenty."""
        for i in range(len(specs)):
            if self.random.random() < 0.5:
                profile.keep(i, self.random.choice([0, 1, 100, 5000, 1 << 20]))

    def compare(self, profile: Profile, specs: list[Spec]) -> None:
        """What was kept of one column, with what was kept of others, whole or cut off."""
        found = [kept for kept in map(profile.kept, range(len(specs))) if kept is not None]
        for kept in found:
            assert kept.missing_from(kept) == 0
            other = self.random.choice(found)
            kept.missing_from(other._replace(keys=other.keys[: self.random.randint(0, len(other.keys))]))

    def plan(self, specs: list[Spec]) -> Plan | None:
        """Now and then; of columns that it may name."""
        if self.random.random() < 0.3:
            return None
        dates = [i for i, spec in enumerate(specs) if spec.kind in {hp.DATE, hp.DATETIME}]
        numbers = [i for i, spec in enumerate(specs) if spec.kind in NUMBERS]
        codes = [i for i, spec in enumerate(specs) if spec.kind != hp.OPAQUE]
        pairs = [(one, other) for group in (dates, numbers) for one in group for other in group]
        return Plan(
            first_day=self.random.choice([0, 7000, -800_000]),
            event=self.random.choice([None, *dates]),
            pairs=tuple(self.random.sample(pairs, min(3, len(pairs)))),
            codes=tuple(codes[:2]),
            numbers=tuple(numbers),
            whole=len(codes) == len(specs) and self.random.random() < 0.5,
        )

    @staticmethod
    def ask(profile: Profile, codes: int) -> None:
        """All that a plan may be asked."""
        days, newest, _ = profile.days()
        assert (newest is not None) is (sum(days) > 0)
        assert all(pair.greater + pair.equal <= pair.both <= profile.rows for pair in profile.pairs())
        assert 0 <= profile.repeats < max(1, profile.rows)
        for code in range(codes):
            profile.cells(code)

    def feed(self, profile: Profile, kind: str, specs: list[Spec], count: int) -> None:
        """Cut anywhere, and damaged more often than not."""
        value = self.copied if kind == "copy" else self.sent
        rows = [[value(spec) for spec in specs] for _ in range(count)]
        stream = bytearray((copied if kind == "copy" else packets)(rows))
        for _ in range(self.random.choice([0, 1, 1, 4])):
            self.damage(stream)
        feed: Callable[[bytes], None] = profile.feed_copy if kind == "copy" else profile.feed_mysql
        cuts = sorted(self.random.randint(0, len(stream)) for _ in range(self.random.choice([0, 1, 5])))
        for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
            feed(bytes(stream[start:end]))

    def folder_or_none(self) -> str:
        """Where runs go, if they can."""
        return self.random.choice([self.folder, self.folder, "/nowhere"])

    def many(self) -> bytes:
        """More rows than are counted in a table, or fit into a buffer; some often, others once."""
        row, count = struct.Struct(">HIqI9s").pack, self.random.choice([8192, 8193, 16_385, 40_000])
        bits = self.random.choice([10, 14, 20, 60])
        keys = [self.random.getrandbits(bits) for _ in range(count)]
        rows = (row(2, 8, key - 512, 9, key.to_bytes(9, "little")) for key in keys)
        return copied([]).removesuffix(b"\xff\xff") + b"".join(rows)

    def damage(self, stream: bytearray) -> None:
        """Another byte, some more, some less."""
        at = self.random.randint(0, len(stream) - 1) if stream else 0
        match self.random.randrange(4):
            case 0:
                stream[at : at + 1] = bytes([self.random.choice([0, 1, 0x7F, 0x80, *range(0xFB, 0x100)])])
            case 1:
                stream[at:at] = self.random.randbytes(self.random.randint(1, 9))
            case 2:
                del stream[at : at + self.random.randint(1, 9)]
            case _:
                stream[at : at + 4] = self.random.choice([b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff", b"\x80\0\0\0"])

    def copied(self, spec: Spec) -> bytes | None:
        """A value of PostgreSQL; now and then one that it would not send."""
        if self.random.random() < 0.1:
            return None
        if spec.wire == hp.PG_NUMERIC:
            return self.numeric()
        size = SIZES.get(spec.wire, self.random.choice([0, 1, 7, 8, 40, 700]))
        if self.random.random() < 0.5:
            return self.random.choice([b"\x7f" + b"\xff" * 15, b"\x80" + bytes(15), bytes(16), b"\xff" * 16])[:size]
        return self.random.randbytes(size)

    def numeric(self) -> bytes:
        """Also with groups, signs and weights that no number has."""
        if self.random.random() < 0.5:
            exponent = self.random.choice([-300, -20, -2, 0, 5, 300])
            return numeric(
                Decimal((0, tuple(self.random.choices(range(10), k=self.random.choice([1, 15, 40]))), exponent))
            )
        groups = [
            self.random.choice([0, 1, 9999, 65535]) for _ in range(self.random.choice([0, 1, 4, 5, 101, 250, 2000]))
        ]
        weight = self.random.choice([-32768, -101, -100, -1, 0, 1, 99, 100, 101, 32767])
        sign = self.random.choice([0, 0x4000, 0xC000, 0xD000, 0xF000, 0x8000, 0x1234])
        return struct.pack(f">HhHH{len(groups)}H", len(groups), weight, sign, 0, *groups)

    def sent(self, spec: Spec) -> bytes | None:
        """A value of MySQL, of any type."""
        if self.random.random() < 0.1:
            return None
        if spec.wire == hp.MY_BIT:
            return self.random.randbytes(self.random.randint(0, 8))
        if spec.wire in {hp.MY_TEXT, hp.MY_OPAQUE}:
            return self.random.randbytes(self.random.choice([0, 1, 16, 17, 250, 251, 70_000]))
        return self.text().encode()

    def text(self) -> str:
        """A number or a moment, or nearly so."""
        digits = "".join(
            self.random.choices("0123456789", k=self.random.choice([1, 4, 19, 20, 65, 119, 120, 121, 500]))
        )
        sign = self.random.choice(["", "", "-"])
        text = self.random.choice([sign + digits, f"{sign}{digits}.{digits}", f"{sign}1e{digits[:4]}", *MOMENTS])
        if self.random.random() < 0.1:
            text = text[: self.random.randint(0, len(text))] + self.random.choice("-.: eTZ+\0") + text[3:]
        return text

    def object(self) -> object:
        """What SQLite may hold."""
        choices = [
            None,
            self.random.getrandbits(63),
            self.random.gauss(0, 1e300),
            self.text(),
            "ä" * 51,
            "",
            b"blob",
            -1,
        ]
        return self.random.choice(choices)


def watch(feeders: list[Feeder], threads: list[threading.Thread]) -> None:
    """Uses what Profile offers to other threads, until these end."""
    chance = random.Random(0)  # noqa: S311  # no secret
    while any(thread.is_alive() for thread in threads):
        for feeder in feeders:
            profile = feeder.profile
            if profile is not None and profile.rows + profile.bytes_read > 0 and chance.random() < 0.01:
                profile.stop()
        time.sleep(0.001)


def main() -> None:
    """Feed until the time is over."""
    seconds, seed, count = float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as folder:
        feeders = [Feeder(1000 * number + seed, folder) for number in range(count)]
        if count == 1:
            feeders[0].run_until(end)
        else:
            threads = [threading.Thread(target=feeder.run_until, args=(end,)) for feeder in feeders]
            for thread in threads:
                thread.start()
            watch(feeders, threads)
            for thread in threads:
                thread.join()
    for feeder in feeders:
        if feeder.error is not None:
            raise feeder.error
    seen = sum((feeder.seen for feeder in feeders), Counter())
    print(f"{seen.total()} streams, by failure {dict(seen)}, {hp.__file__}")  # noqa: T201  # for the test


if __name__ == "__main__":
    main()
