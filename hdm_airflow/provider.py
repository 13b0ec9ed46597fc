"""What Airflow is told about this provider. Registration only."""

from __future__ import annotations

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """The provider's entry, as airflow/provider_info.schema.json describes it."""
    return {
        "package-name": "hdm-airflow",
        "name": "HDM",
        "description": "Data quality packs for hospital databases.",
        "operators": [
            {"integration-name": "HDM", "python-modules": ["hdm_airflow.operators.pack"]},
        ],
        "hooks": [
            {"integration-name": "HDM", "python-modules": ["hdm_airflow.base.hook"]},
        ],
        "cli": ["hdm_airflow.cli.definition.get_hdm_cli_commands"],
    }
