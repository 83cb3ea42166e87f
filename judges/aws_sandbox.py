"""Judges the sandbox's AWS with boto3, unmodified, and botocore's service models.

Every operation is used for what it is for and asked for what it must refuse; every answer that
passes is read against the model (aws_answers.py). What the sandbox offers is found out by asking for
all that the models know: an operation that is offered and was not judged is red.

    aws_sandbox.py --serve PROGRAM    (PROGRAM ESTATE prints {"url", "accounts"} and serves)
"""

import argparse
import json
import tempfile
import urllib.request

from botocore.exceptions import ClientError

from aws_answers import read_answer
from aws_client import REGION, Aws
from aws_iam import Iam
from aws_s3 import S3
from aws_sts import Sts
from verdict import Served, Verdict

ACCOUNT, OTHER = "111122223333", "444455556666"
# Two users of the account: one may make sessions, the other nothing.
DEPLOYER = ("AKIAJUDGEDDEPLOYER00", "d" * 40)
NOBODY = ("AKIAJUDGEDNOBODY0000", "n" * 40)
DEPLOYER_MAY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "sts:*", "Resource": "*"}],
}


def user(name, key, **policies):
    access_key = {"access_key_id": key[0], "secret_access_key": key[1]}
    return {"name": name, "inline": policies, "access_keys": [access_key]}


ESTATE = {
    "region": REGION,
    "accounts": [
        {
            "id": ACCOUNT,
            "users": [user("deployer", DEPLOYER, may=DEPLOYER_MAY), user("nobody", NOBODY)],
        },
        {"id": OTHER},
    ],
}
NO_LIMITS = {"sts_per_second": 0, "iam_writes_per_second": 0, "iam_writes_burst": 0}
# How a service says that it does not know an operation.
UNKNOWN = ["InvalidAction", "NotImplemented", "501"]
# Asked by everybody and refused to nobody who can sign: the only ones that no policy denies.
NEVER_DENIED = ["sts:GetCallerIdentity"]


def control_of(url):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def control(command, order):
        body = json.dumps(order).encode()
        request = urllib.request.Request(f"{url}/_sandbox/{command}", data=body, method="POST")
        with opener.open(request, timeout=10) as answer:
            return json.load(answer)

    return control


def key_of(access_key):
    return access_key["access_key_id"], access_key["secret_access_key"]


def minimal(shape, depth=0):
    """The least that an input may be: required members, each of the least that it may be."""
    if shape is None or depth > 4:
        return {}
    if shape.type_name == "structure":
        return {name: minimal(shape.members[name], depth + 1) for name in shape.required_members}
    if shape.type_name == "list":
        return [minimal(shape.member, depth + 1)]
    if shape.type_name == "map":
        return {}
    if shape.type_name == "boolean":
        return False
    if shape.type_name in ("integer", "long", "float", "double"):
        return shape.metadata.get("min", 1)
    if shape.type_name == "timestamp":
        return "2026-11-23T00:00:00Z"
    if shape.type_name == "blob":
        return b""
    return shape.enum[0] if shape.enum else "x" * max(3, shape.metadata.get("min", 3))


def offered(aws, key):
    """Every operation of the three models that the sandbox knows, found by asking."""
    found = set()
    for service in ["sts", "iam", "s3"]:
        client = aws.connect(service, key, strict=False)
        # What these questions are answered is judged elsewhere.
        client.meta.events.unregister("response-received.*.*", aws.readers[client])
        for method, operation in client.meta.method_to_api_mapping.items():
            shape = client.meta.service_model.operation_model(operation).input_shape
            try:
                getattr(client, method)(**minimal(shape))
            except ClientError as error:
                if error.response["Error"]["Code"] in UNKNOWN:
                    continue
            found.add(f"{service}:{operation}")
    return found


# Things that are there, so that a refusal is about rights and not about their absence.
PRESENT = {
    "RoleName": "judged-role",
    "PolicyName": "judged-policy",
    "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/judged-role",
    "PolicyArn": f"arn:aws:iam::{ACCOUNT}:policy/judged-policy",
    "PermissionsBoundary": f"arn:aws:iam::{ACCOUNT}:policy/judged-policy",
    "VersionId": "v1",
}


def judge_without_rights(aws, key, operations):
    """Whom no policy allows anything is refused by every operation of IAM and STS."""
    for name in sorted(operations):
        service, operation = name.split(":")
        if service == "s3" or name in NEVER_DENIED:
            continue
        model = aws.client(service, key).meta
        [method] = [m for m, named in model.method_to_api_mapping.items() if named == operation]
        shape = model.service_model.operation_model(operation).input_shape
        parameters = minimal(shape)
        parameters.update({member: PRESENT[member] for member in parameters if member in PRESENT})
        aws.no("AccessDenied", service, method, key, **parameters)


def judge_coverage(verdict, aws, operations):
    verdict.holds("there is something to judge", len(operations) > 30, sorted(operations))
    for name in sorted(operations):
        verdict.holds(f"{name} was used for what it is for", name in aws.answered)
        verdict.holds(f"{name} was seen to refuse", name in aws.refused)


def judge_the_reader(verdict, aws):
    """Answers with one thing wrong must be noticed, or all the reading above has shown nothing."""
    operation = aws.client("sts", DEPLOYER).meta.service_model.operation_model("GetCallerIdentity")
    namespace = "https://sts.amazonaws.com/doc/2011-06-15/"
    good = (
        f'<GetCallerIdentityResponse xmlns="{namespace}"><GetCallerIdentityResult><Arn>arn:aws:iam::{ACCOUNT}:root'
        f"</Arn><UserId>u</UserId><Account>{ACCOUNT}</Account></GetCallerIdentityResult><ResponseMetadata>"
        "<RequestId>r</RequestId></ResponseMetadata></GetCallerIdentityResponse>"
    )

    def read(body, status=200):
        return read_answer(operation, status, {}, body.encode(), {})

    verdict.equal("a good answer is good", read(good), [])
    for what, wrong in [
        ("an unknown element", good.replace("<UserId>u</UserId>", "<UserID>u</UserID>")),
        ("an element twice", good.replace("<UserId>u</UserId>", "<UserId>u</UserId>" * 2)),
        ("another namespace", good.replace("2011-06-15", "2010-05-08")),
        ("no request id", good.replace("<RequestId>r</RequestId>", "")),
        ("another result", good.replace("GetCallerIdentityResult", "GetCallerResult")),
        (
            "a value out of bounds",
            good.replace("arn:aws:iam", "a").replace(f"::{ACCOUNT}:root", ""),
        ),
        ("no XML", good[:-3]),
    ]:
        verdict.holds(f"the reader notices {what}", read(wrong))
    verdict.holds("the reader notices another status", read(good, 201))


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--serve", required=True)
    asked = options.parse_args()
    with Verdict() as verdict, tempfile.NamedTemporaryFile("w", suffix=".json") as estate:
        json.dump(ESTATE, estate)
        estate.flush()
        with Served(asked.serve, estate.name) as ready:
            aws = Aws(verdict, ready["url"])
            control = control_of(ready["url"])
            control("options", {"limits": NO_LIMITS})
            root, other = (key_of(account["root"]) for account in ready["accounts"])
            operations = offered(aws, root)
            control("reset", {})
            control("options", {"limits": NO_LIMITS})
            print(f"{len(operations)} operations are offered", flush=True)
            judge_the_reader(verdict, aws)
            iam = Iam(aws, ACCOUNT, root)
            iam.judge()
            judge_without_rights(aws, NOBODY, operations)
            iam.finish()
            Sts(aws, ACCOUNT, root, DEPLOYER, control).judge()
            S3(aws, ACCOUNT, root, other).judge()
            judge_coverage(verdict, aws, operations)


if __name__ == "__main__":
    main()
