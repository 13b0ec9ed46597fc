-- What the demo's data manager has written into the rule editor, besides the rules that the pack generates.
INSERT INTO rule_basic (rule_name, alert_level, alert_message, condition_scope, alert_scope, rule_content)
VALUES
    ('jump in nulls', 'Warning', 'the share of empty values has grown by more than 20 points', 'all', 'column',
        '{"metric": "delta_percent_na_values", "condition": ">", "conditionValue": 20}'),
    ('changed type', 'High', 'the column has another type than before', 'all', 'column',
        '{"metric": "schema_change", "condition": "==", "conditionValue": "retyped"}'),
    ('dropped', 'High', 'the column or its table is gone', 'all', 'column',
        '{"metric": "schema_change", "condition": "==", "conditionValue": "dropped"}'),
    ('date in the future', 'Warning', 'there are dates later than today', 'all', 'column',
        '{"metric": "future_dates", "condition": ">", "conditionValue": 0}'),
    ('date before 1850', 'Warning', 'there are dates before 1850', 'all', 'column',
        '{"metric": "min_date_var", "condition": "<", "conditionValue": "1850-01-01"}')
ON CONFLICT DO NOTHING;
