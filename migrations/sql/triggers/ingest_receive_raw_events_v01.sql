-- Once a statement: a COPY is typed set by set, not row by row.
create trigger receive_raw_events
    after insert on ingest.raw_events
    referencing new table as arrived
    for each statement
    execute function ingest.receive_raw_events();

-- Sessions in replica role must not leave rows that nobody will read.
alter table ingest.raw_events enable always trigger receive_raw_events;

comment on trigger receive_raw_events on ingest.raw_events is
    'Types what arrived as text and hands it on, once a statement.';
