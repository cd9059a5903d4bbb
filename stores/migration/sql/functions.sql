-- The rules by which an old value becomes a new one. An old value comes as JSON, which says what it was.

CREATE OR REPLACE FUNCTION paralelo_stores.as_row(line json) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    -- PostgreSQL's jsonb holds no NUL character: the symbol for it stands in its place, as in text columns.
    SELECT CASE WHEN position('\u0000' IN line::text) = 0 THEN line::text::jsonb
        ELSE regexp_replace(line::text, '(?<!\\)((?:\\\\)*)\\u0000', '\1\\u2400', 'g')::jsonb END
$$;

-- A value as tap-sqlite writes it where a column holds values of several kinds.

CREATE OR REPLACE FUNCTION paralelo_stores.as_stored(value anyelement) RETURNS json LANGUAGE sql STABLE STRICT AS
    'SELECT to_json(value)';

CREATE OR REPLACE FUNCTION paralelo_stores.as_stored(value bytea) RETURNS json LANGUAGE sql STABLE STRICT AS $$
    SELECT format('{"base64": "%s"}', translate(encode(value, 'base64'), E'\n', ''))::json
$$;

CREATE OR REPLACE FUNCTION paralelo_stores.as_stored(value boolean) RETURNS json LANGUAGE sql STABLE STRICT AS
    'SELECT to_json(value::integer)';

CREATE OR REPLACE FUNCTION paralelo_stores.as_stored(value double precision) RETURNS json LANGUAGE sql STABLE STRICT AS $$
    SELECT CASE WHEN value = 'inf' THEN '{"real": "inf"}' WHEN value = '-inf' THEN '{"real": "-inf"}'
        WHEN value = trunc(value) AND abs(value) < 1e16 THEN (value::bigint || '.0')::json ELSE to_json(value) END
$$;

CREATE OR REPLACE FUNCTION paralelo_stores.as_text(value jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE jsonb_typeof(value) WHEN 'string' THEN value #>> '{}' WHEN 'number' THEN value #>> '{}'
        WHEN 'object' THEN value ->> 'real' END
$$;

CREATE OR REPLACE FUNCTION paralelo_stores.as_number(value jsonb) RETURNS double precision LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN jsonb_typeof(value) = 'number' THEN value::double precision
        -- An infinity travels as text: JSON has no number for it, and row_to_json quotes it. In a column of mixed kinds it
        -- is the object that tap-sqlite makes of it.
        WHEN value #>> '{}' IN ('Infinity', '-Infinity') THEN (value #>> '{}')::double precision
        WHEN value ->> 'real' IN ('inf', '-inf') THEN (value ->> 'real')::double precision END
$$;

CREATE OR REPLACE FUNCTION paralelo_stores.as_integer(value jsonb) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN jsonb_typeof(value) = 'number' THEN
        CASE WHEN value::numeric = trunc(value::numeric) AND abs(value::numeric) <= 2147483647 THEN value::bigint END END
$$;

CREATE OR REPLACE FUNCTION paralelo_stores.as_boolean(value jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE value WHEN 'true' THEN true WHEN '1' THEN true WHEN 'false' THEN false WHEN '0' THEN false END
$$;

CREATE OR REPLACE FUNCTION paralelo_stores.since_1970(number numeric) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN number >= 0 AND number < 1e11 THEN timestamptz 'epoch' + (round(number * 1000000)::text || ' us')::interval
        WHEN number >= 1e11 AND number < 1e14 THEN timestamptz 'epoch' + (round(number * 1000)::text || ' us')::interval
    END
$$;

CREATE OR REPLACE FUNCTION paralelo_stores.as_time(value jsonb) RETURNS timestamptz LANGUAGE sql STABLE AS $$
    -- A number counts from 1970: seconds up to 10^11 (the year 5138), milliseconds from there to 10^14. Text is ISO 8601,
    -- with T or a space; without an offset it is UTC, which is what the old classes wrote. A number that was written to
    -- a text column is text since: one of nine digits or more before the point is no date, and counts from 1970. Not \d,
    -- which takes other scripts' digits too in some collations.
    SELECT CASE
        WHEN jsonb_typeof(value) = 'number' THEN paralelo_stores.since_1970(value::numeric)
        WHEN jsonb_typeof(value) = 'string' AND value #>> '{}' ~ '^[0-9]{9,14}(\.[0-9]{1,20})?$'
            THEN paralelo_stores.since_1970((value #>> '{}')::numeric)
        WHEN jsonb_typeof(value) = 'string' AND value #>> '{}'
            ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?( ?(Z|[+-][0-9]{2}(:?[0-9]{2})?))?)?$'
            AND pg_input_is_valid(value #>> '{}', 'timestamptz') THEN (value #>> '{}')::timestamptz
    END
$$;

CREATE OR REPLACE FUNCTION paralelo_stores.is_json(written text) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
-- Whether PostgreSQL reads it. What is nested over 500 deep is none: PostgreSQL's stack, and that of Python's reader, has
-- an end.
BEGIN
    RETURN (length(written) - length(translate(written, '[{', '')) <= 500 OR (
        SELECT max(depth) <= 500 FROM (
            SELECT sum(CASE WHEN sign[1] IN ('[', '{') THEN 1 ELSE -1 END) OVER (ORDER BY n) AS depth
            FROM regexp_matches(regexp_replace(written, '"(?:[^"\\]|\\.)*"', '', 'g'), '[][{}]', 'g')
                WITH ORDINALITY AS m (sign, n)
        ) AS nested
    )) AND pg_input_is_valid(written, 'jsonb');
END
$$;

CREATE OR REPLACE FUNCTION paralelo_stores.as_json(value jsonb) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
-- Text that is JSON becomes it. Broken JSON is kept as the text it is, under a name that says so. Not one expression of
-- SQL: there the planner may try the cast before the check that guards it.
BEGIN
    IF jsonb_typeof(value) IS NULL OR jsonb_typeof(value) = 'null' THEN
        RETURN NULL;
    ELSIF jsonb_typeof(value) <> 'string' THEN
        RETURN value;
    ELSIF paralelo_stores.is_json(value #>> '{}') THEN
        RETURN (value #>> '{}')::jsonb;
    END IF;
    RETURN jsonb_build_object('broken_json', value);
END
$$;

CREATE OR REPLACE FUNCTION paralelo_stores.broken(name text, value jsonb) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN jsonb_typeof(value) = 'string' AND NOT paralelo_stores.is_json(value #>> '{}')
        THEN name || ' is broken JSON, kept as text' END
$$;

CREATE OR REPLACE FUNCTION paralelo_stores.missing(name text, value jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN value IS NULL OR value = 'null' THEN name || ' is missing' END
$$;

CREATE OR REPLACE FUNCTION paralelo_stores.binary_in(line jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    -- A blob, or text that is not UTF-8, in a column that becomes text, a number, a time or JSON: none of these holds it.
    SELECT string_agg(key || ' is binary', '; ' ORDER BY key) FROM jsonb_each(line)
    WHERE jsonb_typeof(value) = 'object' AND value ?| ARRAY['base64', 'text_base64']
$$;

CREATE OR REPLACE FUNCTION paralelo_stores.wrong(name text, value jsonb, kind text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN value IS NOT NULL AND value <> 'null' AND CASE kind
        WHEN 'text' THEN paralelo_stores.as_text(value) IS NULL
        WHEN 'number' THEN paralelo_stores.as_number(value) IS NULL
        WHEN 'integer' THEN paralelo_stores.as_integer(value) IS NULL
        WHEN 'boolean' THEN paralelo_stores.as_boolean(value) IS NULL
        WHEN 'time' THEN paralelo_stores.as_time(value) IS NULL
        END THEN name || ' is no ' || kind END
$$;

CREATE OR REPLACE FUNCTION paralelo_stores.unsearchable(name text, value jsonb) RETURNS text LANGUAGE plpgsql STABLE AS $$
-- A full-text index holds a million bytes of a text's words. Only a long text is tried.
BEGIN
    IF octet_length(paralelo_stores.as_text(value)) > 100000 THEN
        BEGIN
            PERFORM to_tsvector('simple', paralelo_stores.as_text(value));
        EXCEPTION WHEN program_limit_exceeded THEN
            RETURN name || ' has more words than a full-text index holds';
        END;
    END IF;
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION paralelo_stores.judgement(VARIADIC found text[]) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT nullif(array_to_string(found, '; '), '')
$$;

CREATE OR REPLACE FUNCTION paralelo_stores.with_legacy(base jsonb, legacy jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    -- What has no column of its own goes along under `legacy`. What is no object, or has a `legacy` itself, goes under
    -- `value`.
    SELECT CASE WHEN base IS NULL THEN '{}' WHEN jsonb_typeof(base) = 'object' AND NOT base ? 'legacy' THEN base
        ELSE jsonb_build_object('value', base) END || jsonb_build_object('legacy', jsonb_strip_nulls(legacy))
$$;

CREATE OR REPLACE FUNCTION paralelo_stores.rest(line jsonb, VARIADIC used text[]) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    -- Everything of the old row but the columns that went elsewhere.
    SELECT line - used - '_rowid'::text
$$;

CREATE OR REPLACE FUNCTION paralelo_stores.uncertainty(scores jsonb) RETURNS double precision LANGUAGE sql IMMUTABLE AS $$
    -- The least of the confidence scores, an object's or a list's, taken from 1; 1 where there is no number among them.
    -- In numeric: JSON may hold numbers that no double does, and a score beyond -1 to 1 is none.
    SELECT coalesce(1 - min(value::numeric), 1)::double precision
    FROM (SELECT jsonb_path_query(scores, '$.*') UNION ALL SELECT jsonb_path_query(scores, '$[*]')) AS found (value)
    WHERE jsonb_typeof(value) = 'number' AND abs(value::numeric) <= 1
$$;
