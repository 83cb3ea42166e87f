"""What the judges of Google Cloud share: the sandbox's own controls, and credentials for Google's clients."""

import json
import urllib.request

import google.auth.credentials
import requests
from google.api_core.client_options import ClientOptions
from googleapiclient.discovery import build


class Gcp:
    """One Google Cloud on loopback, seen through the witness."""

    def __init__(self, verdict, witness):
        self.verdict = verdict
        self.witness = witness
        self.url = witness.url
        self.options = ClientOptions(api_endpoint=self.url)
        self.http = requests.Session()
        self.http.trust_env = False
        self.answered = set()
        self.refused = set()

    def control(self, command, order=None, method="POST"):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        body = None if order is None else json.dumps(order).encode()
        request = urllib.request.Request(f"{self.url}/_sandbox/{command}", data=body, method=method)
        with opener.open(request, timeout=10) as answer:
            return json.load(answer)

    def token(self, who, **order):
        return self.control("token", {"principal": who, **order})["token"]

    def credentials(self, who):
        """As a client has them that was given a token and nothing to get another one with."""
        return Given(self.token(who))

    def api(self, name, version, who):
        """A client that is built from the description of an API."""
        return build(
            name,
            version,
            credentials=self.credentials(who),
            static_discovery=True,
            # Cloud Storage's is the only one whose paths begin with the API's own.
            client_options={
                "api_endpoint": f"{self.url}/storage/v1/" if name == "storage" else self.url
            },
            num_retries=0,
        )

    def call(self, verb, path, token=None, body=None, **query):
        """A call that no client would make. The answer is still held against its description."""
        self.witness.careless = True
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            return self.http.request(
                verb, self.url + path, headers=headers, json=body, params=query, timeout=10
            )
        finally:
            self.witness.careless = False

    def journals(self):
        """Takes note of what was used so far, and puts everything back to how it began."""
        for entry in self.control("journal", method="GET")["entries"]:
            name = f"{entry['service']}:{entry['action']}"
            (self.answered if entry["outcome"] == "ok" else self.refused).add(name)
        self.reset()

    def reset(self):
        self.control("reset", {})
        self.control("options", {"lags": {}, "limits": NO_LIMITS})


NO_LIMITS = {"iam_reads_per_minute": 0, "iam_writes_per_minute": 0, "bucket_updates_per_second": 0}


class Given(google.auth.credentials.Credentials):
    """A token that was given, with nothing to get another one with: it stays when a client wants it renewed."""

    def __init__(self, token):
        super().__init__()
        self.token = token

    def refresh(self, _request):
        pass
