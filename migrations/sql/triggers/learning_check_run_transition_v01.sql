-- The states of runs are a machine, and the database is its keeper.
create trigger check_run_transition
    before update on learning.runs
    for each row execute function learning.check_run_transition();

comment on trigger check_run_transition on learning.runs is 'Runs go the ways that are drawn, and no other.';
