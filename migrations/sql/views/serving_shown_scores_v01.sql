-- What was shown to whom, with its score: an impression, a row for each item.
create view serving.shown_scores as
select i.stream, i.user_id, shown.item_id, i.served_at as event_timestamp, shown.score::double precision as score,
       shown.place, i.version_id as score_version
  from serving.impressions i
 cross join lateral unnest(i.items, i.scores) with ordinality as shown (item_id, score, place);

comment on view serving.shown_scores is
    'Scores as rows of features: what a user was shown at event_timestamp, at which place, by which version.';
