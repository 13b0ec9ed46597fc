-- name: all
-- Every subscription.
SELECT id, type, mail, key, db_key, filters, channel, language, resolved, heartbeat, since, told_on
FROM hdm_core_mail_list WHERE %(ids)s::integer[] IS NULL OR id = ANY(%(ids)s) ORDER BY id;

-- name: lock
-- Keep others from changing one.
SELECT id FROM hdm_core_mail_list WHERE id = %(id)s FOR UPDATE;

-- name: add
-- Add one, from now on.
INSERT INTO hdm_core_mail_list (type, mail, key, db_key, filters, channel, language, resolved, heartbeat, since)
VALUES ('rule', %(mail)s, %(key)s, %(db_key)s, %(filters)s, %(channel)s, %(language)s, %(resolved)s, %(heartbeat)s,
    clock_timestamp())
RETURNING id;

-- name: change
-- Change one. What it was told stays told.
UPDATE hdm_core_mail_list SET type = 'rule', mail = %(mail)s, key = %(key)s, db_key = %(db_key)s, filters = %(filters)s,
    channel = %(channel)s, language = %(language)s, resolved = %(resolved)s, heartbeat = %(heartbeat)s
WHERE id = %(id)s;

-- name: remove
-- Remove one.
DELETE FROM hdm_core_mail_list WHERE id = %(id)s;

-- name: begin
-- Rows of the original that no digest has seen begin a day ago.
UPDATE hdm_core_mail_list SET since = clock_timestamp() - interval '1 day' WHERE since IS NULL;

-- name: told
-- What the last message of subscriptions was about.
UPDATE hdm_core_mail_list SET told_on = %(date)s WHERE id = ANY(%(ids)s);

-- name: allowed
-- Which addresses everybody may subscribe.
SELECT pattern, actor, at FROM hdm_mail_allowed ORDER BY pattern;

-- name: allow
-- Allow one, unless it is allowed.
INSERT INTO hdm_mail_allowed (pattern, actor) VALUES (%(pattern)s, %(actor)s) ON CONFLICT DO NOTHING;

-- name: disallow
-- Allow it no longer.
DELETE FROM hdm_mail_allowed WHERE pattern = %(pattern)s;

-- name: deliveries
-- What became of the messages of each subscription: how many wait, since when and why; who was refused last, and why.
SELECT message.subscription, recipient.recipient, recipient.state, count(*) AS messages, min(message.at) AS since,
    (array_agg(recipient.reason ORDER BY recipient.at DESC))[1] AS reason
FROM hdm_message_recipient AS recipient JOIN hdm_message AS message ON message.id = recipient.message
WHERE recipient.state = 'waiting' OR (recipient.state = 'refused' AND message.id = (
    SELECT max(newest.id) FROM hdm_message AS newest JOIN hdm_message_recipient AS own ON own.message = newest.id
    WHERE newest.subscription = message.subscription AND own.recipient = recipient.recipient AND own.state <> 'waiting'
))
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
