-- Says that a value is not what its column takes, with as much of the value as a reason may repeat.
create function ingest.complaint(field text, kind text, given jsonb)
    returns text
    language sql
    immutable
    parallel safe
as $$
    select format('%s is not %s: %s%s', field, kind, left(given #>> '{}', 40),
                  case when length(given #>> '{}') > 40 then '…' else '' end)
$$;

comment on function ingest.complaint(text, text, jsonb) is 'The reason of a value that its column cannot take.';
