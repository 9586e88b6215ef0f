-- What applications call: the best items, and an impression row that says which version showed them.
create function serving.recommend(
    p_user text, k integer default 10, p_stream text default 'default', p_source text default 'sql')
    returns setof serving.recommendation
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    answer serving.recommendation[];
begin
    answer := array(select r from serving.rank(p_user, k, p_stream) r order by r.place);
    -- A read replica answers too; only the impression is missing there.
    if cardinality(answer) > 0 and not current_setting('transaction_read_only')::boolean then
        insert into serving.impressions (stream, user_id, version_id, layer, items, scores, source)
        values (p_stream, p_user, answer[1].version_id, answer[1].layer,
                array(select a.item_id from unnest(answer) a order by a.place),
                array(select a.score from unnest(answer) a order by a.place), p_source);
    end if;
    return query select * from unnest(answer);
end
$$;

comment on function serving.recommend(text, integer, text, text) is
    'The k best items for a user of a stream, as of this commit, with the version that answered and why; logged.';
