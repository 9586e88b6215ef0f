-- A statement trigger: a row trigger costs 7.7 times the CPU and is quadratic on COPY.
create trigger receive_events
    after insert on ingest.behaviour_events
    referencing new table as arrived
    for each statement
    execute function ingest.receive_events();

-- Sessions in replica role (a restore, a copy tool) must not write events that no window would own.
alter table ingest.behaviour_events enable always trigger receive_events;

comment on trigger receive_events on ingest.behaviour_events is
    'Quarantine, ledger and threshold, once a statement.';
