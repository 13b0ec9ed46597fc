"""hdm_profile: streams that are cut off, damaged or stopped end with an error, never with the process."""

from __future__ import annotations

import ctypes
import struct
import threading
from collections.abc import Callable
from decimal import Decimal
from types import SimpleNamespace

import hdm_profile as hp
import pytest
from hdm_profile import Profile, ProfileError, Spec
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.hdm_profile_harness import EOF, SIGNATURE, copied, fed, numeric, packet, packets, profile

POSTGRES = [
    Spec(hp.INTEGER, hp.PG_INT4),
    Spec(hp.TEXT, hp.PG_TEXT),
    Spec(hp.DECIMAL, hp.PG_NUMERIC),
    Spec(hp.TEXT, hp.PG_TIMETZ),
    Spec(hp.TEXT, hp.PG_UUID),
    Spec(hp.DATETIME, hp.PG_TIMESTAMP),
    Spec(hp.FLOAT, hp.PG_FLOAT8),
]
MYSQL = [
    Spec(hp.INTEGER, hp.MY_INTEGER),
    Spec(hp.TEXT, hp.MY_TEXT),
    Spec(hp.DECIMAL, hp.MY_DECIMAL),
    Spec(hp.DATETIME, hp.MY_DATETIME),
    Spec(hp.FLOAT, hp.MY_FLOAT),
    Spec(hp.TIME, hp.MY_TIME),
    Spec(hp.UNSIGNED, hp.MY_BIT),
]
COPIED = copied(
    [
        [b"\0\0\0\7", b"text", numeric(Decimal("-12345.678")), b"\0" * 12, b"\1" * 16, b"\0" * 8, b"\x40" * 8],
        [None, b"", numeric(Decimal("NaN")), None, None, None, b"\xff" * 8],
    ]
)
SENT = packets(
    [
        [b"-7", b"text", b"-1.50", b"2020-02-30 10:00:00.5", b"1e-3", b"-838:59:59", b"\1\2"],
        [b"0", None, b"0", *[None] * 4],
    ]
)
STREAMS = {"postgres": (POSTGRES, COPIED), "mysql": (MYSQL, SENT)}


def swallow(specs: list[Spec], stream: bytes, *, copy: bool) -> Profile | None:
    """Feed anything, finish, and ask for everything; None when it is malformed."""
    one = profile(*specs)
    try:
        (one.feed_copy if copy else one.feed_mysql)(stream)
    except ProfileError as error:
        if error.failure not in {hp.MALFORMED, hp.SERVER_ERROR}:
            raise
        return None
    one.finish()
    for index in range(len(specs)):
        one.frequencies(index)
    return one


@pytest.mark.parametrize("server", STREAMS)
def test_stream_that_ends_early_has_not_ended(server: str) -> None:
    """Wherever it is cut off; the rest may still come."""
    specs, stream = STREAMS[server]
    whole = fed(specs, stream).finish()
    for end in range(len(stream)):
        one = profile(*specs)
        feed = one.feed_copy if server == "postgres" else one.feed_mysql
        feed(stream[:end])
        assert not one.has_ended
        feed(stream[end:])
        assert one.has_ended
        assert repr(one.finish()) == repr(whole)


@pytest.mark.parametrize("server", STREAMS)
@settings(max_examples=80)
@given(
    st.lists(st.tuples(st.integers(0), st.integers(0, 255)), min_size=1, max_size=4),
    st.binary(max_size=8),
    st.integers(0),
)
def test_damaged_stream_is_taken_or_refused(
    server: str, changes: list[tuple[int, int]], insert: bytes, place: int
) -> None:
    """Some bytes are others, some come in between."""
    specs, stream = STREAMS[server]
    damaged = bytearray(stream)
    for at, value in changes:
        damaged[at % len(damaged)] = value
    damaged[place % len(damaged) :][:0] = insert
    swallow(specs, bytes(damaged), copy=server == "postgres")


@settings(max_examples=60)
@given(st.lists(st.sampled_from(POSTGRES + MYSQL), min_size=1, max_size=3), st.binary(max_size=200), st.booleans())
def test_random_bytes_are_refused(specs: list[Spec], noise: bytes, copy: bool) -> None:
    """After a beginning that is right."""
    swallow(specs, (SIGNATURE if copy else b"") + noise, copy=copy)


@settings(max_examples=60)
@given(st.sampled_from(MYSQL), st.binary(max_size=30) | st.text("0123456789.-: TZ+e", max_size=30).map(str.encode))
def test_random_values_of_mysql(spec: Spec, value: bytes) -> None:
    """In a packet that is whole."""
    one = swallow([spec], packets([[value]]), copy=False)
    assert one is None or one.has_ended


@pytest.mark.parametrize(
    "stream",
    [
        b"PGCOPY\n\xff\r\n\1" + bytes(8),
        b"PGCOPX" + SIGNATURE[6:],
        SIGNATURE[:11] + b"\0\1\0\0" + bytes(4),  # with object identifiers
        SIGNATURE[:15] + b"\xff\xff\xff\xff",
        SIGNATURE + b"\0\2",
        SIGNATURE + b"\0\1" + b"\x80\0\0\0",
        SIGNATURE + b"\0\1" + b"\0\0\0\3" + b"abc",
        SIGNATURE + b"\0\1" + b"\0\0\0\5" + b"abcde",
    ],
)
def test_what_is_no_copy_of_this_table(stream: bytes) -> None:
    """Signature, flags, number of fields, their lengths; afterwards nothing is taken any more."""
    one = profile(Spec(hp.INTEGER, hp.PG_INT4))
    for _ in range(2):
        with pytest.raises(ProfileError) as caught:
            one.feed_copy(stream)
        assert caught.value.failure == hp.MALFORMED
    assert one.rows <= 1


@pytest.mark.parametrize(
    ("spec", "values"),
    [
        (Spec(hp.INTEGER, hp.MY_INTEGER), "|-|1.0| 1|+1|1e3|99999999999999999999|9223372036854775808|x"),
        (Spec(hp.UNSIGNED, hp.MY_UNSIGNED), "|-1|18446744073709551616"),
        (Spec(hp.DECIMAL, hp.MY_DECIMAL), "|-|.|.5|1.2.3|1e3|+1|NaN|" + "9" * 200),
        (Spec(hp.FLOAT, hp.MY_FLOAT), "|x|1,5|1.5x|0x10|nan|inf| 1|" + "1" * 500),
        (Spec(hp.DATE, hp.MY_DATE), "|rubbish|2020-01-01x|2020-1-1|20-01-01"),
        (Spec(hp.DATETIME, hp.MY_DATETIME), "|rubbish|2020-01-01 10:00:00x"),
        (Spec(hp.TIME, hp.MY_TIME), "|1|10:60|10:00:61|-|--10:00|10:00:00."),
    ],
)
def test_what_mysql_never_sends(spec: Spec, values: str) -> None:
    """A value that is none of its type, though the packet is whole."""
    taken = [value for value in values.split("|") if swallow([spec], packets([[value.encode()]]), copy=False)]
    assert not taken


@pytest.mark.parametrize(
    "value",
    [
        struct.pack(">HhHH", 1, 0, 0, 0),  # a group is missing
        struct.pack(">HhHHH", 1, 0, 0x1234, 0, 1),  # no sign
        struct.pack(">HhHHH", 1, 0, 0, 0, 10_000),  # no group
        struct.pack(">HhHHH", 0, 0, 0, 0, 1),
        b"",
    ],
)
def test_what_is_no_numeric(value: bytes) -> None:
    """Its parts are checked before anything is made of them."""
    assert swallow([Spec(hp.DECIMAL, hp.PG_NUMERIC)], copied([[value]]), copy=True) is None


def drained(monkeypatch: pytest.MonkeyPatch, messages: list[bytes]) -> Profile:
    """A profile that has received these messages through the functions of a libpq."""
    left = [ctypes.create_string_buffer(one, len(one)) for one in messages]
    given_out: list[ctypes.Array[ctypes.c_char]] = []

    def get(_connection: int, message: int, _is_async: int) -> int:
        if not left:
            return -1
        given_out.append(left.pop(0))
        ctypes.c_void_p.from_address(message).value = ctypes.addressof(given_out[-1])
        return len(given_out[-1])

    pointer = ctypes.c_void_p
    functions = (
        ctypes.CFUNCTYPE(ctypes.c_int, pointer, pointer, ctypes.c_int)(get),
        ctypes.CFUNCTYPE(None, pointer)(lambda _: None),
    )
    addresses = tuple(ctypes.cast(one, pointer).value for one in functions)
    monkeypatch.setattr("hdm_profile.libpq.functions", lambda: addresses)
    one = profile(Spec(hp.INTEGER, hp.PG_INT4), Spec(hp.TEXT, hp.PG_TEXT))
    one.copy(SimpleNamespace(pgconn_ptr=1))
    return one


ROWS = [copied([[struct.pack(">i", i), b"ward"], [None, b""]]).removeprefix(SIGNATURE)[:-2] for i in range(9)]


@pytest.mark.parametrize("start", [[SIGNATURE], [SIGNATURE + ROWS[0]], [SIGNATURE[:5], SIGNATURE[5:]]])
def test_messages_of_libpq_are_whole_rows(monkeypatch: pytest.MonkeyPatch, start: list[bytes]) -> None:
    """Whether or not the first one also has rows; they say the same as a stream."""
    one, whole = drained(monkeypatch, [*start, *ROWS, b"\xff\xff"]), profile(*POSTGRES[:2])
    whole.feed_copy(b"".join([*start, *ROWS, b"\xff\xff"]))
    assert one.has_ended
    assert (one.rows, one.bytes_read, one.finish()) == (whole.rows, whole.bytes_read, whole.finish())


@pytest.mark.parametrize("cut", range(1, len(ROWS[0])))
def test_message_that_ends_within_a_row_is_refused(monkeypatch: pytest.MonkeyPatch, cut: int) -> None:
    """libpq never returns such a message: it is no COPY of this table."""
    if cut == len(copied([[bytes(4), b"ward"]])) - len(SIGNATURE) - 2:  # the end of its first row
        assert drained(monkeypatch, [SIGNATURE, ROWS[0][:cut]]).rows == 1
        return
    with pytest.raises(ProfileError) as caught:
        drained(monkeypatch, [SIGNATURE, ROWS[0][:cut]])
    assert caught.value.failure == hp.MALFORMED


def test_bytes_after_the_end_are_noticed() -> None:
    """A stream that goes on has not ended."""
    assert not getattr(swallow(POSTGRES, COPIED + b"x", copy=True), "has_ended", False)
    assert not getattr(swallow(MYSQL, SENT + b"x", copy=False), "has_ended", False)


def test_error_of_mysql_in_the_midst_of_rows() -> None:
    """Its number is told, its text is not: that may quote a row."""
    one = profile(Spec(hp.INTEGER, hp.MY_INTEGER))
    error = packet(b"\xff" + struct.pack("<H", 1317) + b"#70100Query execution was interrupted: 'secret'")
    with pytest.raises(ProfileError, match=r"the database reported error 1317$") as caught:
        one.feed_mysql(packets([[b"1"]] * 3, end=error))
    assert (caught.value.failure, caught.value.code, one.rows) == (hp.SERVER_ERROR, 1317, 3)
    assert one.has_ended


def test_end_mark_is_no_row_that_begins_alike() -> None:
    """A text of 16 MB begins as an end mark does, but is longer."""
    one = fed([Spec(hp.TEXT, hp.MY_TEXT)], packet(b"\xfe" + struct.pack("<Q", 3) + b"abc") + EOF)
    one.finish()
    assert one.frequencies(0) == {"abc": 1}


@pytest.mark.parametrize("feed", ["copy", "mysql", "rows"])
def test_stop_comes_from_another_thread(feed: str) -> None:
    """The thread that reads gets an error at its next rows."""
    wires = {"copy": hp.PG_INT4, "mysql": hp.MY_INTEGER, "rows": hp.ANY_INTEGER}
    one = profile(Spec(hp.INTEGER, wires[feed]))
    steps: dict[str, Callable[[], None]] = {
        "copy": lambda: one.feed_copy(b"\0\1\0\0\0\4\0\0\0\1" if one.rows or one.bytes_read else SIGNATURE),
        "mysql": lambda: one.feed_mysql(packets([[b"1"]], end=b"")),
        "rows": lambda: one.feed_rows([(1,)]),
    }
    while not one.rows:
        steps[feed]()
    threading.Timer(0.01, one.stop).start()
    with pytest.raises(ProfileError, match="stopped before the last row") as caught:
        _repeat(steps[feed])
    assert caught.value.failure == hp.STOPPED
    with pytest.raises(ProfileError):
        one.finish()


def _repeat(step: Callable[[], None]) -> None:
    while True:
        step()


def test_profile_is_finished_once() -> None:
    """Asked again, it says the same; no row can come any more, and levels only come afterwards."""
    one = fed([Spec(hp.INTEGER, hp.PG_INT4)], copied([[struct.pack(">i", i % 50)] for i in range(200)]))
    with pytest.raises(ValueError, match="finish"):
        one.frequencies(0)
    assert one.finish() == one.finish()
    assert one.frequencies(0) == {str(i): 4 for i in range(50)}
    with pytest.raises(IndexError):
        one.frequencies(1)
    with pytest.raises((ProfileError, ValueError)):
        one.feed_copy(b"")


def test_closed_profile_is_told() -> None:
    """And closing it again does nothing."""
    one = fed([Spec(hp.INTEGER, hp.PG_INT4)], copied([[b"\0\0\0\1"]]))
    one.close()
    one.close()
    one.stop()
    assert one.rows in {0, 1}
    for call in (lambda: one.feed_copy(b""), lambda: one.feed_mysql(b""), lambda: one.feed_rows([]), one.finish):
        with pytest.raises((ProfileError, ValueError)):
            call()
