"""Provider info: registers hdm_airflow with Airflow. Registration only."""

from __future__ import annotations

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """Return the provider's entry, in the format of airflow/provider_info.schema.json."""
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
