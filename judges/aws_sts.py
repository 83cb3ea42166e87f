"""What is asked of the sandbox's STS: sessions, what they may do, and how they end."""

import json

import requests

from aws_iam import text

ACCOUNT_ROLE = "lease-role"
BUCKET = "sts-judged"
DENY_LEASE = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Deny",
            "Action": "*",
            "Resource": "*",
            "Condition": {"StringEquals": {"aws:PrincipalTag/jl": ["lease-1"]}},
        }
    ],
}


def allow(*actions):
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    return {"Version": "2012-10-17", "Statement": [statement]}


class Sts:
    """Sessions of one role, made by a user; `control` moves the sandbox's clock."""

    def __init__(self, aws, account, root, user, control):
        self.aws, self.account, self.root, self.user, self.control = (
            aws,
            account,
            root,
            user,
            control,
        )
        self.role = f"arn:aws:iam::{account}:role/{ACCOUNT_ROLE}"

    def no(self, code, key=None, **parameters):
        asked = {"RoleArn": self.role, "RoleSessionName": "s1", **parameters}
        self.aws.no(code, "sts", "assume_role", key or self.user, **asked)

    def session(self, key=None, **parameters):
        asked = {"RoleArn": self.role, "RoleSessionName": "s1", **parameters}
        answer = self.aws.ok("sts", "assume_role", key or self.user, **asked)
        given = answer["Credentials"]
        return answer, (given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])

    def equal(self, what, seen, expected):
        self.aws.verdict.equal(what, seen, expected)

    def judge(self):
        self.prepare()
        self.identity()
        self.signed_ahead()
        self.bounds()
        self.trust()
        self.narrowing()
        self.chaining()
        self.revocation()
        self.expiry()
        self.clean_up()

    def trust_policy(self, condition=None):
        statement = {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{self.account}:root"},
            "Action": ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"],
        }
        if condition:
            statement["Condition"] = condition
        return text({"Version": "2012-10-17", "Statement": [statement]})

    def prepare(self):
        iam = {"service": "iam", "key": self.root}
        self.aws.ok(
            **iam,
            method="create_role",
            RoleName=ACCOUNT_ROLE,
            AssumeRolePolicyDocument=self.trust_policy(),
        )
        document = text(allow("s3:*", "sts:AssumeRole", "sts:TagSession"))
        self.aws.ok(
            **iam,
            method="put_role_policy",
            RoleName=ACCOUNT_ROLE,
            PolicyName="work",
            PolicyDocument=document,
        )
        where = {"LocationConstraint": "eu-central-1"}
        self.aws.ok(
            "s3", "create_bucket", self.root, Bucket=BUCKET, CreateBucketConfiguration=where
        )
        self.aws.ok("s3", "put_object", self.root, Bucket=BUCKET, Key="a", Body=b"a")

    def identity(self):
        answer, session = self.session(
            RoleSessionName="jl-1@x",
            DurationSeconds=900,
            SourceIdentity="acme-shop",
            Tags=[{"Key": "jl", "Value": "lease-0"}],
            Policy=text(allow("s3:GetObject")),
        )
        arn = f"arn:aws:sts::{self.account}:assumed-role/{ACCOUNT_ROLE}/jl-1@x"
        self.equal("a session's ARN", answer["AssumedRoleUser"]["Arn"], arn)
        self.equal("the source identity comes back", answer["SourceIdentity"], "acme-shop")
        self.equal("the key is a temporary one", session[0][:4], "ASIA")
        seen = self.aws.ok("sts", "get_caller_identity", session)
        self.equal("a session is who it is", (seen["Arn"], seen["Account"]), (arn, self.account))
        self.equal(
            "its id is the role's and its name",
            seen["UserId"],
            answer["AssumedRoleUser"]["AssumedRoleId"],
        )
        # Nobody: a wrong secret, a session without its token, with another's, an unknown key.
        _, other = self.session()
        for code, key in [
            ("SignatureDoesNotMatch", (session[0], "x" * 40, session[2])),
            ("InvalidClientTokenId", session[:2]),
            ("InvalidClientTokenId", (session[0], session[1], other[2])),
            ("InvalidClientTokenId", ("AKIAAAAAAAAAAAAAAAAA", "x" * 40)),
        ]:
            self.aws.no(code, "sts", "get_caller_identity", key)

    def signed_ahead(self):
        """What an EKS token is: a call signed for a minute, which is good for fifteen."""
        _, session = self.session(DurationSeconds=3600)
        client = self.aws.client("sts", session)
        # As an EKS token is made: the model itself says POST.
        url = client.generate_presigned_url("get_caller_identity", ExpiresIn=60, HttpMethod="GET")
        for later, expected in [(0, 200), (14 * 60, 200), (16 * 60, 403)]:
            self.control("clock", {"wire_offset_seconds": later})
            answer = requests.get(url, timeout=10, proxies={"http": None})
            self.equal(f"signed {later} s ago, it is answered", answer.status_code, expected)
        self.control("clock", {"wire_offset_seconds": 0})

    def bounds(self):
        for seconds in [899, 43201]:
            self.no("ValidationError", DurationSeconds=seconds)
        self.no(
            "ValidationError", DurationSeconds=3601
        )  # the role's own limit: refused, not shortened
        for name in ["a", "a" * 65, "a/b", "a:b"]:
            self.no("ValidationError", RoleSessionName=name)
            self.no("ValidationError", SourceIdentity=name)
        self.no("ValidationError", Policy="x" * 2049)
        self.no("MalformedPolicyDocument", Policy="{")
        self.no(
            "ValidationError",
            PolicyArns=[{"arn": f"arn:aws:iam::{self.account}:policy/p{n}"} for n in range(11)],
        )
        for tags in [
            [{"Key": f"k{number}", "Value": "v"} for number in range(51)],
            [{"Key": "k" * 129, "Value": "v"}],
            [{"Key": "k", "Value": "v" * 257}],
        ]:
            self.no("ValidationError", Tags=tags)
        long = [{"Key": f"{number:03}" + "k" * 100, "Value": "v" * 250} for number in range(20)]
        self.no("PackedPolicyTooLarge", Tags=long)
        self.no("AccessDenied", key=self.root)  # roles may not be assumed by the account itself
        self.no("AccessDenied", RoleArn=self.role + "x")

    def retrust(self, condition):
        document = self.trust_policy(condition)
        self.aws.ok(
            "iam",
            "update_assume_role_policy",
            self.root,
            RoleName=ACCOUNT_ROLE,
            PolicyDocument=document,
        )

    def trust(self):
        tag = [{"Key": "jl", "Value": "lease-0"}]
        cases = [
            (
                {"StringEquals": {"sts:ExternalId": "jitney"}},
                {"ExternalId": "jitney"},
                {"ExternalId": "Jitney"},
            ),
            ({"StringLike": {"aws:RequestTag/jl": "lease-*"}}, {"Tags": tag}, {}),
            ({"StringEquals": {"sts:RoleSessionName": "s1"}}, {}, {"RoleSessionName": "s2"}),
            (
                {"StringEquals": {"sts:SourceIdentity": "who"}},
                {"SourceIdentity": "who"},
                {"SourceIdentity": "wha"},
            ),
        ]
        for condition, good, bad in cases:
            self.retrust(condition)
            self.session(**good)
            self.no("AccessDenied", **bad)
        self.retrust(None)

    def narrowing(self):
        """A session may do what role and session policy both allow."""
        _, session = self.session(Policy=text(allow("s3:GetObject")))
        self.aws.ok("s3", "get_object", session, Bucket=BUCKET, Key="a")
        self.aws.no("AccessDenied", "s3", "delete_object", session, Bucket=BUCKET, Key="a")
        _, session = self.session(Policy=text(allow("iam:*")))
        self.aws.no("AccessDenied", "s3", "get_object", session, Bucket=BUCKET, Key="a")
        self.aws.no("AccessDenied", "iam", "get_role", session, RoleName=ACCOUNT_ROLE)

    def chaining(self):
        _, first = self.session(Tags=[{"Key": "jl", "Value": "lease-0"}], TransitiveTagKeys=["jl"])
        self.session(key=first, RoleSessionName="s2")
        self.no("ValidationError", key=first, DurationSeconds=3601)
        # A tag that is handed on cannot be passed again with another value.
        self.no("ValidationError", key=first, Tags=[{"Key": "JL", "Value": "lease-9"}])

    def revocation(self):
        """One session is denied by its tag, and another goes on."""
        _, first = self.session(Tags=[{"Key": "jl", "Value": "lease-1"}])
        _, second = self.session(Tags=[{"Key": "jl", "Value": "lease-2"}])
        put = {"RoleName": ACCOUNT_ROLE, "PolicyName": "ended"}
        self.aws.ok("iam", "put_role_policy", self.root, **put, PolicyDocument=text(DENY_LEASE))
        self.aws.no("AccessDenied", "s3", "get_object", first, Bucket=BUCKET, Key="a")
        self.aws.ok("s3", "get_object", second, Bucket=BUCKET, Key="a")
        self.aws.ok("iam", "delete_role_policy", self.root, **put)
        self.aws.ok("s3", "get_object", first, Bucket=BUCKET, Key="a")
        document = json.loads(text(DENY_LEASE))
        # The principal's ARN is the role's, never the session's.
        arn = f"arn:aws:sts::{self.account}:assumed-role/{ACCOUNT_ROLE}/s1"
        document["Statement"][0]["Condition"] = {"ArnEquals": {"aws:PrincipalArn": arn}}
        self.aws.ok("iam", "put_role_policy", self.root, **put, PolicyDocument=text(document))
        self.aws.ok("s3", "get_object", first, Bucket=BUCKET, Key="a")
        self.aws.ok("iam", "delete_role_policy", self.root, **put)

    def expiry(self):
        _, session = self.session(DurationSeconds=900)
        self.control("clock", {"advance_seconds": 895})
        self.aws.ok("s3", "get_object", session, Bucket=BUCKET, Key="a")
        self.control("clock", {"advance_seconds": 10})
        self.aws.no("ExpiredToken", "s3", "get_object", session, Bucket=BUCKET, Key="a")
        self.aws.no("ExpiredToken", "sts", "get_caller_identity", session)
        self.control("clock", {"offset_seconds": 0})

    def clean_up(self):
        self.aws.ok("s3", "delete_object", self.root, Bucket=BUCKET, Key="a")
        self.aws.ok("s3", "delete_bucket", self.root, Bucket=BUCKET)
        self.aws.ok(
            "iam", "delete_role_policy", self.root, RoleName=ACCOUNT_ROLE, PolicyName="work"
        )
        self.aws.ok("iam", "delete_role", self.root, RoleName=ACCOUNT_ROLE)
