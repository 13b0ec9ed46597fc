"""Billing: a billing office without declared keys, fed by a monthly batch as well as daily.

- `claims` gets about 2,600 rows on the last day of a month and none on other days; nights 1 to 24 have one such batch.
- `invoices` (140 a working day, growing by 1 % in 20 days), their lines, `payments` and `ledger_export` are fed on
  working days only. A Monday's lines are of acts of the weekend, and some are of up to 20 days ago.
- Old rows change: invoices are sent, paid and refused, days or months after they were written.
- A migration left faults that every night has: orphans in `invoice_lines`, repeated rows in `ledger_export`.
- Validities end in 2099 and 9999; `payers` has six rows, `audit_2021` gets none.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from random import Random

from benchmarks.faults.data.dataset import (
    DataSet,
    Load,
    Row,
    activity,
    at,
    days_before,
    event_day,
    happens,
    is_working,
    poisson,
)
from benchmarks.faults.schema import tables

MONTHS = 8
HISTORY = 120  # days
CLAIMS = 2_600  # of a month
INVOICES = 140  # of a working day
LAST_TARIFF = 2025
FOREVER = dt.date(9999, 12, 31)
PAID_ON = "(issued_on + (10 + invoice_id * 7919 % 45)::integer)"  # ten days to two months later
PAYERS = ("CPAM du Finistère", "MGEN", "Harmonie Mutuelle", "AXA Santé", "Self-pay & others", "Aide médicale d'État")
PAYER_WEIGHTS = (61, 12, 10, 8, 6, 3)
ACTS = tuple(
    f"{letters}{number:03d}" for letters in ("DEQP", "ZBQK", "YYYY", "HHFA", "NEKA") for number in (1, 4, 16, 200)
)
STATES = ("open", "sent", "paid", "refused")
REASONS = (
    "Missing prior approval",
    "Patient's rights have ended",
    "Duplicate of an earlier claim",
    "Act not covered <art. 12>",
)


class Billing(DataSet):
    """The billing office."""

    name = "billing"
    about = "no declared keys, a monthly batch, old orphans and duplicates, growth"
    tables = tables("""
payers static small
  payer_id integer key
  payer_label varchar(40) text
  contract_start date date
  contract_end date date
  bic varchar(11) other
tariffs static
  act_code varchar(8) code
  price numeric(10,2) number
  valid_from date date
  valid_to date date
invoices fed
  invoice_id bigint key
  payer_id integer fk payers.payer_id
  stay_number integer other
  issued_on date event
  due_on date date
  amount numeric(10,2) number
  vat numeric(10,2) number
  state varchar(8) code
  currency char(3) other
  reference varchar(24) text
  remark text text
  paid_on date date
invoice_lines fed
  line_id bigint key
  invoice_id bigint fk invoices.invoice_id
  act_code varchar(8) code
  quantity smallint number
  unit_price numeric(10,2) number
  total numeric(12,2) number
  performed_on date event
  is_night boolean flag
payments fed
  payment_id bigint key
  invoice_id bigint fk invoices.invoice_id
  method varchar(10) code
  amount numeric(10,2) number
  received_at timestamp event
  iban_country char(2) code
claims monthly
  claim_id integer key
  period char(7) code
  payer_id integer fk payers.payer_id
  act_code varchar(8) code
  amount numeric(10,2) number
  refused boolean flag
  reason text text
  sent_on date event
ledger_export fed
  account varchar(8) code
  debit numeric(12,2) number
  credit numeric(12,2) number
  booked_on date event
  label text text
audit_2021 static
  entry integer key
  what text text
  noted_at timestamp event
""")

    def fill(self, load: Load) -> None:
        """Eight months of claims, four of invoices."""
        random = self.random("fill")
        load.insert(
            "payers",
            [
                (
                    n,
                    label,
                    dt.date(2018, 1, n),
                    FOREVER if label != "Harmonie Mutuelle" else dt.date(2099, 12, 31),
                    None,
                )
                for n, label in enumerate(PAYERS, 1)
            ],
        )
        load.insert(
            "tariffs",
            [
                (
                    act,
                    Decimal(random.randrange(1_000, 60_000)).scaleb(-2),
                    dt.date(year, 3, 1),
                    dt.date(year + 1, 2, 28) if year < LAST_TARIFF else FOREVER,
                )
                for act in ACTS
                for year in range(2019, LAST_TARIFF + 1)
            ],
        )
        load.insert(
            "audit_2021", [(n, random.choice(REASONS), at(dt.date(2021, 1, 4), n * 9_111)) for n in range(1, 900)]
        )
        first = event_day(1).replace(day=1)
        for back in range(MONTHS - 1, -1, -1):
            months = first.year * 12 + first.month - 1 - 1 - back
            self._claims(load, dt.date(months // 12, months % 12 + 1, 1))
        for number, day in enumerate(days_before(HISTORY)):
            self._day(load, day, growth=1 + number / 2_000)
        # The migration of 2025 left orphans and repeated rows: they have been there since ever.
        load.run("UPDATE invoice_lines SET invoice_id = invoice_id + 900000000 WHERE line_id % 211 = 5")
        load.run("INSERT INTO ledger_export SELECT * FROM ledger_export WHERE debit > 400 AND credit = 0")
        load.run("UPDATE invoices SET state = 'sent' WHERE state = 'open' AND issued_on < ?", event_day(1))
        paid = f"UPDATE invoices SET state = 'paid', paid_on = {PAID_ON} WHERE state = 'sent' AND {PAID_ON} < ?"
        load.run(paid, event_day(1))
        load.run("UPDATE invoices SET state = 'refused' WHERE state = 'sent' AND invoice_id % 97 = 11")

    def night(self, load: Load, day: dt.date) -> None:
        """A day's invoices and payments; on the first of a month the claims of the last one."""
        number = HISTORY + (day - event_day(1)).days
        self._day(load, day, growth=1 + number / 2_000)
        if (day + dt.timedelta(days=1)).day == 1:
            self._claims(load, day.replace(day=1))
        self._corrections(load, day)

    def _day(self, load: Load, day: dt.date, growth: float) -> None:
        random = self.random("day", day)
        ((invoice,),), ((line,),), ((payment,),) = (
            load.ask(f"SELECT coalesce(max({key}), 0) FROM {table}")
            for table, key in (("invoices", "invoice_id"), ("invoice_lines", "line_id"), ("payments", "payment_id"))
        )
        invoices, lines, payments, bookings = [], [], [], []
        # Invoices are written on working days, acts are performed every day: a Monday's cover the weekend.
        volume = INVOICES * growth * activity(day, saturday=0.0, sunday=0.0)
        for _ in range(poisson(random, volume) if volume else 0):
            invoice += 1
            total = Decimal(0)
            for _ in range(random.choice((1, 1, 2, 2, 3, 5))):
                line += 1
                quantity = random.choices((1, 2, 3, 10), (80, 12, 6, 2))[0]
                price = Decimal(int(random.lognormvariate(8.4, 0.7))).scaleb(-2)
                total += quantity * price
                lines.append(
                    (
                        line,
                        invoice,
                        random.choices(ACTS, range(len(ACTS), 0, -1))[0],
                        quantity,
                        price,
                        quantity * price,
                        day - dt.timedelta(days=random.choices((0, 1, 2, 3, 7, 20), (40, 25, 15, 10, 7, 3))[0]),
                        happens(random, 0.06),
                    )
                )
            payer = random.choices(range(1, len(PAYERS) + 1), PAYER_WEIGHTS)[0]
            is_paid = happens(random, 0.12)
            invoices.append(
                (
                    invoice,
                    payer,
                    100_000 + int(random.random() * 40_000),
                    day,
                    day + dt.timedelta(days=30),
                    total,
                    (total * Decimal("0.055")).quantize(Decimal("0.01")) if happens(random, 0.2) else None,
                    "paid" if is_paid else "open",
                    "EUR",
                    f"F{day:%Y%m}-{invoice % 100_000:05d}/{payer}",
                    random.choice(REASONS) if happens(random, 0.03) else None,
                    day if is_paid else None,
                )
            )
        if is_working(day) and invoice > 1_000:  # noqa: PLR2004  # the first days have nothing to pay
            for _ in range(poisson(random, 0.85 * INVOICES * growth)):
                payment += 1
                payments.append(
                    (
                        payment,
                        invoice - random.randrange(900),
                        random.choices(("transfer", "card", "cheque"), (70, 25, 5))[0],
                        Decimal(int(random.lognormvariate(9, 0.8))).scaleb(-2),
                        at(day, random.gauss(46_000, 6_000)),
                        random.choices(("FR", "BE", "DE"), (96, 3, 1))[0],
                    )
                )
        if is_working(day):
            for _ in range(poisson(random, 25)):
                amount = Decimal(int(random.lognormvariate(9.5, 0.9))).scaleb(-2)
                side = happens(random, 0.5)
                bookings.append(
                    (
                        random.choice(("411000", "512100", "706100", "445710")),
                        amount if side else Decimal(0),
                        Decimal(0) if side else amount,
                        day,
                        random.choice(("Règlement reçu", "Facture émise", "Écart d'arrondi")),
                    )
                )
        load.insert("invoices", invoices)
        load.insert("invoice_lines", lines)
        load.insert("payments", payments)
        load.insert("ledger_export", bookings)

    def _claims(self, load: Load, month: dt.date) -> None:
        random = self.random("claims", month)
        ((claim,),) = load.ask("SELECT coalesce(max(claim_id), 0) FROM claims")
        sent = (month + dt.timedelta(days=32)).replace(day=1) - dt.timedelta(days=1)
        load.insert("claims", [self._claim(random, claim + n, month, sent) for n in range(1, poisson(random, CLAIMS))])

    @staticmethod
    def _claim(random: Random, number: int, month: dt.date, sent: dt.date) -> Row:
        refused = happens(random, 0.06)
        return (
            number,
            f"{month:%Y-%m}",
            random.choices(range(1, len(PAYERS) + 1), PAYER_WEIGHTS)[0],
            random.choices(ACTS, range(len(ACTS), 0, -1))[0],
            Decimal(int(random.lognormvariate(9.3, 0.6))).scaleb(-2),
            refused,
            random.choice(REASONS) if refused else None,
            sent,
        )

    @staticmethod
    def _corrections(load: Load, day: dt.date) -> None:
        """Invoices are sent on the next working day, paid or refused some weeks later."""
        if not is_working(day):
            return
        load.run("UPDATE invoices SET state = 'sent' WHERE state = 'open' AND issued_on < ?", day)
        load.run(f"UPDATE invoices SET state = 'paid', paid_on = ? WHERE state = 'sent' AND {PAID_ON} <= ?", day, day)
        load.run(
            "UPDATE invoices SET state = 'refused' WHERE state = 'sent' AND invoice_id % 97 = 11 AND issued_on < ?",
            day - dt.timedelta(days=3),
        )
