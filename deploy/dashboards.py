"""Write the dashboard for Grafana, `deploy/grafana/recsys.json`: `python -m deploy.dashboards`.

Every query is tested against a real Prometheus that scrapes the API (`tests/deploy/test_dashboards.py`).
"""

from pathlib import Path

from grafana_foundation_sdk.builders import dashboard, prometheus, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder

TARGET = Path(__file__).parent / "grafana" / "recsys.json"
SPAN, HEIGHT = 8, 7  # of 24 columns; rows
W = "[$__rate_interval]"

Query = tuple[str, str]  # expression, legend
Panel = tuple[str, str, list[Query]]  # title, unit, queries


def _quantile(q: float, metric: str, by: str, labels: str = "") -> str:
    return f"histogram_quantile({q}, sum by (le, {by}) (rate({metric}_bucket{labels}{W})))"


def _share(kind: str, by: str) -> str:
    places = f"sum by ({by}) (rate(recsys_places_total{W}))"
    return f'sum by ({by}) (rate(recsys_places_by_kind_total{{kind="{kind}"}}{W})) / {places}'


RECOMMEND = '{route=~"/v1/recommend.*"}'
ROWS: dict[str, list[Panel]] = {
    "Levels": [
        ("Budget: answers that are not what the variant gives", "percentunit", [
            ("recsys:personalised_errors:ratio_1h", "an hour"), ("vector(0.001)", "the level")]),
        ("Budget: answers above 100 ms", "percentunit", [
            ("recsys:slow_answers:ratio_1h", "an hour"), ("vector(0.01)", "the level")]),
        ("Events and exposures lost, alerts that fire", "short", [
            ("recsys:event_loss:rate_5m", "lost a second"),
            ('count(ALERTS{alertstate="firing"}) or vector(0)', "alerts")]),
    ],
    "Answers": [
        ("Lists a second, by variant", "reqps", [(f"sum by (variant) (rate(recsys_answers_total{W}))", "{{variant}}")]),
        ("Time of a recommendation", "s", [
            (_quantile(0.5, "recsys_request_seconds", "route", RECOMMEND), "half {{route}}"),
            (_quantile(0.99, "recsys_request_seconds", "route", RECOMMEND), "99 % {{route}}")]),
        ("99 % of a step are below", "s", [(_quantile(0.99, "recsys_step_seconds", "step"), "{{step}}")]),
        ("99 % of a bundle's answers are below", "s", [
            (_quantile(0.99, "recsys_step_seconds", "variant, bundle", '{step="total"}'), "{{variant}} {{bundle}}")]),
        ("Refused and failed requests a second", "reqps", [
            (f'sum by (route, status) (rate(recsys_requests_total{{status=~"[45].."}}{W}))', "{{route}} {{status}}")]),
        ("Fallback, by reason", "percentunit", [
            (f'sum by (reason) (rate(recsys_answers_total{{reason!="none"}}{W}))'
             f" / on () group_left () sum(rate(recsys_answers_total{W}))", "{{reason}}")]),
    ],
    "Model": [
        ("Confidence of what is shown", "percentunit", [
            (_quantile(q, "recsys_confidence", "variant"), f"{q:.0%} {{{{variant}}}}") for q in (0.1, 0.5, 0.9)]),
        ("Score of what is shown", "short", [
            (_quantile(q, "recsys_score", "variant"), f"{q:.0%} {{{{variant}}}}") for q in (0.1, 0.5, 0.9)]),
        ("Catalogue shown within a day", "percentunit", [
            ("max by (variant) (recsys_items_shown) / on () group_left () max(recsys_catalogue_items)", "{{variant}}"),
        ]),
        ("Personalised places", "percentunit", [
            (_share("personalised", "variant, segment"), "{{variant}} {{segment}}")]),
        ("Places of new items", "percentunit", [(_share("new", "variant, segment"), "{{variant}} {{segment}}")]),
        ("Places of the fallback", "percentunit", [
            (_share("fallback", "variant, segment"), "{{variant}} {{segment}}")]),
    ],
    "People": [
        ("Events a second, by kind", "short", [
            (f"sum by (event) (rate(recsys_events_by_kind_total{W}))", "{{event}}")]),
        ("Value a second, by kind of event", "short", [
            (f"sum by (event) (rate(recsys_events_value_total{W}))", "{{event}}")]),
        ("Events by outcome, a second", "short", [(f"sum by (outcome) (rate(recsys_events_total{W}))", "{{outcome}}")]),
    ],
    "Outcomes": [
        ("Answers that led to a click, a purchase, a dislike", "percentunit", [
            ("recsys_watch_outcome_rate", "{{outcome}} {{variant}} {{bundle_id}} {{surface}}")]),
        ("Revenue of the window", "short", [("recsys_watch_revenue", "{{variant}} {{bundle_id}} {{surface}}")]),
        ("Live hit rate, calibration error", "percentunit", [
            ("recsys_watch_hit_rate", "hits {{variant}} {{bundle_id}} {{surface}}"),
            ("recsys_watch_calibration_error", "calibration {{variant}} {{bundle_id}} {{surface}}")]),
        ("Drift: chance of such a difference without a change", "percentunit", [
            ("recsys_watch_drift_p", "{{kind}} {{feature}}")]),
        ("Drift: share that moved", "percentunit", [("recsys_watch_drift_moved", "{{kind}} {{feature}}")]),
        ("Findings since the watch began", "short", [
            ("sum by (kind, did) (recsys_watch_findings_total)", "{{kind}} {{did}}")]),
    ],
    "Ages": [
        ("Since the last event, the end of the data, the promotion", "s", [
            ("time() - max(recsys_newest_event_timestamp_seconds)", "newest event"),
            ("time() - max(recsys_trained_until_timestamp_seconds)", "end of the data"),
            ("time() - max(recsys_promoted_timestamp_seconds)", "promotion")]),
        ("Bundles that are served", "short", [("sum by (bundle_id) (recsys_bundle_info)", "{{bundle_id}}")]),
        ("Refused: release, rules, experiments", "short", [
            ("max(recsys_release_refused)", "release"), ("max by (file) (recsys_file_refused)", "{{file}}")]),
    ],
    "Resources": [
        ("CPU of a worker, cores", "short", [
            (f"sum by (instance, worker) (rate(recsys_worker_cpu_seconds_total{W}))", "{{instance}} {{worker}}")]),
        ("Memory of a worker", "bytes", [("recsys_worker_memory_bytes", "{{instance}} {{worker}}")]),
        ("Descriptors of a worker", "short", [("recsys_worker_descriptors", "{{instance}} {{worker}}")]),
        ("CPU seconds for 1,000 answers", "s", [("recsys:cpu_seconds_per_1000_answers:ratio_5m", "")]),
        ("Price of 1,000 answers", "short", [("recsys:price_per_1000_answers:ratio_5m", "RECSYS_CPU_HOUR_PRICE")]),
        ("Delay of the event loop", "s", [("max by (instance) (recsys_loop_delay_seconds)", "{{instance}}")]),
    ],
}  # fmt: skip


def queries() -> list[tuple[str, str]]:
    """Return the title of the panel and the expression of every query."""
    return [(title, query) for panels in ROWS.values() for title, _, found in panels for query, _ in found]


def content() -> str:
    """Return the dashboard as JSON."""
    board = dashboard.Dashboard("recsys").uid("recsys").tags(["recsys"]).refresh("30s").time("now-6h", "now")
    for row, panels in ROWS.items():
        board = board.with_row(dashboard.Row(row))
        for title, unit, found in panels:
            panel = timeseries.Panel().title(title).unit(unit).min(0).height(HEIGHT).span(SPAN)
            for query, legend in found:
                panel = panel.with_target(prometheus.Dataquery().expr(query).legend_format(legend))
            board = board.with_panel(panel)
    return JSONEncoder(sort_keys=True, indent=1).encode(board.build()) + "\n"


if __name__ == "__main__":
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(content(), encoding="utf-8")
    print(TARGET)
