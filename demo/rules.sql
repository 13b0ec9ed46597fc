-- The rules that the demo's data manager has written, in addition to those that the pack generates.
INSERT INTO rule_basic (rule_name, alert_level, alert_message, condition_scope, alert_scope, rule_content)
VALUES
    ('jump in nulls', 'Warning', 'The share of empty values has grown by more than 20 percentage points', 'all', 'column',
        '{"metric": "delta_percent_na_values", "condition": ">", "conditionValue": 20}'),
    ('changed type', 'High', 'The type of the column has changed', 'all', 'column',
        '{"metric": "schema_change", "condition": "==", "conditionValue": "retyped"}'),
    ('dropped', 'High', 'The column or its table no longer exists', 'all', 'column',
        '{"metric": "schema_change", "condition": "==", "conditionValue": "dropped"}'),
    ('date in the future', 'Warning', 'Some dates are in the future', 'all', 'column',
        '{"metric": "future_dates", "condition": ">", "conditionValue": 0}'),
    ('date before 1850', 'Warning', 'Some dates are before 1850', 'all', 'column',
        '{"metric": "min_date_var", "condition": "<", "conditionValue": "1850-01-01"}')
ON CONFLICT DO NOTHING;
