"""Traces of OpenTelemetry: sent to a collector as the environment says, and only where they are switched on."""

import json
import sys
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.apps import until
from tests.support.servers import serving

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TOP = Path(__file__).resolve().parents[2]
Spans = list[tuple[str, str]]  # the hexadecimal trace, and the name


@pytest.fixture
def collector() -> Iterator[tuple[str, Spans]]:
    """A server that keeps the spans that it is sent."""
    spans: Spans = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["content-length"])))
            for resource in sent.resource_spans:
                for scope in resource.scope_spans:
                    spans.extend((span.trace_id.hex(), span.name) for span in scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", spans
    server.shutdown()
    server.server_close()


def recommend(url: str, sampled: bool) -> None:
    headers = {"content-type": "application/json", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-0{int(sampled)}"}
    request = urllib.request.Request(f"{url}/v1/recommend", json.dumps({"k": 3}).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 200


@pytest.mark.parametrize("traces", ["true", "false"])
def test_a_sampled_request_is_a_span_of_the_callers_trace(
    bundle_folder: Path, tmp_path: Path, collector: tuple[str, Spans], traces: str
) -> None:
    address, spans = collector
    variables = {
        "RECSYS_TRACES": traces,
        "OTEL_EXPORTER_OTLP_ENDPOINT": address,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": "0",
    }
    command = [sys.executable, "-m", "serving"]
    with serving(command, bundle_folder, TOP, tmp_path / "log", 1, **variables) as (url, server):
        recommend(url, sampled=False)
        recommend(url, sampled=True)
        if traces == "true":
            until(lambda: spans)
        server.terminate()
        server.wait(30)
    assert spans == ([(TRACE, "POST /v1/recommend")] if traces == "true" else [])
