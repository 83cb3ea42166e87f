"""Judges what `jitney run` gives its command, with boto3, azure-identity and google-auth.

It is that command: the clients, unmodified, must find each cloud's lease by their environment
alone, read its end, find the next credential after a renewal, and be refused what the lease is not
for.

    leased_clients.py CANARY      (every secret of the leases begins with it)
"""

import io
import json
import os
import sys
import time
import urllib.parse

import boto3
import google.auth
import google.auth.transport.requests
import requests
import urllib3
from azure.core.exceptions import ClientAuthenticationError
from azure.core.pipeline.transport import RequestsTransport
from azure.identity import (
    CredentialUnavailableError,
    DefaultAzureCredential,
    ManagedIdentityCredential,
    WorkloadIdentityCredential,
)

from verdict import Verdict

ARM = "https://management.azure.com/.default"
STORAGE = "https://storage.azure.com/.default"
VAULT = "https://vault.azure.net/.default"
GOOGLE_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
# Credentials of these leases live six seconds and are renewed after four.
RENEWED_AFTER_SECONDS = 5


def amazon():
    frozen = boto3.Session().get_credentials().get_frozen_credentials()
    return frozen.token


def google_token():
    credentials, _ = google.auth.default(scopes=[GOOGLE_SCOPE])
    credentials.refresh(google.auth.transport.requests.Request())
    return credentials.token


def judge_renewals(verdict, canary, clients):
    """What each client finds, at once and after a renewal."""
    first = {name: token() for name, token in clients.items()}
    time.sleep(RENEWED_AFTER_SECONDS)
    for name, token in clients.items():
        second = token()
        verdict.holds(f"{name} finds the lease", first[name].startswith(canary), first[name])
        verdict.holds(f"{name} finds the renewed lease", second.startswith(canary), second)
        verdict.holds(f"{name} does not keep the former credential", first[name] != second)


def judge_amazon(verdict):
    session = boto3.Session()
    verdict.equal("boto3 knows the region", session.region_name, "eu-west-1")
    method = session.get_credentials().method
    verdict.equal("boto3 asks the endpoint", method, "container-role")


def judge_google(verdict):
    credentials, project = google.auth.default(scopes=[GOOGLE_SCOPE])
    verdict.equal("google-auth knows the project", project, "acme-prod")
    kind = credentials.info["type"]
    verdict.equal("google-auth finds an external account", kind, "external_account")


def judge_azure_tokens(verdict, canary):
    managed = ManagedIdentityCredential()
    token = managed.get_token(ARM)
    left = token.expires_on - time.time()
    verdict.holds("azure-identity reads the token's end", 0 < left <= 10, left)
    storage = managed.get_token(STORAGE).token
    verdict.holds("each audience has its token", storage.startswith(f"{canary}-storage"))
    default = DefaultAzureCredential().get_token(ARM).token
    verdict.holds("the default chain comes to it", default.startswith(f"{canary}-token"))
    refusals = (ClientAuthenticationError, CredentialUnavailableError)
    refused = verdict.refused(
        "another audience", refusals, lambda: ManagedIdentityCredential().get_token(VAULT)
    )
    verdict.holds("and the client is told why", "only for" in str(refused), str(refused))
    other = ManagedIdentityCredential(client_id="another-identity")
    verdict.refused("another identity", refusals, lambda: other.get_token(ARM))
    return lambda: ManagedIdentityCredential().get_token(ARM).token


class Entra(requests.adapters.HTTPAdapter):
    """Answers in Entra's place: a judge talks to nobody. Keeps the assertions it was shown."""

    def __init__(self):
        super().__init__()
        self.shown = []

    def send(self, request, **_):
        url = urllib.parse.urlsplit(request.url)
        origin = f"{url.scheme}://{url.netloc}/{os.environ['AZURE_TENANT_ID']}"
        if url.path.endswith("/token"):
            form = dict(urllib.parse.parse_qsl(request.body))
            self.shown.append((origin, form))
            body = {"access_token": "from-entra", "expires_in": 3600, "token_type": "Bearer"}
        else:
            body = {
                "issuer": f"{origin}/v2.0",
                "token_endpoint": f"{origin}/oauth2/v2.0/token",
                "authorization_endpoint": f"{origin}/oauth2/v2.0/authorize",
            }
        answer = urllib3.HTTPResponse(
            body=io.BytesIO(json.dumps(body).encode()),
            headers={"content-type": "application/json"},
            status=200,
            preload_content=False,
        )
        return self.build_response(request, answer)


def exchange(entra):
    """An assertion as a fresh client shows it, and what came with it."""
    session = requests.Session()
    session.mount("https://", entra)
    transport = RequestsTransport(session=session, session_owner=False)
    credential = WorkloadIdentityCredential(
        transport=transport, disable_instance_discovery=True
    )
    credential.get_token(ARM)
    return entra.shown[-1]


def judge_azure_assertion(verdict):
    entra = Entra()
    origin, form = exchange(entra)
    tenant = os.environ["AZURE_TENANT_ID"]
    verdict.equal("it is shown to Entra", origin, f"https://login.microsoftonline.com/{tenant}")
    verdict.equal("for the slot", form["client_id"], os.environ["AZURE_CLIENT_ID"])
    return lambda: exchange(entra)[1]["client_assertion"]


def main():
    canary = sys.argv[1]
    with Verdict() as verdict:
        judge_amazon(verdict)
        judge_google(verdict)
        if "IDENTITY_ENDPOINT" in os.environ:
            azure = judge_azure_tokens(verdict, canary)
        else:
            azure = judge_azure_assertion(verdict)
        clients = {"boto3": amazon, "google-auth": google_token, "azure-identity": azure}
        judge_renewals(verdict, canary, clients)


if __name__ == "__main__":
    main()
