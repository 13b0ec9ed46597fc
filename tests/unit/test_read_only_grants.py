"""Whether an account can only read, according to MySQL's SHOW GRANTS."""

from __future__ import annotations

import pytest

from hdm_airflow.credentials.read_only import _roles, rights_to_write

READING = [
    "GRANT USAGE ON *.* TO `r`@`%` IDENTIFIED BY PASSWORD '*6BB4837EB74329105EE4568DDA7DC67ED2CA2AD9'",
    "GRANT SELECT, SHOW VIEW ON `heart`.* TO `r`@`%`",
    "GRANT SELECT (`id`, `INSERT,name`), CREATE TEMPORARY TABLES ON `heart`.`visit` TO `r`@`%`",
    "GRANT `reading`@`%`,`more`@`%` TO `r`@`%`",
    "SET DEFAULT ROLE reading FOR r@%",
]


def test_rights_that_change_nothing_do_not_count() -> None:
    """Temporary tables belong to the session; a column can have any name."""
    assert rights_to_write(READING) == []


@pytest.mark.parametrize(
    ("line", "right"),
    [
        ("GRANT ALL PRIVILEGES ON *.* TO `root`@`%`", "ALL PRIVILEGES on *.*"),
        ("GRANT SELECT ON `heart`.* TO `r`@`%` WITH GRANT OPTION", "GRANT OPTION on `heart`.*"),
        ("GRANT SELECT, INSERT (`a`, `b`) ON `heart`.`t` TO `r`@`%`", "INSERT on `heart`.`t`"),
        ("GRANT SELECT, FILE ON *.* TO `r`@`%`", "FILE on *.*"),
        ("GRANT EXECUTE ON PROCEDURE `heart`.`purge` TO `r`@`%`", "EXECUTE on PROCEDURE `heart`.`purge`"),
        ("GRANT PROXY ON ''@'%' TO 'r'@'%'", "PROXY on ''@'%'"),
        ("REVOKE INSERT ON `heart`.* FROM `r`@`%`", "an unrecognized grant"),
    ],
)
def test_right_that_may_change_something_is_named(line: str, right: str) -> None:
    """An unrecognized line counts as one."""
    assert rights_to_write([*READING, line]) == [right]


def test_hash_of_a_password_is_not_repeated() -> None:
    """MariaDB shows it to everyone who may see the grants."""
    line = "GRANT INSERT ON *.* TO `r`@`%` IDENTIFIED BY PASSWORD '*6BB4837EB74329105EE4568DDA7DC67ED2CA2AD9'"
    assert rights_to_write([line]) == ["INSERT on *.*"]


def test_roles_are_found_as_the_server_quotes_them() -> None:
    """They go into the next statement unchanged."""
    assert _roles(READING) == ["`reading`@`%`", "`more`@`%`"]
