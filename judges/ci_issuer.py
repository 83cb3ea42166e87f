"""Judges the CI issuer of the sandbox with PyJWT, requests and cryptography.

A verifier that shares no code with us must accept what the issuer mints honestly, refuse what it
mints dishonestly, and see keys rotate. It asks for tokens as a runner's client does.

    ci_issuer.py --serve PROGRAM      (PROGRAM prints {"url": …} and serves until its input ends)
"""

import argparse
import base64
import hashlib
import hmac
import json
import time

import jwt
import requests
from cryptography.hazmat.primitives import serialization

from verdict import Served, Verdict

AUDIENCE = "https://jitney.acme.example"
REQUIRED = ["iss", "sub", "aud", "exp", "iat", "nbf", "jti"]
JOB_IS_OVER = "Can't issue ID_TOKEN for job in 'Completed' state."
# The claims of GitHub's documentation that a job in an environment has, and no others.
CLAIMS = set("""
    jti sub aud ref sha repository repository_owner repository_owner_id run_id run_number
    run_attempt repository_visibility repository_id actor actor_id workflow head_ref base_ref
    event_name ref_protected ref_type workflow_ref workflow_sha job_workflow_ref job_workflow_sha
    runner_environment environment environment_node_id check_run_id enterprise enterprise_id
    repo_property_data_classification iss nbf exp iat
    """.split())


class Issuer:
    """The issuer as the outside sees it."""

    def __init__(self, url):
        self.url = url
        self.http = requests.Session()
        self.http.trust_env = False

    def get(self, path):
        answer = self.http.get(self.url + path, timeout=10)
        answer.raise_for_status()
        return answer.json()

    def control(self, path, body):
        answer = self.http.post(f"{self.url}/_sandbox/{path}", json=body, timeout=20)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def ask(self, job, audience=AUDIENCE):
        url = job["request_url"]
        if audience is not None:
            url += "&audience=" + requests.utils.quote(audience, safe="")
        headers = {"Authorization": f"bearer {job['request_token']}"}
        return self.http.get(url, headers=headers, timeout=10)

    def token(self, job, audience=AUDIENCE):
        return self.ask(job, audience).json()["value"]

    def mint(self, claims, key="current", header=None):
        body = {"claims": claims, "key": key}
        if header is not None:
            body["header"] = header
        return self.control("mint", body)["value"]

    def verify(self, token):
        """What a careful verifier does, with the keys as they are published now."""
        keys = jwt.PyJWKSet.from_dict(self.get("/.well-known/jwks"))
        kid = jwt.get_unverified_header(token).get("kid")
        key = next((key for key in keys.keys if key.key_id == kid), None)
        if key is None:
            raise jwt.InvalidKeyError(f"no key {kid}")
        options = {"require": REQUIRED, "strict_aud": True}
        return jwt.decode(
            token, key, algorithms=["RS256"], audience=AUDIENCE, issuer=self.url, options=options
        )


def judge_documents(verdict, issuer):
    discovery = issuer.get("/.well-known/openid-configuration")
    verdict.equal("discovery names the issuer", discovery["issuer"], issuer.url)
    verdict.equal(
        "discovery names the keys", discovery["jwks_uri"], issuer.url + "/.well-known/jwks"
    )
    algorithms = discovery["id_token_signing_alg_values_supported"]
    verdict.equal("discovery names one algorithm", algorithms, ["RS256"])
    supported = set(discovery["claims_supported"])
    unnamed = {name for name in CLAIMS - supported if not name.startswith("repo_property_")}
    verdict.equal("discovery names every claim", unnamed, set())
    for jwk in issuer.get("/.well-known/jwks")["keys"]:
        public = jwt.PyJWK(jwk).key
        verdict.equal("keys have 2048 bits", public.key_size, 2048)
        verdict.equal("keys have the usual exponent", public.public_numbers().e, 65537)
        verdict.equal("keys are for signatures", (jwk["use"], jwk["alg"]), ("sig", "RS256"))


def judge_honest_tokens(verdict, issuer):
    job = issuer.control("jobs", {})
    claims = issuer.verify(issuer.token(job))
    verdict.equal("a token has the documented claims", set(claims), CLAIMS)
    verdict.equal("a token lives 300 s", claims["exp"] - claims["iat"], 300)
    verdict.equal("a token is valid 600 s back", claims["iat"] - claims["nbf"], 600)
    verdict.holds("a token is from now", abs(claims["iat"] - time.time()) < 30, claims["iat"])
    texts = [name for name in CLAIMS if not isinstance(claims[name], str)]
    verdict.equal("only times are numbers", sorted(texts), ["exp", "iat", "nbf"])
    ids = {issuer.verify(issuer.token(job))["jti"] for _ in range(20)}
    verdict.equal("each token has its own jti", len(ids | {claims["jti"]}), 21)
    default = jwt.decode(issuer.token(job, None), options={"verify_signature": False})
    verdict.equal(
        "the default audience is the owner's page", default["aud"], "https://github.com/acme"
    )
    header = jwt.get_unverified_header(issuer.token(job))
    verdict.equal("the header names an algorithm", (header["alg"], header["typ"]), ("RS256", "JWT"))
    for event in ["pull_request", "pull_request_target", "workflow_run"]:
        claims = issuer.verify(issuer.token(issuer.control("jobs", {"event": event})))
        verdict.equal("an event is named", claims["event_name"], event)
        verdict.holds("without an environment the claim is absent", "environment" not in claims)


def judge_requests(verdict, issuer):
    job = issuer.control("jobs", {})
    other = issuer.control("jobs", {})
    stolen = dict(job, request_token=other["request_token"])
    verdict.equal("another job's bearer is refused", issuer.ask(stolen).status_code, 401)
    verdict.equal("no bearer is refused", issuer.http.get(job["request_url"]).status_code, 401)
    issuer.control(f"jobs/{job['id']}/complete", {})
    over = issuer.ask(job)
    verdict.holds("a job that is over is refused", over.status_code >= 400, over.status_code)
    verdict.equal("in GitHub's words", over.json()["message"], JOB_IS_OVER)
    verdict.equal("the other job goes on", issuer.ask(other).status_code, 200)


def judge_hostile_tokens(verdict, issuer):
    token = issuer.token(issuer.control("jobs", {}))
    header = jwt.get_unverified_header(token)
    honest = issuer.verify(token)
    verdict.equal("minting adds nothing", issuer.verify(issuer.mint(honest)), honest)
    now = int(time.time())
    changes = {
        "another audience": ({"aud": "https://github.com/acme"}, jwt.InvalidAudienceError),
        "two audiences": ({"aud": [AUDIENCE, "x"]}, jwt.InvalidAudienceError),
        "another issuer": ({"iss": issuer.url + "/"}, jwt.InvalidIssuerError),
        "a token of yesterday": ({"exp": now - 60}, jwt.ExpiredSignatureError),
        "a token of tomorrow": ({"nbf": now + 600}, jwt.ImmatureSignatureError),
        "no expiry": ({"exp": None}, jwt.MissingRequiredClaimError),
        "no jti": ({"jti": None}, jwt.MissingRequiredClaimError),
    }
    for what, (change, error) in changes.items():
        claims = {name: value for name, value in {**honest, **change}.items() if value is not None}
        verdict.refused(what, error, lambda: issuer.verify(issuer.mint(claims)))
    for what, key, alg, error in [
        ("an unknown key", "stranger", "RS256", jwt.InvalidSignatureError),
        ("no signature", "nothing", "RS256", jwt.InvalidSignatureError),
        ("no algorithm", "nothing", "none", jwt.InvalidAlgorithmError),
        ("another algorithm", "current", "RS512", jwt.InvalidAlgorithmError),
        ("a public key as a secret", "public_key_as_secret", "HS256", jwt.InvalidAlgorithmError),
    ]:
        hostile = issuer.mint(honest, key, dict(header, alg=alg))
        verdict.refused(what, error, lambda: issuer.verify(hostile))
    judge_confusion(verdict, issuer, honest, header)
    for kid in ["../../etc/passwd", "k\0", "k" * 10_000, "' or 1=1"]:
        hostile = issuer.mint(honest, "current", dict(header, kid=kid))
        seen = jwt.get_unverified_header(hostile)["kid"]
        verdict.equal("any key id can be put into a header", seen, kid)


def judge_confusion(verdict, issuer, honest, header):
    """The forged MAC must be right, or a verifier that refuses it has shown nothing."""
    forged = issuer.mint(honest, "public_key_as_secret", dict(header, alg="HS256"))
    keys = issuer.get("/.well-known/jwks")["keys"]
    public = jwt.PyJWK(next(key for key in keys if key["kid"] == header["kid"])).key
    pem = public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    message, _, signature = forged.rpartition(".")
    mac = hmac.new(pem, message.encode(), hashlib.sha256).digest()
    expected = base64.urlsafe_b64encode(mac).rstrip(b"=").decode()
    verdict.equal("the secret is the published key's PEM", signature, expected)


def judge_rotation(verdict, issuer):
    job = issuer.control("jobs", {})
    before = issuer.token(job)
    issuer.control("keys/rotate", {"keep_old": True})
    after = issuer.token(job)
    verdict.holds("a kept key still verifies", issuer.verify(before))
    verdict.holds("the new key verifies", issuer.verify(after))
    kids = {jwt.get_unverified_header(token)["kid"] for token in (before, after)}
    verdict.equal("a rotation changes the key id", len(kids), 2)
    issuer.control("keys/rotate", {"keep_old": False})
    verdict.refused("a withdrawn key", jwt.InvalidKeyError, lambda: issuer.verify(after))
    verdict.holds("the newest key verifies", issuer.verify(issuer.token(job)))
    claims = jwt.decode(after, options={"verify_signature": False})
    old = issuer.mint(claims, "former", jwt.get_unverified_header(issuer.token(job)))
    verdict.refused(
        "the old key under the new key's id", jwt.InvalidSignatureError, lambda: issuer.verify(old)
    )


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--serve", required=True)
    asked = options.parse_args()
    with Verdict() as verdict, Served(asked.serve) as ready:
        issuer = Issuer(ready["url"])
        judge_documents(verdict, issuer)
        judge_honest_tokens(verdict, issuer)
        judge_requests(verdict, issuer)
        judge_hostile_tokens(verdict, issuer)
        judge_rotation(verdict, issuer)
        print(json.dumps({"fetches": issuer.get("/_sandbox/fetches")}))


if __name__ == "__main__":
    main()
