"""Judges the sandbox's Google Cloud by Google's own clients, unmodified.

    gcp_sandbox.py --serve target/release/examples/gcp

Everything they send and are answered passes a witness that holds it against Google's descriptions of its APIs. Each
operation of the sandbox must have been used for what it is for, and been seen to refuse.
"""

import argparse
import json
import os
import tempfile

from verdict import Served, Verdict


def judge(verdict, gcp, issuer):
    # Only now: the metadata server's address is read when google-auth is loaded.
    from gcp_cel import judge_conditions
    from gcp_credentials import Credentials, judge_quarantine
    from gcp_gcloud import Gcloud, installed
    from gcp_pam import Grants
    from gcp_policies import Policies
    from gcp_storage import Storage

    judge_the_witness(verdict, gcp)
    Credentials(gcp, issuer).judge()
    judge_quarantine(gcp)
    gcp.journals()
    policies = Policies(gcp)
    policies.judge_scopes()
    policies.judge()
    gcp.journals()
    Storage(gcp).judge()
    gcp.journals()
    Grants(gcp).judge()
    gcp.journals()
    judge_conditions(gcp)
    if installed():
        with tempfile.TemporaryDirectory() as folder:
            Gcloud(gcp, folder).judge()
        gcp.journals()
    elif os.environ.get("CI") == "true":
        verdict.holds("gcloud is installed", False)
    else:
        print("NOT JUDGED by gcloud: it is not installed", flush=True)


def judge_the_witness(verdict, gcp):
    """Requests and answers with one thing wrong must be noticed, or all the reading has shown nothing."""
    descriptions = gcp.witness.descriptions
    minted = descriptions.named("iamcredentials.projects.serviceAccounts.generateAccessToken")
    good = {"accessToken": "a", "expireTime": "2026-11-26T12:00:00Z"}
    verdict.equal("a good answer is good", list(minted.wrong_response(good)), [])
    for what, change in [
        ("an unknown field", {"expiryTime": ""}),
        ("a wrong type", {"accessToken": 5}),
        ("a time that is none", {"expireTime": "2026-11-26 12:00:00"}),
    ]:
        verdict.holds(
            f"the witness notices {what}", list(minted.wrong_response({**good, **change}))
        )
    for what, body in [("a wrong duration", {"lifetime": "600"}), ("a wrong list", {"scope": "a"})]:
        verdict.holds(f"the witness notices {what}", list(minted.wrong_request(body)))
    verdict.holds("the witness notices a parameter", list(minted.wrong_query([("force", "1")])))
    grant = descriptions.find("GET", "/v1/projects/p/locations/global/entitlements/e/grants/g")
    verdict.equal("no discovery document describes grants", grant, None)


def judge_coverage(verdict, gcp):
    routes = gcp.control("routes", method="GET")["routes"]
    for name in sorted({f"{route['service']}:{route['action']}" for route in routes}):
        verdict.holds(
            f"{name} was used for what it is for", name in gcp.answered or name in NEVER_GIVEN
        )
        verdict.holds(f"{name} was seen to refuse", name in gcp.refused)


# What is refused to everybody.
NEVER_GIVEN = {f"iamcredentials:{name}" for name in ["GenerateIdToken", "SignBlob", "SignJwt"]}


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--serve", required=True)
    asked = options.parse_args()
    from gcp_estate import Issuer, estate

    issuer = Issuer()
    with Verdict() as verdict, tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(estate(issuer), file)
        file.flush()
        with Served(asked.serve, file.name) as ready:
            address = ready["url"].removeprefix("http://")
            # So that google-auth finds this metadata server, and none of the machine's.
            os.environ.update(
                GCE_METADATA_HOST=address, GCE_METADATA_IP=address, NO_GCE_CHECK="true"
            )
            from gcp_client import Gcp
            from gcp_witness import Witness

            with Witness(verdict, ready["url"]) as witness:
                gcp = Gcp(verdict, witness)
                gcp.reset()
                judge(verdict, gcp, issuer)
                judge_coverage(verdict, gcp)


if __name__ == "__main__":
    main()
