-- Reads text as JSON; null where it is none. In PL/pgSQL for the reason of ingest.as_number().
create function ingest.as_json(written text)
    returns jsonb
    language plpgsql
    stable
    parallel safe
as $$
begin
    if ingest.reads_as(written, 'jsonb') then
        return written::jsonb;
    end if;
    return null;
end
$$;

comment on function ingest.as_json(text) is 'Text as JSON; null where it is none.';
