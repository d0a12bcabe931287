-- notifications_accept: what notifications.services.accept does, for whoever speaks SQL. docs/in_process.md shows its
-- use, docs/adr/0016-accept-in-sql.md says why it is as it is. @schema@ is the schema of the tables: nothing here is
-- found by a search path that a caller could have set.
--
-- The contract of a name never changes: neither its arguments, nor its answers, nor its SQLSTATEs. What cannot be had by
-- replacing the bodies below (CREATE OR REPLACE keeps grants and triggers as they are) will be notifications_accept_v2.

-- Version 7 (RFC 9562): in the order of time. From Postgres' own version 4 by the milliseconds and two bits.
CREATE OR REPLACE FUNCTION @schema@.notifications_uuid7() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
SELECT encode(set_bit(set_bit(overlay(
    uuid_send(gen_random_uuid())
    PLACING substring(int8send(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6
), 52, 1), 53, 1), 'hex')::uuid
$$;

CREATE OR REPLACE FUNCTION @schema@.notifications_accept_version() RETURNS integer LANGUAGE sql IMMUTABLE AS $$
SELECT 1
$$;

-- Metadata in the one form that notifications.intake.canonical writes, too: members by name, numbers in full.
CREATE OR REPLACE FUNCTION @schema@.notifications_accept_canonical(metadata jsonb) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
SELECT '{' || coalesce(string_agg(
    to_json(m.key)::text || ': '
    || CASE jsonb_typeof(m.value) WHEN 'number' THEN trim_scale(m.value::numeric)::text ELSE m.value::text END,
    ', ' ORDER BY m.key COLLATE "C"
), '') || '}'
FROM jsonb_each(metadata) AS m
$$;

-- The rules of notifications.intake.validated, in its order. problem: {field, code, detail}, or null; then the recipient
-- in its normal form, and its lane. Reads: channel_rules, by primary key; suppression, by suppression_once.
CREATE OR REPLACE FUNCTION @schema@.notifications_accept_checked(
    channel text, message text, recipient text, subject text, send_at timestamptz, expires_at timestamptz,
    priority text, metadata jsonb, canonical text, correlation_id text,
    OUT problem text[], OUT normal text, OUT lane text
) LANGUAGE plpgsql STABLE AS $$
DECLARE
    -- What Python's str.strip() takes away.
    space CONSTANT text := E'\t\n\x0b\f\r\x1c\x1d\x1e\x1f \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005'
        '\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000';
    at CONSTANT timestamptz := clock_timestamp();
    rule @schema@.channel_rules;
    domain text;
BEGIN
    problem := CASE
        WHEN channel IS NULL THEN ARRAY['channel', 'null', 'must not be null']
        WHEN message IS NULL THEN ARRAY['message', 'null', 'must not be null']
        WHEN recipient IS NULL THEN ARRAY['recipient', 'null', 'must not be null']
        WHEN subject IS NULL THEN ARRAY['subject', 'null', 'must not be null']
        WHEN priority IS NULL THEN ARRAY['priority', 'null', 'must not be null']
        WHEN metadata IS NULL THEN ARRAY['metadata', 'null', 'must not be null']
    END;
    IF problem IS NOT NULL THEN
        RETURN;
    END IF;

    SELECT r.* INTO rule FROM @schema@.channel_rules AS r WHERE r.channel = notifications_accept_checked.channel;
    problem := CASE
        WHEN rule.channel IS NULL THEN ARRAY['channel', 'unknown_channel', coalesce(
            'must be one of ' || (SELECT string_agg(r.channel, ', ' ORDER BY r.place) FROM @schema@.channel_rules AS r),
            'no channel is known to the database yet: start a worker, or run manage.py publish_channels')]
        WHEN NOT rule.configured THEN
            ARRAY['channel', 'channel_not_configured', channel || ' has no provider configured on this service']
        WHEN NOT rule.from_sql THEN
            ARRAY['channel', 'channel_not_in_sql', channel || ' takes requests by the API and in-process only']
        WHEN rule.subject = 'none' AND subject <> '' THEN
            ARRAY['subject', 'not_supported', channel || ' has no subject: leave it out']
        WHEN rule.subject = 'required' AND btrim(subject, space) = '' THEN
            ARRAY['subject', 'required', 'must not be empty: ' || channel || ' needs a subject']
        WHEN length(subject) > rule.subject_limit THEN ARRAY['subject', 'too_long',
            format('must be at most %s characters, not %s', rule.subject_limit, length(subject))]
        WHEN subject ~ E'[\x01-\x1f\x7f-\u009f\u2028\u2029]' THEN
            ARRAY['subject', 'invalid_characters', 'must be one line, without control characters']
        WHEN btrim(message, space) = '' THEN ARRAY['message', 'blank', 'must not be empty']
        WHEN length(message) > rule.message_limit THEN ARRAY['message', 'too_long',
            format('must be at most %s characters, not %s', rule.message_limit, length(message))]
        WHEN rule.message_bytes > 0 AND octet_length(message) > rule.message_bytes THEN ARRAY['message', 'too_long',
            format('must be at most %s bytes of UTF-8, not %s', rule.message_bytes, octet_length(message))]
    END;
    IF problem IS NOT NULL THEN
        RETURN;
    END IF;

    CASE rule.recipient
    WHEN 'name' THEN
        normal := coalesce(nullif(recipient, ''), 'default');
        normal := CASE
            WHEN normal = 'default' AND cardinality(rule.names) = 1 THEN rule.names[1]
            WHEN normal = ANY (rule.names) THEN normal
        END;
    WHEN 'email' THEN
        -- The grammar of channels.text.normal_address. Lower case by "C": ASCII alone, whatever the database's language.
        -- The length of a label is asked apart: counted in the pattern, each session's first address took 90 ms.
        IF length(recipient) <= 254 THEN
            domain := lower(substring(recipient FROM '@([^@]*)$') COLLATE "C");
            normal := left(recipient, -length(domain)) || domain;
            IF length(normal) - length(domain) > 65 OR domain ~ '[^.]{64}' OR normal COLLATE "C" !~ (
                '^[-!#$%&''*+/=?^_`{}|~0-9A-Za-z]+(?:\.[-!#$%&''*+/=?^_`{}|~0-9A-Za-z]+)*@'
                '(?:(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+(?:[a-z][a-z-]*[a-z]|xn--[a-z0-9]+)|localhost)$'
            ) THEN
                normal := NULL;
            END IF;
        END IF;
    WHEN 'pattern' THEN
        normal := CASE WHEN recipient COLLATE "C" ~ rule.pattern THEN recipient END;
    END CASE;
    lane := CASE WHEN rule.lane_for_each THEN channel || ':' || normal ELSE channel END;

    problem := CASE
        WHEN normal IS NULL THEN ARRAY['recipient', rule.code, rule.detail]
        -- Years that other languages cannot read back.
        WHEN send_at < '0001-01-01 00:00:00+00' THEN ARRAY['send_at', 'invalid', 'must be of the years 1 to 9999']
        WHEN send_at > at + interval '8784 hours' THEN ARRAY['send_at', 'too_far', 'must be within a year']
        WHEN expires_at <= at THEN ARRAY['expires_at', 'in_the_past', 'must be in the future']
        WHEN expires_at >= '10000-01-01 00:00:00+00' THEN ARRAY['expires_at', 'too_far', 'must be before the year 10000']
        WHEN expires_at <= send_at THEN ARRAY['expires_at', 'before_send_at', 'must be after send_at']
        WHEN priority NOT IN ('high', 'normal', 'low') THEN
            ARRAY['priority', 'invalid_choice', 'must be one of high, normal, low']
        WHEN canonical IS NULL OR canonical <> '{}' AND EXISTS (
            SELECT FROM jsonb_each(CASE WHEN canonical IS NOT NULL THEN metadata END) AS m
            WHERE jsonb_typeof(m.value) NOT IN ('string', 'number')
        ) THEN ARRAY['metadata', 'invalid', 'must be an object whose values are strings or numbers']
        WHEN octet_length(canonical) > 4096 THEN
            ARRAY['metadata', 'max_length', 'may have 4096 bytes at most, as JSON']
        WHEN correlation_id COLLATE "C" !~ '^[A-Za-z0-9._~:/+=-]{0,128}$' THEN ARRAY['correlation_id', 'invalid',
            'must be up to 128 letters and digits of ASCII, or any of ._~:/+=-']
    END;
    IF problem IS NULL THEN
        SELECT ARRAY['recipient', 'suppressed', format('is on the suppression list (%s): nothing is sent there', s.reason)]
        INTO problem FROM @schema@.suppression AS s
        WHERE s.address = notifications_accept_checked.channel || ':' || normal;
    END IF;
END
$$;

-- Accepts a notification in the caller's transaction, once for each key; docs/in_process.md has the table of its errors.
-- A transaction that holds the key uncommitted is waited for, as long as the caller's lock_timeout lets it. No NOTIFY:
-- it would lock the whole database at commit; a worker's relay looks once a second.
CREATE OR REPLACE FUNCTION @schema@.notifications_accept(
    client text, channel text, message text, recipient text DEFAULT '', subject text DEFAULT '',
    send_at timestamptz DEFAULT NULL, expires_at timestamptz DEFAULT NULL, priority text DEFAULT 'normal',
    metadata jsonb DEFAULT '{}', idempotency_key text DEFAULT NULL, correlation_id text DEFAULT '',
    OUT id uuid, OUT status text, OUT answer json, OUT replayed boolean
) LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    path CONSTANT text := '/api/v1/notifications/';
    created_at CONSTANT timestamptz := clock_timestamp();
    canonical CONSTANT text := CASE jsonb_typeof(metadata)
        WHEN 'object' THEN @schema@.notifications_accept_canonical(metadata) END;
    owner record;
    checked record;
    kept record;
    asked bytea;
    body text;
BEGIN
    SELECT c.id, c.is_active INTO owner FROM @schema@.client AS c WHERE c.name = notifications_accept.client;
    IF owner.id IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'NK002', MESSAGE = 'client: there is no client of this name',
            DETAIL = '{"field": "client", "code": "client_unknown"}',
            HINT = 'Name a client that the service knows; manage.py create_api_key makes one.';
    ELSIF NOT owner.is_active THEN
        RAISE EXCEPTION USING ERRCODE = 'NK003', MESSAGE = 'client: this client is switched off',
            DETAIL = '{"field": "client", "code": "client_inactive"}', HINT = 'Ask an operator to switch the client on.';
    ELSIF idempotency_key COLLATE "C" !~ '^[ -~]{1,255}$' THEN
        RAISE EXCEPTION USING ERRCODE = 'NK004',
            MESSAGE = 'idempotency_key: must be 1 to 255 characters of printable ASCII',
            DETAIL = '{"field": "idempotency_key", "code": "idempotency_key_invalid"}',
            HINT = 'Use a key of your own data, such as order-placed:42, or NULL for none.';
    END IF;

    checked := @schema@.notifications_accept_checked(channel, message, recipient, subject, send_at, expires_at, priority,
        metadata, canonical, correlation_id);
    IF idempotency_key IS NOT NULL THEN
        -- As notifications.intake.NotificationRequest.fingerprint.
        asked := sha256(convert_to(json_build_array(channel, recipient, message, subject,
            to_char(send_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            to_char(expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), priority)::text || canonical, 'UTF8'));
    END IF;

    IF checked.problem IS NOT NULL THEN
        -- What was accepted once stays accepted, though its time be past or its webhook gone since.
        SELECT convert_from(r.body, 'UTF8')::json AS answer INTO kept FROM @schema@.idempotency_record AS r
        WHERE r.client_id = owner.id AND r.operation = 'accept' AND r.key = idempotency_key AND r.fingerprint = asked;
        IF FOUND THEN
            id := kept.answer ->> 'id'; status := kept.answer ->> 'status'; answer := kept.answer; replayed := true;
            RETURN;
        END IF;
        RAISE EXCEPTION USING ERRCODE = 'NK001', MESSAGE = checked.problem[1] || ': ' || checked.problem[3],
            DETAIL = json_build_object('field', checked.problem[1], 'code', checked.problem[2]),
            HINT = 'Nothing was stored, and the key is free: mend the field and call again.',
            COLUMN = checked.problem[1], CONSTRAINT = checked.problem[2];
    END IF;

    id := @schema@.notifications_uuid7();
    status := 'pending';
    replayed := false;
    -- The very bytes that services.accept would store: a replay of either is equal to the last one.
    body := format('{"id": "%s", "channel": %s, "to": %s, "status": "pending", "created_at": "%s", '
        '"links": {"self": "%s"}, "idempotency_key": %s}', id, to_json(channel), to_json(checked.normal),
        replace(to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'), '.000000', '') || 'Z',
        path || id, coalesce(to_json(idempotency_key)::text, 'null'));
    answer := body;
    FOR tried IN 1..3 LOOP  -- a key can vanish between insert and read: its transaction rolled back, or it was purged
        IF idempotency_key IS NOT NULL THEN
            INSERT INTO @schema@.idempotency_record
                (client_id, operation, key, fingerprint, status, location, body, notification_ids, created_at)
            VALUES (owner.id, 'accept', idempotency_key, asked, 202, path || id, convert_to(body, 'UTF8'), ARRAY[id],
                created_at)
            ON CONFLICT DO NOTHING;
            IF NOT FOUND THEN
                -- A statement of its own: the one that lost the race cannot see the winner's row.
                SELECT r.fingerprint, convert_from(r.body, 'UTF8')::json AS answer INTO kept
                FROM @schema@.idempotency_record AS r
                WHERE r.client_id = owner.id AND r.operation = 'accept' AND r.key = idempotency_key;
                CONTINUE WHEN NOT FOUND;
                IF kept.fingerprint <> asked THEN
                    RAISE EXCEPTION USING ERRCODE = 'NK005',
                        MESSAGE = 'idempotency_key: this key was used for a different request',
                        DETAIL = '{"field": "idempotency_key", "code": "idempotency_key_reused"}',
                        HINT = 'Use a new key for a new request; a retry must be the same request.';
                END IF;
                id := kept.answer ->> 'id'; status := kept.answer ->> 'status'; answer := kept.answer; replayed := true;
                RETURN;
            END IF;
        END IF;
        -- The columns and tables of notifications.outbox.accept.ACCEPT: what is inserted there, is inserted here.
        INSERT INTO @schema@.notification (id, client_id, channel, lane, recipient, subject, body, metadata, priority,
            due_at, expires_at, status, attempt, tries, losses, possible_duplicate, provider_id, error_code,
            correlation_id, idempotency_key, created_at)
        VALUES (id, owner.id, channel, checked.lane, checked.normal, subject, message, metadata,
            array_position(ARRAY['high', 'normal', 'low'], priority) - 1, greatest(now(), send_at), expires_at, 'pending',
            0, 0, 0, false, '', '', coalesce(correlation_id, ''), coalesce(idempotency_key, ''), created_at);
        -- The hashes are those of notifications.outbox.listing.
        INSERT INTO @schema@.listing (client_id, id, recipient, correlation)
        VALUES (owner.id, id, hashtextextended(checked.normal, owner.id),
            hashtextextended(coalesce(correlation_id, ''), owner.id));
        IF metadata <> '{}' THEN
            INSERT INTO @schema@.label (term, id)
            SELECT hashtextextended(m.key || '=' || m.value, owner.id), notifications_accept.id
            FROM jsonb_each_text(metadata) AS m ON CONFLICT DO NOTHING;
        END IF;
        RETURN;
    END LOOP;
    RAISE EXCEPTION USING ERRCODE = '40001', MESSAGE = 'idempotency_key: the record of this key came and went',
        HINT = 'Try the transaction again.';
END
$$;

COMMENT ON FUNCTION @schema@.notifications_accept IS
    'Accept a notification in this transaction, once for each key. Contract version 1: docs/in_process.md.';
REVOKE ALL ON FUNCTION @schema@.notifications_accept, @schema@.notifications_accept_checked,
    @schema@.notifications_accept_canonical FROM PUBLIC;
