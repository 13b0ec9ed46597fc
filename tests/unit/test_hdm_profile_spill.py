"""hdm_profile: more levels than memory holds. The answers are the same, and no text comes to the disk."""

from __future__ import annotations

import os
import struct
import threading
from collections import Counter
from pathlib import Path

import hdm_profile as hp
import pytest
from hdm_profile import Profile, ProfileError, Spec
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.hdm_profile_harness import PLENTY, SIGNATURE, assert_levels, assert_numbers, copied, profile

SPECS = [
    Spec(hp.INTEGER, hp.PG_INT8),
    Spec(hp.TEXT, hp.PG_TEXT),
    Spec(hp.DECIMAL, hp.PG_NUMERIC),
    Spec(hp.DATE, hp.PG_DATE),
]
RECORD = struct.Struct(">H IqI14s IHhHHHH Ii".replace(" ", ""))
NEEDLE = "Müllerin"  # in each text, in UTF-8
COUNT = 25_000


def record(number: int) -> bytes:
    """A row of four values that follow from a number; the decimal has 8 digits."""
    text = f"{NEEDLE}{number:05d}".encode()
    groups = (2, 1, 0, 0, 1 + number // 10_000, number % 10_000)
    return RECORD.pack(4, 8, number * 1_000_003, 14, text, 12, *groups, 4, number)


def mixed(count: int, levels: int) -> list[int]:
    """Numbers below `levels` in no order, some more often than others."""
    return [(i * 2_654_435_761 >> 7) % levels for i in range(count)]


def read(numbers: list[int], memory: int, folder: Path | None = None) -> Profile:
    """A profile of these rows, not finished."""
    one = profile(*SPECS, memory=memory, folder=str(folder) if folder else None)
    one.feed_copy(SIGNATURE + b"".join(map(record, numbers)) + b"\xff\xff")
    assert one.has_ended
    return one


@pytest.mark.parametrize("levels", [8_192, 8_193, 30_000])
def test_same_answers_from_tables_memory_and_disk(levels: int) -> None:
    """5,000 levels are the most that a table counts; a budget of one byte sends each run to the disk."""
    numbers = list(range(levels)) if levels < 9000 else mixed(COUNT, levels)
    found = [read(numbers, memory).finish() for memory in (1, 1 << 20, PLENTY)]
    assert found[0] == found[1] == found[2]
    for stats in found[0]:
        assert_levels(stats, numbers)
    integers, texts, decimals, dates = found[0]
    assert (texts.shortest, texts.longest, texts.empty) == (13, 13, 0)
    assert (dates.earliest, dates.latest) == (min(numbers), max(numbers))
    assert integers.maximum == max(numbers) * 1_000_003
    assert decimals.minimum == float(10_000 + min(numbers))


def test_numbers_from_disk_are_exact() -> None:
    """Levels of one run, levels of all runs, and one level that is everywhere."""
    numbers = [*mixed(20_000, 15_000), *[7] * 20_000, *mixed(20_000, 60_000)]
    stats = read(numbers, 1).finish()[0]
    assert stats.first == Counter(numbers)[7]
    assert_numbers(stats, [number * 1_000_003 for number in numbers])


@settings(max_examples=5, deadline=None)
@given(st.integers(1, 20_000), st.integers(1, 20_000), st.integers(0, 20_000))
def test_ranges_that_overlap(first: int, second: int, shift: int) -> None:
    """Runs that hold the same keys, or none in common."""
    numbers = [*range(first), *range(shift, shift + second)]
    for stats in read(numbers, 1).finish():
        assert_levels(stats, numbers)


def open_files() -> dict[int, str]:
    """This process's descriptors."""
    found = {}
    for path in Path("/proc/self/fd").iterdir():
        try:
            found[int(path.name)] = str(path.readlink())
        except FileNotFoundError:
            continue  # the listing's own
    return found


@pytest.mark.skipif(
    not Path("/proc/self/fd").exists(), reason="the descriptors of a process are in /proc on Linux only"
)
def test_temporary_file_has_no_name_and_holds_no_text(tmp_path: Path) -> None:
    """It is gone with the process whatever happens, nobody else can read it, and who could would find no text."""
    before = open_files()
    one = read(list(range(COUNT)), 1, tmp_path)
    assert not list(tmp_path.iterdir())
    (descriptor,) = set(open_files()) - set(before)
    status = os.fstat(descriptor)
    assert (status.st_nlink, status.st_mode & 0o777) == (0, 0o600)
    assert not os.get_inheritable(descriptor)
    content = os.pread(descriptor, status.st_size, 0)
    assert len(content) > COUNT * 8
    for needle in (NEEDLE, NEEDLE[:5], NEEDLE[-4:], "00001"):
        assert needle.encode() not in content
    one.close()
    assert open_files() == before


@pytest.mark.parametrize("count", [10_000, 40_000])
@pytest.mark.parametrize("memory", [1, PLENTY])
def test_missing_folder_matters_when_it_is_needed(count: int, memory: int, tmp_path: Path) -> None:
    """While rows come or at their end; finishing after that says so again."""
    numbers = list(range(count))
    if memory == PLENTY:
        assert read(numbers, memory, tmp_path / "missing").finish()[0].levels == count
        return
    one = profile(*SPECS, memory=memory, folder=str(tmp_path / "missing"))
    for _ in range(2):
        with pytest.raises(ProfileError, match="the folder for temporary files is full") as caught:
            _read_and_finish(one, numbers)
        assert caught.value.failure == hp.NO_DISK


def _read_and_finish(one: Profile, numbers: list[int]) -> None:
    if not one.rows:
        one.feed_copy(copied([]).removesuffix(b"\xff\xff") + b"".join(map(record, numbers)))
    one.finish()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full is on Linux only")
def test_full_folder_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The file is there, but nothing can be written: a descriptor of the full device stands in for it."""
    before = set(open_files())
    one = profile(*SPECS, memory=1, folder=str(tmp_path))
    one.feed_copy(SIGNATURE + b"".join(map(record, range(30_000))))
    (descriptor,) = set(open_files()) - before
    with Path("/dev/full").open("wb") as full:
        os.dup2(full.fileno(), descriptor)
    with pytest.raises(ProfileError) as caught:
        one.feed_copy(b"".join(map(record, range(30_000, 90_000))))
    assert caught.value.failure == hp.NO_DISK
    with pytest.raises(ProfileError):
        one.finish()
    one.close()
    assert set(open_files()) == before


def test_two_threads_with_a_profile_each() -> None:
    """They share nothing."""
    found: dict[int, list[hp.Stats]] = {}

    def work(start: int) -> None:
        numbers = list(range(start, start + 18_000))
        found[start] = read(numbers, 1).finish()

    threads = [threading.Thread(target=work, args=(start,)) for start in (0, 10_000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for start, every in found.items():
        for stats in every:
            assert_levels(stats, range(start, start + 18_000))
        assert every[3].earliest == start
    assert len(found) == 2


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is told in /proc on Linux only")
def test_memory_is_given_back() -> None:
    """Of what is counted, sorted and carried from chunk to chunk: 24 profiles need no more than the first ones."""
    stream = SIGNATURE + b"".join(map(record, range(17_000)))

    def use() -> int:
        for _ in range(12):
            one = profile(*SPECS, memory=1)
            for start in range(0, len(stream), 300_007):
                one.feed_copy(stream[start : start + 300_007])
            one.finish()
            one.frequencies(1)
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    before = use()
    assert use() - before < 1_000_000  # a column's keys alone are 130 KB of each profile


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is told in /proc on Linux only")
def test_levels_of_many_columns_stay_near_the_budget() -> None:
    """400 columns of 4,000 levels: 48 MB of tables if each might count all of its own; the same numbers."""
    width, rows, budget = 400, 4_000, 4 << 20
    field = struct.Struct(">Iq")
    head = struct.pack(">H", width)

    def use() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    before = use()
    one = profile(*[Spec(hp.INTEGER, hp.PG_INT8)] * width, memory=budget)
    one.feed_copy(SIGNATURE)
    for start in range(0, rows, 100):
        one.feed_copy(b"".join(head + field.pack(8, number) * width for number in range(start, start + 100)))
    one.feed_copy(b"\xff\xff")
    grown = use() - before
    for stats in one.finish():
        assert (stats.levels, stats.first, stats.minimum, stats.maximum) == (rows, 1, 0, rows - 1)
    assert grown < 45_000_000, grown
