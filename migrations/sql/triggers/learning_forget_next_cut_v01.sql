-- A schedule that was changed by plain SQL counts from then on.
create trigger forget_next_cut
    before update of schedule on learning.streams
    for each row execute function learning.forget_next_cut();

comment on trigger forget_next_cut on learning.streams is 'A new schedule has a new time.';
