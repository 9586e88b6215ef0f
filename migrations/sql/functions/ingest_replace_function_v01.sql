-- Replaces one of the functions that are compiled from ingest.rules, unless it is what it shall be.
create function ingest.replace_function(name text, arguments text, result text, language text, body text)
    returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select from pg_proc p
                where p.pronamespace = 'ingest'::regnamespace and p.proname = name and btrim(p.prosrc, E'\n') = body)
    then
        return;
    end if;
    execute format(
        'create or replace function ingest.%I(%s) returns %s language %s stable parallel safe as %L',
        name, arguments, result, language, E'\n' || body || E'\n');
end
$$;

comment on function ingest.replace_function(text, text, text, text, text) is
    'Replaces a compiled function where its body has changed.';
