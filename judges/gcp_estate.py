"""The estate that the judges of Google Cloud look at, and the keys of its identity provider."""

import json
import time

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

PROJECT = "acme-prod"
NUMBER = 111122223333
BUCKET = "artifacts-prod"
BROKER = f"broker@{PROJECT}.iam.gserviceaccount.com"
SLOT = f"slot-1@{PROJECT}.iam.gserviceaccount.com"
SECOND = f"slot-2@{PROJECT}.iam.gserviceaccount.com"
NOBODY = f"nobody@{PROJECT}.iam.gserviceaccount.com"
APPROVER = "bob@example.com"
OWNER = "ann@example.com"
ISSUER = "https://ci.example.com"
POOL = f"projects/{NUMBER}/locations/global/workloadIdentityPools/ci"
PROVIDER = f"//iam.googleapis.com/{POOL}/providers/github"
JOB = f"principalSet://iam.googleapis.com/{POOL}/attribute.repository/acme/shop"
CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform"


def member(email):
    return f"serviceAccount:{email}"


def slot(name):
    creator = {"role": "roles/iam.serviceAccountTokenCreator", "members": [member(BROKER)]}
    job = {"role": "roles/iam.workloadIdentityUser", "members": [JOB]}
    return {"name": name, "bindings": [creator, job]}


def bound(role, *members):
    return {"role": role, "members": list(members)}


class Issuer:
    """A CI's keys, one of each kind that Google takes."""

    def __init__(self):
        self.keys = {
            "rsa": ("RS256", rsa.generate_private_key(65537, 2048)),
            "ec": ("ES256", ec.generate_private_key(ec.SECP256R1())),
        }

    def key_set(self):
        keys = []
        for kid, (algorithm, key) in self.keys.items():
            kind = RSAAlgorithm if algorithm == "RS256" else ECAlgorithm
            public = json.loads(kind.to_jwk(key.public_key()))
            keys.append({**public, "kid": kid, "alg": algorithm, "use": "sig"})
        return json.dumps({"keys": keys})

    def token(self, kid="rsa", **changes):
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": f"https:{PROVIDER}",
            "sub": "repo:acme/shop:ref:refs/heads/main",
            "repository": "acme/shop",
            "ref": "refs/heads/main",
            "iat": now,
            "nbf": now,
            "exp": now + 300,
            **changes,
        }
        algorithm, key = self.keys[kid]
        return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": kid})


def estate(issuer):
    provider = {
        "id": "github",
        "issuer": ISSUER,
        "jwks_json": issuer.key_set(),
        "attribute_mapping": {
            "google.subject": "assertion.sub",
            "attribute.repository": "assertion.repository",
        },
        "attribute_condition": "assertion.ref == 'refs/heads/main'",
    }
    entitlement = {
        "id": "readers",
        "requesters": [member(SLOT), member(SECOND)],
        "roles": ["roles/storage.objectViewer"],
        "max_duration_seconds": 3600,
    }
    approved = {**entitlement, "id": "approved", "approvers": [f"user:{APPROVER}"]}
    project = {
        "id": PROJECT,
        "number": NUMBER,
        "accounts": [{"name": "broker"}, slot("slot-1"), slot("slot-2"), {"name": "nobody"}],
        "bindings": [
            bound("roles/iam.serviceAccountAdmin", member(BROKER)),
            bound("roles/resourcemanager.projectIamAdmin", member(BROKER)),
            bound("roles/privilegedaccessmanager.admin", member(BROKER)),
            bound("roles/owner", f"user:{OWNER}"),
        ],
        "buckets": [
            {
                "name": BUCKET,
                "objects": {"releases/old.txt": "old", "private/key.txt": "key"},
                "bindings": [
                    bound("roles/storage.admin", member(BROKER)),
                    bound("roles/storage.objectViewer", JOB),
                ],
            }
        ],
        "pools": [{"id": "ci", "providers": [provider]}],
        "entitlements": [entitlement, approved],
    }
    return {"projects": [project], "users": [OWNER, APPROVER], "metadata_account": BROKER}
