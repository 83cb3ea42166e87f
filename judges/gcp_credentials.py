"""How Google's own clients come by tokens, and what they make of the sandbox's answers."""

import datetime
import json
import os
import stat
import tempfile

import google.auth.transport.requests
import requests
from google.api_core import exceptions
from google.auth import (
    downscoped,
    exceptions as auth_exceptions,
    identity_pool,
    impersonated_credentials,
    pluggable,
)
from google.auth.compute_engine import _metadata, credentials as compute
from google.cloud import iam_credentials_v1
from google.oauth2 import sts

from gcp_client import Given
from gcp_estate import (
    BROKER,
    BUCKET,
    CLOUD_PLATFORM,
    NOBODY,
    PROJECT,
    PROVIDER,
    SECOND,
    SLOT,
    member,
)


class Credentials:
    def __init__(self, gcp, issuer):
        self.gcp = gcp
        self.verdict = gcp.verdict
        self.issuer = issuer
        session = requests.Session()
        session.trust_env = False
        self.transport = google.auth.transport.requests.Request(session=session)

    def judge(self):
        self.judge_generated()
        self.judge_refusals()
        self.judge_impersonated()
        self.judge_federated()
        self.judge_executable()
        self.judge_metadata()
        self.judge_downscoped()

    def client(self, who):
        return iam_credentials_v1.IAMCredentialsClient(
            transport="rest", client_options=self.gcp.options, credentials=self.gcp.credentials(who)
        )

    def generate(self, who, account, **wish):
        wish = {"scope": [CLOUD_PLATFORM], "lifetime": datetime.timedelta(seconds=600), **wish}
        return self.client(who).generate_access_token(
            name=f"projects/-/serviceAccounts/{account}", retry=None, timeout=10, **wish
        )

    def reads(self, token):
        """What reading an object answers, by plain HTTP: no client stands in between."""
        path = f"{self.gcp.url}/storage/v1/b/{BUCKET}/o/releases%2Fold.txt"
        headers = {"Authorization": f"Bearer {token}"}
        return self.gcp.http.get(path, headers=headers, timeout=10).status_code

    def judge_generated(self):
        answer = self.generate(BROKER, SLOT)
        left = answer.expire_time - datetime.datetime.now(datetime.timezone.utc)
        self.verdict.holds("a token ends when it says", 595 <= left.total_seconds() <= 600, left)
        self.verdict.equal("a new account reads nothing", self.reads(answer.access_token), 403)
        self.verdict.equal("a token nobody gave is none", self.reads("ya29.guessed"), 401)

    def judge_refusals(self):
        refused = self.verdict.refused
        error = refused(
            "nobody's token of an account",
            exceptions.Forbidden,
            lambda: self.generate(NOBODY, SLOT),
        )
        if error is not None:
            self.verdict.equal("the reason is told", error.reason, "IAM_PERMISSION_DENIED")
            permission = {"permission": "iam.serviceAccounts.getAccessToken"}
            self.verdict.equal("the permission is told", error.metadata, permission)
        refused(
            "a missing account", exceptions.Forbidden, lambda: self.generate(BROKER, "x" + SLOT)
        )
        long = datetime.timedelta(seconds=3601)
        refused(
            "too long a life",
            exceptions.BadRequest,
            lambda: self.generate(BROKER, SLOT, lifetime=long),
        )
        refused("no scope", exceptions.BadRequest, lambda: self.generate(BROKER, SLOT, scope=[]))
        chain = [f"projects/-/serviceAccounts/{SLOT}"]
        refused(
            "a broken chain",
            exceptions.Forbidden,
            lambda: self.generate(BROKER, NOBODY, delegates=chain),
        )
        client = iam_credentials_v1.IAMCredentialsClient(
            transport="rest", client_options=self.gcp.options, credentials=Given("ya29.guessed")
        )
        name = f"projects/-/serviceAccounts/{SLOT}"
        refused(
            "a token that is none",
            exceptions.Unauthorized,
            lambda: client.generate_access_token(name=name, scope=[CLOUD_PLATFORM], retry=None),
        )
        for what, act in [
            (
                "signing a blob",
                lambda: self.client(BROKER).sign_blob(name=name, payload=b"x", retry=None),
            ),
            (
                "signing a token",
                lambda: self.client(BROKER).sign_jwt(name=name, payload="{}", retry=None),
            ),
            (
                "an identity token",
                lambda: self.client(BROKER).generate_id_token(
                    name=name, audience="https://example.com", retry=None
                ),
            ),
        ]:
            refused(what, exceptions.Forbidden, act)

    def judge_impersonated(self):
        endpoint = f"{self.gcp.url}/v1/projects/-/serviceAccounts/{SLOT}:generateAccessToken"
        credentials = impersonated_credentials.Credentials(
            source_credentials=self.gcp.credentials(BROKER),
            target_principal=SLOT,
            target_scopes=[CLOUD_PLATFORM],
            lifetime=600,
            iam_endpoint_override=endpoint,
        )
        credentials.refresh(self.transport)
        self.verdict.holds("google-auth impersonates", credentials.valid and credentials.token)
        refused = impersonated_credentials.Credentials(
            source_credentials=self.gcp.credentials(NOBODY),
            target_principal=SLOT,
            target_scopes=[CLOUD_PLATFORM],
            iam_endpoint_override=endpoint,
        )
        self.verdict.refused(
            "google-auth is told so",
            auth_exceptions.RefreshError,
            lambda: refused.refresh(self.transport),
        )

    def external(self, kind, source, impersonates):
        info = {
            "type": "external_account",
            "audience": PROVIDER,
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": f"{self.gcp.url}/v1/token",
            "credential_source": source,
        }
        if impersonates:
            info["service_account_impersonation_url"] = (
                f"{self.gcp.url}/v1/projects/-/serviceAccounts/{SLOT}:generateAccessToken"
            )
            info["service_account_impersonation"] = {"token_lifetime_seconds": 700}
        return kind.Credentials.from_info(info, scopes=[CLOUD_PLATFORM])

    def from_file(self, subject_token, impersonates=False):
        with tempfile.NamedTemporaryFile("w", suffix=".jwt") as file:
            file.write(subject_token)
            file.flush()
            credentials = self.external(identity_pool, {"file": file.name}, impersonates)
            credentials.refresh(self.transport)
            return credentials

    def judge_federated(self):
        for kid in ["rsa", "ec"]:
            credentials = self.from_file(self.issuer.token(kid))
            self.verdict.equal(f"a job's token ({kid}) reads", self.reads(credentials.token), 200)
        other = self.from_file(self.issuer.token(repository="acme/other"))
        self.verdict.equal("another repository's does not", self.reads(other.token), 403)
        self.verdict.holds(
            "a job becomes an account", self.from_file(self.issuer.token(), impersonates=True).token
        )
        for error, changes in [
            ("unauthorized_client", {"ref": "refs/heads/feature"}),
            ("invalid_grant", {"iss": "https://other.example.com"}),
            ("invalid_grant", {"aud": "https://other.example.com"}),
            ("invalid_grant", {"exp": 1}),
        ]:
            refusal = self.verdict.refused(
                f"a token with {changes}",
                auth_exceptions.OAuthError,
                lambda changes=changes: self.from_file(self.issuer.token(**changes)),
            )
            self.verdict.holds(
                f"is refused as {error}", refusal and error in str(refusal), str(refusal)
            )

    def judge_executable(self):
        """A job's token from a program, as `jitney run` could be one."""
        answer = {
            "version": 1,
            "success": True,
            "token_type": "urn:ietf:params:oauth:token-type:jwt",
            "id_token": self.issuer.token(),
            "expiration_time": 4102444800,
        }
        with tempfile.TemporaryDirectory() as folder:
            program = os.path.join(folder, "token")
            with open(program, "w") as file:
                file.write(f"#!/bin/sh\ncat <<'END'\n{json.dumps(answer)}\nEND\n")
            os.chmod(program, stat.S_IRWXU)
            os.environ["GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES"] = "1"
            source = {"executable": {"command": program, "timeout_millis": 5000}}
            credentials = self.external(pluggable, source, False)
            credentials.refresh(self.transport)
            self.verdict.equal("a program's token reads", self.reads(credentials.token), 200)

    def judge_metadata(self):
        credentials = compute.Credentials()
        credentials.refresh(self.transport)
        self.verdict.equal(
            "the metadata server speaks for the broker", self.reads(credentials.token), 200
        )
        self.verdict.equal("and says who it is", credentials.service_account_email, BROKER)
        self.verdict.equal("and where it is", _metadata.get_project_id(self.transport), PROJECT)
        universe = _metadata.get_universe_domain(self.transport)
        self.verdict.equal("and in which universe", universe, "googleapis.com")
        account = "instance/service-accounts/default"
        email = _metadata.get(self.transport, f"{account}/email")
        self.verdict.equal("its address is told by itself", email, BROKER)
        for what in [
            f"{account}/token",
            f"{account}/email",
            f"{account}/",
            "project/project-id",
            "universe/universe-domain",
        ]:
            answer = self.gcp.call("GET", f"/computeMetadata/v1/{what}")
            self.verdict.equal(f"{what} is not for a browser", answer.status_code, 403)

    def judge_downscoped(self):
        source = self.gcp.credentials(BROKER)

        def narrowed(*rules):
            boundary = downscoped.CredentialAccessBoundary(rules=list(rules))
            credentials = downscoped.Credentials(
                source_credentials=source, credential_access_boundary=boundary
            )
            # Its endpoint cannot be set in any other way.
            credentials._sts_client = sts.Client(f"{self.gcp.url}/v1/token")
            credentials.refresh(self.transport)
            return credentials.token

        def rule(bucket, expression):
            condition = downscoped.AvailabilityCondition(expression)
            return downscoped.AccessBoundaryRule(
                available_resource=f"//storage.googleapis.com/projects/_/buckets/{bucket}",
                available_permissions=["inRole:roles/storage.objectViewer"],
                availability_condition=condition,
            )

        objects = f"resource.name.startsWith('projects/_/buckets/{BUCKET}/objects/"
        self.verdict.equal(
            "a boundary lets pass what it names",
            self.reads(narrowed(rule(BUCKET, f"{objects}releases/')"))),
            200,
        )
        self.verdict.equal(
            "and nothing else", self.reads(narrowed(rule(BUCKET, f"{objects}private/')"))), 403
        )
        self.verdict.equal("in no other bucket", self.reads(narrowed(rule("other", "true"))), 403)
        self.verdict.refused(
            "a condition that does not parse",
            auth_exceptions.OAuthError,
            lambda: narrowed(rule(BUCKET, "resource.name.")),
        )


def judge_quarantine(gcp):
    """What a disabled account's token meets, seen by the client that holds it."""
    credentials = Credentials(gcp, None)
    iam = gcp.api("iam", "v1", BROKER).projects().serviceAccounts()
    name = f"projects/-/serviceAccounts/{SECOND}"
    token = credentials.generate(BROKER, SECOND).access_token
    gcp.verdict.equal("a token without a right", credentials.reads(token), 403)
    iam.disable(name=name, body={}).execute()
    gcp.verdict.equal("a disabled account's token", credentials.reads(token), 401)
    gcp.verdict.refused(
        "a new token of a disabled account",
        exceptions.Forbidden,
        lambda: credentials.generate(BROKER, SECOND),
    )
    iam.enable(name=name, body={}).execute()
    gcp.verdict.equal("the old token wakes", credentials.reads(token), 403)
    standing = gcp.control("standing", {"principal": member(SECOND)})
    gcp.verdict.equal("the books agree", len(standing["live_tokens"]), 1)
