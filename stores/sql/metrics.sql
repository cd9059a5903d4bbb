-- name: statistics
SELECT min(value) AS min, max(value) AS max, avg(value) AS avg, sum(value) AS sum, count(*) AS count
FROM metrics.metric_data_points
WHERE metric_name = CAST(:metric_name AS text) AND ts >= :start AND ts <= :end;

-- name: roll_up_points
-- Old points become one row for each metric and period, and are gone, in one statement: a point is either still there
-- or counted, never both and never neither. A late point of a period that was rolled up before is added to it.
WITH gone AS (
    DELETE FROM metrics.metric_data_points WHERE ts < date_trunc(CAST(:period AS text), CAST(:before AS timestamptz), 'UTC')
    RETURNING metric_name, value, ts
), rolled AS (
    INSERT INTO metrics.metric_aggregations AS a
        (metric_name, aggregation_type, period_start, period_end, min_value, max_value, avg_value, sum_value, count)
    SELECT metric_name, CAST(:period AS text), date_trunc(CAST(:period AS text), ts, 'UTC') AS period_start,
        date_trunc(CAST(:period AS text), ts, 'UTC') + CAST('1 ' || CAST(:period AS text) AS interval),
        min(value), max(value), avg(value), sum(value), count(*)
    FROM gone GROUP BY metric_name, period_start
    ON CONFLICT (metric_name, aggregation_type, period_start) DO UPDATE
    SET min_value = least(a.min_value, excluded.min_value), max_value = greatest(a.max_value, excluded.max_value),
        sum_value = a.sum_value + excluded.sum_value, count = a.count + excluded.count,
        avg_value = (a.sum_value + excluded.sum_value) / nullif(a.count + excluded.count, 0)
    RETURNING 1
)
SELECT (SELECT count(*) FROM gone) AS gone, (SELECT count(*) FROM rolled) AS rolled;

-- name: roll_up_aggregations
-- Old rows of a short period become rows of a longer one, in the same way.
WITH gone AS (
    DELETE FROM metrics.metric_aggregations
    WHERE aggregation_type = CAST(:from_period AS text) AND period_start < date_trunc(CAST(:period AS text), CAST(:before AS timestamptz), 'UTC')
    RETURNING metric_name, period_start, min_value, max_value, sum_value, count
), rolled AS (
    INSERT INTO metrics.metric_aggregations AS a
        (metric_name, aggregation_type, period_start, period_end, min_value, max_value, avg_value, sum_value, count)
    SELECT metric_name, CAST(:period AS text), date_trunc(CAST(:period AS text), g.period_start, 'UTC') AS period_start,
        date_trunc(CAST(:period AS text), g.period_start, 'UTC') + CAST('1 ' || CAST(:period AS text) AS interval),
        min(min_value), max(max_value), sum(sum_value) / nullif(sum(count), 0), sum(sum_value), sum(count)
    FROM gone AS g GROUP BY metric_name, date_trunc(CAST(:period AS text), g.period_start, 'UTC')
    ON CONFLICT (metric_name, aggregation_type, period_start) DO UPDATE
    SET min_value = least(a.min_value, excluded.min_value), max_value = greatest(a.max_value, excluded.max_value),
        sum_value = a.sum_value + excluded.sum_value, count = a.count + excluded.count,
        avg_value = (a.sum_value + excluded.sum_value) / nullif(a.count + excluded.count, 0)
    RETURNING 1
)
SELECT (SELECT count(*) FROM gone) AS gone, (SELECT count(*) FROM rolled) AS rolled;
