"""Judges the broker as an issuer, with PyJWT, requests and cryptography.

The real program makes its keys, serves its documents and is taken through a rotation as operators
do it. A verifier that shares no code with us must believe each assertion for as long as it may be
shown to somebody, and none by a key that is not published.

    own_issuer.py --jitney PROGRAM --sign PROGRAM    (the second one signs with a key's file)
"""

import argparse
import base64
import hashlib
import json
import pathlib
import re
import shutil
import subprocess
import tempfile
import time

import jwt
import requests
from cryptography.hazmat.primitives import serialization

from verdict import Verdict

ISSUER = "https://jitney.acme.example"
AUDIENCE = "api://AzureADTokenExchange"
SLOT = "jitney:slot:pool-1"
REQUIRED = ["iss", "sub", "aud", "exp", "iat", "nbf", "jti"]
DISCOVERY = "/.well-known/openid-configuration"
KEYS = "/.well-known/jwks.json"
READY = re.compile(r"the broker listens url=(http://127\.0\.0\.1:\d+)")
POLICIES = pathlib.Path(__file__).parent.parent / "examples" / "policies"

CONFIGURATION = """
installation = "acme-jitney"
[broker]
listen = "127.0.0.1:0"
[ledger]
path = "jitney.db"
[keys]
stamp_secret_file = "stamp.key"
audit_key_file = "audit.key"
[policies]
directory = "policies"
[[issuers]]
name = "github"
url = "http://127.0.0.1:9"
provider = "github-actions"
audience = "https://jitney.acme.example"
allow_private = true
[targets.acme-prod]
cloud = "aws"
account = "111122223333"
region = "eu-central-1"
[resources.artifacts-prod]
target = "acme-prod"
native_id = "arn:aws:s3:::artifacts-prod"
via = "arn:aws:iam::111122223333:role/jitney-artifacts"
tier = "standard"
owner = "platform"
"""


class Installation:
    """A folder with a configuration and its keys."""

    def __init__(self, folder, jitney, sign):
        self.folder = pathlib.Path(folder)
        self.jitney = jitney
        self.sign = sign
        shutil.copytree(POLICIES, self.folder / "policies")

    def configure(self, current, following=None, previous=()):
        section = {"url": ISSUER, "key_file": current, "previous_key_files": list(previous)}
        if following is not None:
            section["next_key_file"] = following
        # JSON's strings and arrays of strings are TOML's too.
        lines = [f"{key} = {json.dumps(value)}" for key, value in section.items()]
        text = CONFIGURATION + "[issuer]\n" + "\n".join(lines) + "\n"
        (self.folder / "jitney.toml").write_text(text)

    def command(self, *words):
        return [self.jitney, *words, "--config", str(self.folder / "jitney.toml")]

    def make_keys(self):
        subprocess.run(self.command("keys", "init"), check=True, stdout=subprocess.DEVNULL)

    def assertion(self, key, subject=SLOT, audience=AUDIENCE, seconds=300):
        words = [ISSUER, str(self.folder / key), subject, audience, str(seconds)]
        done = subprocess.run([self.sign, *words], check=True, capture_output=True, text=True)
        return done.stdout.strip()


class Broker:
    """The real broker, started on an installation."""

    def __init__(self, installation):
        self.command = installation.command("serve")

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stderr=subprocess.PIPE, text=True)
        self.http = requests.Session()
        self.http.trust_env = False
        for line in self.process.stderr:
            ready = READY.search(line)
            if ready:
                self.url = ready[1]
                return self
        raise RuntimeError("the broker ended before it was ready")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.stderr.read()
        self.process.wait(timeout=30)

    def get(self, path):
        answer = self.http.get(self.url + path, timeout=10)
        answer.raise_for_status()
        return answer

    def verify(self, token, audience=AUDIENCE):
        """What a careful verifier does, with the keys as they are published now."""
        keys = jwt.PyJWKSet.from_dict(self.get(KEYS).json())
        kid = jwt.get_unverified_header(token).get("kid")
        key = next((key for key in keys.keys if key.key_id == kid), None)
        if key is None:
            raise jwt.InvalidKeyError(f"no key {kid}")
        options = {"require": REQUIRED, "strict_aud": True}
        return jwt.decode(
            token, key, algorithms=["RS256"], audience=audience, issuer=ISSUER, options=options
        )


def thumbprint(jwk):
    """RFC 7638, from its own words."""
    members = {name: jwk[name] for name in ("e", "kty", "n")}
    text = json.dumps(members, sort_keys=True, separators=(",", ":"))
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def judge_files(verdict, installation, names):
    for name in names:
        file = installation.folder / name
        verdict.equal(f"`{name}` is for its owner alone", file.stat().st_mode & 0o777, 0o600)
        key = serialization.load_pem_private_key(file.read_bytes(), None)
        verdict.equal(f"`{name}` is an RSA key that others read", key.key_size, 2048)
    before = [(installation.folder / name).read_bytes() for name in names]
    installation.make_keys()
    after = [(installation.folder / name).read_bytes() for name in names]
    verdict.holds("keys that are there stay", before == after)


def judge_documents(verdict, broker, keys):
    answer = broker.get(DISCOVERY)
    discovery = answer.json()
    verdict.equal("discovery names the issuer", discovery["issuer"], ISSUER)
    verdict.equal("discovery names the keys", discovery["jwks_uri"], ISSUER + KEYS)
    algorithms = discovery["id_token_signing_alg_values_supported"]
    verdict.equal("discovery names one algorithm", algorithms, ["RS256"])
    published = broker.get(KEYS).json()["keys"]
    verdict.equal("so many keys are published", len(published), keys)
    for jwk in published:
        verdict.equal("a key is named by its thumbprint", jwk["kid"], thumbprint(jwk))
        members = {"alg", "e", "kid", "kty", "n", "use"}
        verdict.equal("nothing private is published", set(jwk), members)
        verdict.equal("keys are for signatures", (jwk["use"], jwk["alg"]), ("sig", "RS256"))
    for path in (DISCOVERY, KEYS):
        kept = broker.get(path).headers["cache-control"]
        verdict.equal("a document may be kept for a while", kept, "public, max-age=300")
        refused = broker.http.post(broker.url + path, timeout=10).status_code
        verdict.equal("a document is only read", refused, 405)


def judge_assertions(verdict, broker, installation, key):
    token = installation.assertion(key)
    header = jwt.get_unverified_header(token)
    verdict.equal("the header names an algorithm", (header["alg"], header["typ"]), ("RS256", "JWT"))
    claims = broker.verify(token)
    verdict.equal("an assertion has these claims and no others", set(claims), set(REQUIRED))
    verdict.equal("it says who", claims["sub"], SLOT)
    verdict.equal("it lives as long as was asked for", claims["exp"] - claims["iat"], 300)
    verdict.holds("it is from now", abs(claims["iat"] - time.time()) < 30, claims["iat"])
    again = broker.verify(installation.assertion(key, subject="jitney:broker"))
    verdict.equal("it says who, for the broker", again["sub"], "jitney:broker")
    verdict.holds("each has its own jti", claims["jti"] != again["jti"])
    verdict.refused(
        "another audience", jwt.InvalidAudienceError, lambda: broker.verify(token, ISSUER)
    )
    short = installation.assertion(key, seconds=1)
    time.sleep(2.1)
    verdict.refused(
        "an assertion past its end", jwt.ExpiredSignatureError, lambda: broker.verify(short)
    )


def judge_rotation(verdict, installation):
    installation.configure("first.pem", "second.pem")
    installation.make_keys()
    judge_files(verdict, installation, ["first.pem", "second.pem"])
    with Broker(installation) as broker:
        judge_documents(verdict, broker, 2)
        judge_assertions(verdict, broker, installation, "first.pem")
        first = installation.assertion("first.pem")
        early = installation.assertion("second.pem")
        verdict.holds("the next key is believed before it signs", broker.verify(early))
    installation.configure("second.pem", "third.pem", ["first.pem"])
    installation.make_keys()
    with Broker(installation) as broker:
        judge_documents(verdict, broker, 3)
        second = installation.assertion("second.pem")
        verdict.holds("what the key before signed is believed", broker.verify(first))
        verdict.holds("what the key signs now is believed", broker.verify(second))
    installation.configure("second.pem", "third.pem")
    with Broker(installation) as broker:
        verdict.refused("a withdrawn key", jwt.InvalidKeyError, lambda: broker.verify(first))
        verdict.holds("the other is believed still", broker.verify(second))


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--jitney", required=True)
    options.add_argument("--sign", required=True)
    asked = options.parse_args()
    with Verdict() as verdict, tempfile.TemporaryDirectory() as folder:
        judge_rotation(verdict, Installation(folder, asked.jitney, asked.sign))


if __name__ == "__main__":
    main()
