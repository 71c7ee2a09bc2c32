#!/usr/bin/env python3
"""The exports, judged by the libraries of their own worlds: OCSF's schema 1.8.0, FHIR's resources, OpenTelemetry's
protocol. The lines are in tests/vectors/exports; `ledger::export` holds that the product writes them."""

import csv
import json
import sys
from pathlib import Path

from fhir.resources.R4B.auditevent import AuditEvent
from google.protobuf import json_format
from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

LINES = Path(__file__).parents[1] / "vectors" / "exports"


def lines(name):
    return [json.loads(line) for line in (LINES / name).read_text(encoding="utf-8").splitlines()]


def ocsf():
    schema = OcsfJsonSchemaEmbedded(get_ocsf_schema("1.8.0"))
    judge = Draft202012Validator(
        schema.get_class_schema(class_name="datastore_activity", profiles=["security_control"])
    )

    def errors(event):
        return [f"{list(error.absolute_path)}: {error.message}" for error in judge.iter_errors(event)]

    return errors


def fhir():
    def errors(event):
        try:
            AuditEvent.model_validate(event)
        except ValueError as error:
            return [str(error)]
        return []

    return errors


def otlp():
    def errors(event):
        try:
            json_format.ParseDict(event, ExportTraceServiceRequest())
        except json_format.ParseError as error:
            return [str(error)]
        return []

    return errors


def bent(event):
    """Each with one thing wrong, which its judge must see."""
    for key in list(event):
        other = dict(event)
        other[key] = {"no": "such thing"}
        yield other


def check(title, good, detail=""):
    print(("PASS " if good else "FAIL ") + title + (f": {detail}" if not good else ""))
    return good


def judged(name, title, errors):
    events = lines(name)
    found = [(n, error) for n, event in enumerate(events) for error in errors(event)]
    seen = sum(1 for other in bent(events[0]) if errors(other))
    return [
        check(f"exports: {title}: {len(events)} lines are valid", not found, str(found[:3])),
        check(f"exports: {title}: the judge sees what is wrong", seen > 0, f"{seen}"),
    ]


def cells():
    with (LINES / "requests.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    good = all(None not in row and None not in row.values() for row in rows)
    formulas = [cell for row in rows for cell in row.values() if cell[:1] in ("=", "+", "-", "@")]
    return [
        check(f"exports: CSV: {len(rows)} rows, each with every cell", good and len(rows) > 10),
        check("exports: CSV: no cell is a formula", not formulas, str(formulas[:2])),
    ]


def main():
    results = (
        judged("ocsf.jsonl", "OCSF 1.8 Datastore Activity", ocsf())
        + judged("fhir.ndjson", "FHIR R4 AuditEvent", fhir())
        + judged("ldv.jsonl", "OTLP spans", otlp())
        + cells()
    )
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
