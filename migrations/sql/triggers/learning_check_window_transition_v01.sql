-- The states of windows are a machine, and the database is its keeper.
create trigger check_window_transition
    before update on learning.windows
    for each row execute function learning.check_window_transition();

comment on trigger check_window_transition on learning.windows is 'Windows go the ways that are drawn, and no other.';
