"""PackOperator: one task per pack. Thin: what it decides is in `plan`, what a run meant in `verdict`."""
