"""Tables as hypothesis makes them, measured by the pack and by pandas, which shares nothing with it."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.metric_basic_harness import EXACT, moment
from tests.integration.sql_oracle import assert_same

if TYPE_CHECKING:
    from tests.integration.metric_basic_harness import Ward
    from tests.integration.pack_harness import Row


def survives_squaring(number: float) -> bool:
    """Whether pandas finds its deviation: it squares numbers, and the squares of smaller ones lose digits."""
    return number == 0 or abs(number) > 1e-100


WORDS = (
    "",
    "a",
    "A",
    "é",
    "É",
    "N/A",
    " null",
    "Inconnu",
    "-",
    "Ã©tÃ©",
    "MÃ¼ller",
    "â€“ a",
    "5\u00a0€",
    "1Â\u00a0€",
    "\t1",
)
# Column name -> PostgreSQL's type, pandas', values
COLUMNS: dict[str, tuple[str, str, st.SearchStrategy[Any]]] = {
    "whole": ("bigint", "Int64", st.integers(-4, 4) | st.integers(-(10**9), 10**9)),
    "share": (
        "double precision",
        "Float64",
        st.sampled_from([0.0, 0.5, 2.25, -19.999]) | st.floats(-1e9, 1e9).filter(survives_squaring),
    ),
    "word": ("text", "string", st.sampled_from(WORDS) | st.text("abc éXÉ😀", max_size=8)),
    "seen": (
        "timestamp",
        "datetime64[us]",
        st.sampled_from([moment(2020, 2, 29), moment(2020, 2, 29, 18, 30)])
        | st.datetimes(moment(1950, 1, 1), moment(2050, 1, 1)).map(lambda d: d.replace(microsecond=0)),
    ),
    "alive": ("boolean", "boolean", st.booleans()),
}
TABLES = st.lists(st.tuples(*(st.none() | values for *_, values in COLUMNS.values())), max_size=60)


def described(series: pd.Series[Any], name: str, night: dt.date) -> Row:
    """The metrics of a column, by pandas."""
    present = series.dropna()
    counts = [*present.value_counts().tolist(), 0, 0, 0]
    found: Row = {
        "value_counts": int(series.count()),
        "na_values": int(series.isna().sum()),
        "percent_na_values": float(series.isna().mean() * 100) if len(series) else None,
        "levels_count": int(present.nunique()),
        "highest_frequency": counts[0],
        "sndHighestFrequency": counts[1],
        "thrdHighestFrequency": counts[2],
    }
    if name in {"whole", "share"}:
        numbers = present.astype("float64")
        found |= {
            "min_num_var": _number(numbers.min()),
            "max_num_var": _number(numbers.max()),
            "mean_num_var": _number(numbers.mean()),
            "median_num_var": _number(numbers.median()),
            "std_num_var": _number(numbers.std()),
            "p01_num_var": _number(numbers.quantile(0.01)),
            "p99_num_var": _number(numbers.quantile(0.99)),
            "zero_count": int((numbers == 0).sum()),
            "negative_count": int((numbers < 0).sum()),
        }
    if name == "share":
        found |= {"fraction_count": int((present % 1 != 0).sum()), "decimals_max": _places(present)}
    if name == "word":
        lengths = present.str.len().astype("float64")
        found |= {"min_length": _number(lengths.min()), "max_length": _number(lengths.max())}
        found |= {"mean_length": _number(lengths.mean()), "empty_count": int((present == "").sum())}
        plain = present.str.strip().str.lower()
        found |= {
            "edge_blank_count": int((present.str.strip() != present).sum()),
            "upper_count": int(present.str.isupper().sum()),
            "lower_count": int(present.str.islower().sum()),
            "mojibake_count": int(present.str.contains(r"Ã[©¼]|Â\u00a0|â€", regex=True).sum()),
            "placeholder_count": int(
                (plain.isin(["n/a", "null", "inconnu", "-"]) | plain.str.fullmatch("x{2,}")).sum()
            ),
        }
    if name == "seen":
        found |= {"min_date_var": _moment(present.min()), "max_date_var": _moment(present.max())}
        clocks = present[present.dt.normalize() != present]
        hours = (clocks - clocks.dt.normalize()).dt.total_seconds() / 3600
        found |= {"midnight_count": len(present) - len(clocks), "hour_mean": _number(hours.mean())}
        found["future_dates"] = int((present >= pd.Timestamp(night) + pd.Timedelta(days=1)).sum())
    if name == "alive":
        found |= {"true_count": int(present.sum()), "false_count": int((~present).sum())}
    return found


def test_pandas_agrees(ward: Ward) -> None:
    """Metric by metric; what pandas calls not a number is null."""
    nights = iter(range(1000))

    @settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(rows=TABLES)
    def check(rows: list[tuple[Any, ...]]) -> None:
        declared = ", ".join(f"{name} {of_type}" for name, (of_type, *_) in COLUMNS.items())
        ward.execute("DROP TABLE IF EXISTS made", f"CREATE TABLE made ({declared})")
        with ward.database.connect() as connection, connection.cursor() as cursor:
            cursor.executemany(f"INSERT INTO made VALUES ({', '.join(['%s'] * len(COLUMNS))})", rows)
        night = dt.date(2026, 3, 1) + dt.timedelta(days=next(nights))
        run = ward.measure(str(night), config=EXACT)
        assert run.exit_code == 0, run.output
        found = ward.columns(str(night), "made")
        for number, (name, (_, dtype, _)) in enumerate(COLUMNS.items()):
            series = pd.Series([row[number] for row in rows], dtype=dtype)
            assert_same(found[name], described(series, name, night), name)

    check()


def _number(value: Any) -> float | None:
    return None if pd.isna(value) or math.isnan(value) else float(value)


def _places(numbers: pd.Series[Any]) -> int | None:
    """The digits after the point in the shortest texts of doubles; as C counts them, at most 15."""
    if not len(numbers):
        return None
    texts = numbers.map(lambda number: f"{number:.15g}" if float(f"{number:.15g}") == number else "")
    plain = texts.map(lambda text: f"{Decimal(text):f}" if text else "0." + "1" * 15)
    return int(plain.str.partition(".")[2].str.rstrip("0").str.len().clip(upper=15).max())


def _moment(value: Any) -> dt.datetime | None:
    return None if pd.isna(value) else value.to_pydatetime()
