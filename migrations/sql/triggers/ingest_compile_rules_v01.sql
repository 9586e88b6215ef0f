-- Once a statement, whatever it did: ten rules in one INSERT are compiled once.
create trigger compile_rules
    after insert or update or delete or truncate on ingest.rules
    for each statement
    execute function ingest.compile_rules();

-- A restore in replica role brings the functions too, but a copy tool need not.
alter table ingest.rules enable always trigger compile_rules;

comment on trigger compile_rules on ingest.rules is
    'Compiles the enabled rules into functions, in the transaction that changed them.';
