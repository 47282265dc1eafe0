"""Spans of invocations, as a collector of OpenTelemetry receives them."""

import http.server
import json
import threading

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from conftest import Platform, wait_until


class Collector:
    """Receives OTLP over HTTP, and reads it by the protocol's own schema."""

    def __init__(self, status=200):
        self.requests, self.status = [], status
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                assert self.path == "/v1/traces" and self.headers["Content-Type"] == "application/json"
                outer.requests.append(body)
                self.send_response(outer.status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def spans(self):
        """(resource attributes, span) of everything received."""
        found = []
        for body in self.requests:
            said = json.loads(body)
            # Ids are hexadecimal in OTLP's JSON, but Base64 in protobuf's.
            for resource in said["resourceSpans"]:
                for scope in resource["scopeSpans"]:
                    for span in scope["spans"]:
                        for name in ("traceId", "spanId", "parentSpanId"):
                            if name in span:
                                span[name] = __import__("base64").b64encode(bytes.fromhex(span[name])).decode()
            request = json_format.ParseDict(said, ExportTraceServiceRequest())
            for resource in request.resource_spans:
                attributes = {it.key: it.value.string_value for it in resource.resource.attributes}
                found += [(attributes, span) for scope in resource.scope_spans for span in scope.spans]
        return found


def invoke(platform, name, **headers):
    """One invocation with further headers; its request id."""
    def add(request, **_):
        for key, value in headers.items():
            request.headers[key] = value

    platform.client.meta.events.register("before-send.lambda.Invoke", add)
    try:
        answer = platform.client.invoke(FunctionName=name, Payload=b"{}")
    finally:
        platform.client.meta.events.unregister("before-send.lambda.Invoke", add)
    answer["Payload"].read()
    return answer["ResponseMetadata"]["RequestId"]


# A span for each invocation with its parts inside, under the trace of the caller, X-Ray's or W3C's, unless it says not to.
def test_spans(tmp_path):
    collector = Collector()
    platform = Platform(tmp_path / "data", "--otlp-endpoint", collector.url)
    try:
        platform.deploy("traced", "def handler(event, context): return event")
        first = invoke(platform, "traced")
        trace = "4bf92f3577b34da6a3ce929d0e0e4736"
        second = invoke(platform, "traced", traceparent=f"00-{trace}-00f067aa0ba902b7-01")
        invoke(platform, "traced", traceparent=f"00-{trace}-00f067aa0ba902b7-00")
        attributes = lambda span: {it.key: it.value for it in span.attributes}
        whole = lambda: {
            attributes(span)["faas.invocation_id"].string_value: (resource, span)
            for resource, span in collector.spans()
            if span.name == "traced"
        }
        spans = wait_until(lambda: whole() if len(whole()) >= 2 else None)
        assert set(spans) == {first, second}
        resource, cold = spans[first]
        assert (resource["faas.name"], resource["service.name"], resource["faas.version"]) == ("traced", "traced", "$LATEST")
        assert attributes(cold)["faas.coldstart"].bool_value
        parts = {span.name: span for _, span in collector.spans() if span.parent_span_id == cold.span_id}
        assert set(parts) == {"queue", "init", "run"}
        assert cold.start_time_unix_nano == parts["queue"].start_time_unix_nano
        assert parts["queue"].end_time_unix_nano == parts["run"].start_time_unix_nano
        assert parts["run"].end_time_unix_nano == cold.end_time_unix_nano
        assert all(span.trace_id == cold.trace_id for span in parts.values())
        _, warm = spans[second]
        assert warm.trace_id.hex() == trace and warm.parent_span_id.hex() == "00f067aa0ba902b7"
        assert not attributes(warm)["faas.coldstart"].bool_value
    finally:
        platform.stop()


# A collector that is not there costs its spans, and nothing else.
def test_no_collector(tmp_path):
    platform = Platform(tmp_path / "data", "--otlp-endpoint", "http://127.0.0.1:9")
    try:
        platform.deploy("traced", "def handler(event, context): return event")
        assert platform.invoke("traced", 7)[0] == 7
        assert platform.invoke("traced", 8)[0] == 8
    finally:
        assert platform.stop() == 0
