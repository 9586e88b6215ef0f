-- Reads text as a time, as src/tidegate/parse.py does: ISO 8601, or seconds, milli-, micro- or nanoseconds since 1970,
-- told apart by their size (seconds reach 1e11 in the year 5138, milliseconds in 1973). Eight digits are a date.
-- Null where it is no time. The caller sets TimeZone to UTC and DateStyle to YMD, so that 01/02/2024 is nobody's guess.
create function ingest.as_moment(written text)
    returns timestamptz
    language sql
    stable
    parallel safe
as $$
    select case
        when written ~ '^\s*(?!\d{8}\s*$)[+-]?\d+(\.\d*)?([eE][+-]?\d+)?\s*$' then (
            select case when s.seconds between -62135510400 and 253402214400 then to_timestamp(s.seconds) end
              from (select n.number / case when abs(n.number) < 1e11 then 1 when abs(n.number) < 1e14 then 1e3
                                           when abs(n.number) < 1e17 then 1e6 else 1e9 end as seconds
                      from (select ingest.as_number(written) as number) as n) as s)
        -- Words such as `yesterday` are PostgreSQL's, and no time that an event carries.
        when written ~ '^\s*\d' and ingest.reads_as(written, 'timestamptz') then written::timestamptz
    end
$$;

comment on function ingest.as_moment(text) is 'Text as a time: ISO 8601 or a number since 1970; null where it is none.';
