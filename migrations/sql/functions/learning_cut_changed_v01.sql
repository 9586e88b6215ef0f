-- Cuts the streams whose waiting events are new in kind: items that the live version does not know, another mix of types.
create function learning.cut_changed()
    returns table (what text, subject text)
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    due record;
    cut bigint;
begin
    for due in
        select s.stream, case when f.new_item_share >= s.new_item_share then 'new_items' else 'mix' end as cause
          from learning.streams s
         cross join lateral learning.waiting_figures(s.stream) f
         where (s.new_item_share is not null or s.mix_drift is not null)
           and (f.new_item_share >= s.new_item_share or f.mix_drift >= s.mix_drift)
    loop
        cut := learning.cut_window(due.stream, null, true, due.cause);
        continue when cut is null;
        what := 'cut';
        subject := cut::text;
        return next;
    end loop;
end
$$;

comment on function learning.cut_changed() is
    'Cuts the streams over their new_item_share or mix_drift that nothing holds; returns the windows.';
