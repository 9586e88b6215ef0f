-- Tells whether text is valid input of a type. PostgreSQL 16 and later know it themselves; before, we try.
do $do$
begin
    if current_setting('server_version_num')::integer >= 160000 then
        create function ingest.reads_as(written text, type text)
            returns boolean
            language sql
            stable
            parallel safe
        as $$
            select pg_input_is_valid(written, type)
        $$;
    else
        create function ingest.reads_as(written text, type text)
            returns boolean
            language plpgsql
            stable
        as $$
        begin
            if written is null then
                return null;
            end if;
            execute format('select %L::%s', written, type);
            return true;
        exception when data_exception or syntax_error_or_access_rule_violation then
            return false;
        end
        $$;
    end if;
end
$do$;

comment on function ingest.reads_as(text, text) is 'Whether text is valid input of a type.';
