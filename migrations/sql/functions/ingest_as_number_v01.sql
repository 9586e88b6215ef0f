-- Reads text as a number; null where it is none.
-- In PL/pgSQL, which evaluates what it comes to: a planner that knows the text would try the cast beforehand, and fail.
create function ingest.as_number(written text)
    returns double precision
    language plpgsql
    stable
    parallel safe
as $$
begin
    if ingest.reads_as(written, 'double precision') then
        return written::double precision;
    end if;
    return null;
end
$$;

comment on function ingest.as_number(text) is 'Text as a number; null where it is none.';
