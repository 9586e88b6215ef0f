-- Reads a JSON value as text: a number becomes its digits; null where it is neither text nor a number.
create function ingest.as_text(given jsonb)
    returns text
    language sql
    immutable
    parallel safe
as $$
    select case jsonb_typeof(given)
        when 'string' then given #>> '{}'
        when 'number' then trim_scale(given::numeric)::text
    end
$$;

comment on function ingest.as_text(jsonb) is 'A JSON value as text: strings and numbers; null for anything else.';
