"""A checker of compliance with SCIM 2.0 (scim2-tester) against a real gateway, as an organisation's system speaks to it."""

import os
import subprocess
import sys
import time

import httpx2 as httpx
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_tester import Status, check_server

KLUIS, DIR = sys.argv[1:3]
token = subprocess.run(
    [KLUIS, "--config", f"{DIR}/kluis.toml", "scim", "create", "tester", "--for", "ana"],
    capture_output=True, text=True, timeout=60, check=True,
).stdout.strip()


class Patient(httpx.HTTPTransport):
    """Asks again when told to come slower, as systems that provision do: a fast gateway bounds the checker's rate."""

    def handle_request(self, request):
        for _ in range(100):
            answer = super().handle_request(request)
            if answer.status_code != 429:
                return answer
            answer.read()
            answer.close()
            time.sleep(0.2)
        return answer


base = os.environ["KLUIS_ENDPOINT"] + "/.kluis/v1/scim/v2"
failed = 0
with httpx.Client(base_url=base, headers={"authorization": f"Bearer {token}"}, timeout=30, transport=Patient()) as http:
    client = SyncSCIMClient(http)
    client.discover()
    results = check_server(client)
    for result in results:
        bad = result.status not in (Status.SUCCESS, Status.SKIPPED)
        failed += bad
        if result.status != Status.SKIPPED:
            where = f" of {result.resource_type}" if getattr(result, "resource_type", None) else ""
            print(f"{'FAIL' if bad else 'PASS'} {result.title}{where}" + (f": {result.reason}" if bad else ""), flush=True)
print(f"{len(results) - failed} passed, {failed} failed")
sys.exit(failed > 0 or len(results) < 30)
