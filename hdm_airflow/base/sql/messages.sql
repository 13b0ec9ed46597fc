-- name: add
-- Put a message into the outbox, with its recipients.
WITH message AS (
    INSERT INTO hdm_message (subscription, digest, channel, key, subject, body)
    VALUES (%(subscription)s, %(digest)s, %(channel)s, %(key)s, %(subject)s, %(body)s) RETURNING id
)
INSERT INTO hdm_message_recipient (message, recipient) SELECT id, unnest(%(recipients)s::text[]) FROM message;

-- name: due
-- Messages that wait and may be tried now, the oldest first.
SELECT DISTINCT message FROM hdm_message_recipient
WHERE state = 'waiting' AND (not_before IS NULL OR not_before <= clock_timestamp()) ORDER BY message;

-- name: read
-- A message, and for whom it waits.
SELECT message.id, message.subscription, message.at, message.channel, message.key, message.subject, message.body,
    array_agg(recipient.recipient ORDER BY recipient.recipient) AS every,
    array_agg(recipient.recipient ORDER BY recipient.recipient) FILTER (WHERE recipient.state = 'waiting') AS waiting
FROM hdm_message AS message JOIN hdm_message_recipient AS recipient ON recipient.message = message.id
WHERE message.id = %(id)s GROUP BY message.id;

-- name: record
-- What became of it, for these recipients.
UPDATE hdm_message_recipient AS recipient SET state = now.state, reason = now.reason, tries = tries + 1,
    at = clock_timestamp(), not_before = NULL
FROM unnest(%(recipients)s::text[], %(states)s::text[], %(reasons)s::text[]) AS now (recipient, state, reason)
WHERE recipient.message = %(id)s AND recipient.recipient = now.recipient AND recipient.state = 'waiting';

-- name: postpone
-- What waits on a channel is not tried before then.
UPDATE hdm_message_recipient AS recipient SET reason = %(reason)s,
    not_before = clock_timestamp() + make_interval(secs => %(seconds)s)
FROM hdm_message AS message
WHERE message.id = recipient.message AND recipient.state = 'waiting' AND message.channel = %(channel)s
    AND (%(recipient)s::text IS NULL OR recipient.recipient = %(recipient)s);

-- name: withdraw
-- What waits for a subscription is not sent any more.
UPDATE hdm_message_recipient AS recipient SET state = 'withdrawn', at = clock_timestamp()
FROM hdm_message AS message
WHERE message.id = recipient.message AND recipient.state = 'waiting' AND message.subscription = %(subscription)s;

-- name: waiting
-- How many messages wait, by the reason of the last try.
SELECT message.channel, recipient.reason, count(DISTINCT message.id) AS messages, min(message.at) AS since,
    max(recipient.not_before) AS not_before
FROM hdm_message_recipient AS recipient JOIN hdm_message AS message ON message.id = recipient.message
WHERE recipient.state = 'waiting' GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2;

-- name: expire
-- Remove old messages that nobody waits for.
DELETE FROM hdm_message AS message WHERE at < clock_timestamp() - make_interval(days => %(days)s) AND NOT EXISTS (
    SELECT FROM hdm_message_recipient AS recipient WHERE recipient.message = message.id AND recipient.state = 'waiting'
);

-- name: lock
-- One session at a time decides and sends, until `unlock` or its end.
SELECT pg_try_advisory_lock(hashtextextended('hdm:notify', 0)) AS locked;

-- name: unlock
-- Let others.
SELECT pg_advisory_unlock(hashtextextended('hdm:notify', 0));
