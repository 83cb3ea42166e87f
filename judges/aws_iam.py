"""What is asked of the sandbox's IAM: every operation, with its limits and its error codes."""

import json

ALLOW_READ = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::artifacts-prod/*"}
    ],
}
ROLE = "judged-role"
POLICY = "judged-policy"
MISSING_ROLE = "nobody"


def text(document):
    return json.dumps(document)


def trust(account):
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
        "Action": ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"],
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


def padded(characters):
    """A valid policy of about this many counted characters."""
    document = json.loads(text(ALLOW_READ))
    document["Statement"][0]["Sid"] = "a" * characters
    return text(document)


class Iam:
    """The operations, by what they are about."""

    def __init__(self, aws, account, key):
        self.aws, self.account, self.key = aws, account, key
        self.policy_arn = f"arn:aws:iam::{account}:policy/{POLICY}"

    def ok(self, method, **parameters):
        return self.aws.ok("iam", method, self.key, **parameters)

    def no(self, code, method, **parameters):
        self.aws.no(code, "iam", method, self.key, **parameters)

    def equal(self, what, seen, expected):
        self.aws.verdict.equal(what, seen, expected)

    def judge(self):
        self.roles()
        self.inline_policies()
        self.managed_policies()
        self.policy_versions()
        self.boundaries()
        self.tags()
        self.paging()

    def roles(self):
        document = text(trust(self.account))
        made = self.ok(
            "create_role",
            RoleName=ROLE,
            AssumeRolePolicyDocument=document,
            Description="judged",
            MaxSessionDuration=7200,
            Path="/judged/",
            Tags=[{"Key": "team", "Value": "blue"}],
        )["Role"]
        self.equal(
            "a role's ARN has its path",
            made["Arn"],
            f"arn:aws:iam::{self.account}:role/judged/{ROLE}",
        )
        self.equal("a role's id is AROA…", made["RoleId"][:4], "AROA")
        read = self.ok("get_role", RoleName=ROLE)["Role"]
        # boto3 decodes the document: it was percent-encoded on the wire.
        self.equal(
            "the trust policy comes back", read["AssumeRolePolicyDocument"], trust(self.account)
        )
        self.equal("the longest session comes back", read["MaxSessionDuration"], 7200)
        self.equal("tags come back", read["Tags"], [{"Key": "team", "Value": "blue"}])
        again = {"RoleName": ROLE, "AssumeRolePolicyDocument": document}
        self.no("EntityAlreadyExists", "create_role", **again)
        self.no("EntityAlreadyExists", "create_role", **dict(again, RoleName=ROLE.upper()))
        for wrong in ["", "a/b", "a" * 65]:
            self.no("ValidationError", "create_role", **dict(again, RoleName=wrong))
        other = dict(again, RoleName="other")
        for seconds in [3599, 43201]:
            self.no("ValidationError", "create_role", **dict(other, MaxSessionDuration=seconds))
        for wrong in ["{", text({"Version": "2012-10-17"}), text(ALLOW_READ)]:
            self.no(
                "MalformedPolicyDocument",
                "create_role",
                **dict(other, AssumeRolePolicyDocument=wrong),
            )
        self.no("NoSuchEntity", "get_role", RoleName=MISSING_ROLE)
        self.ok("update_role", RoleName=ROLE, Description="changed", MaxSessionDuration=3600)
        read = self.ok("get_role", RoleName=ROLE)["Role"]
        self.equal(
            "an update is read back",
            (read["Description"], read["MaxSessionDuration"]),
            ("changed", 3600),
        )
        self.no("NoSuchEntity", "update_role", RoleName=MISSING_ROLE)
        self.ok("update_assume_role_policy", RoleName=ROLE, PolicyDocument=document)
        self.no(
            "MalformedPolicyDocument",
            "update_assume_role_policy",
            RoleName=ROLE,
            PolicyDocument="[]",
        )
        self.no(
            "NoSuchEntity",
            "update_assume_role_policy",
            RoleName=MISSING_ROLE,
            PolicyDocument=document,
        )
        names = [role["RoleName"] for role in self.ok("list_roles", PathPrefix="/judged/")["Roles"]]
        self.equal("roles are listed by path", names, [ROLE])
        self.no("ValidationError", "list_roles", MaxItems=0)

    def inline_policies(self):
        put = {"RoleName": ROLE, "PolicyName": "read", "PolicyDocument": text(ALLOW_READ)}
        self.ok("put_role_policy", **put)
        read = self.ok("get_role_policy", RoleName=ROLE, PolicyName="read")
        self.equal("an inline policy comes back", read["PolicyDocument"], ALLOW_READ)
        names = self.ok("list_role_policies", RoleName=ROLE)["PolicyNames"]
        self.equal("inline policies are listed", names, ["read"])
        # 10,240 characters for all inline policies together; white space does not count.
        self.no(
            "LimitExceeded",
            "put_role_policy",
            **dict(put, PolicyName="big", PolicyDocument=padded(10_240)),
        )
        blank = text(ALLOW_READ).replace(":", ": " + " " * 2_000)
        self.ok("put_role_policy", **dict(put, PolicyName="blank", PolicyDocument=blank))
        self.no("NoSuchEntity", "put_role_policy", **dict(put, RoleName=MISSING_ROLE))
        self.no("MalformedPolicyDocument", "put_role_policy", **dict(put, PolicyDocument="{}"))
        self.no(
            "MalformedPolicyDocument",
            "put_role_policy",
            **dict(put, PolicyDocument=text(trust(self.account))),
        )
        self.no("ValidationError", "put_role_policy", **dict(put, PolicyName="a/b"))
        self.no("NoSuchEntity", "get_role_policy", RoleName=ROLE, PolicyName="none")
        self.no("NoSuchEntity", "list_role_policies", RoleName=MISSING_ROLE)
        self.no("DeleteConflict", "delete_role", RoleName=ROLE)
        for name in ["read", "blank"]:
            self.ok("delete_role_policy", RoleName=ROLE, PolicyName=name)
        self.no("NoSuchEntity", "delete_role_policy", RoleName=ROLE, PolicyName="read")

    def managed_policies(self):
        make = {"PolicyName": POLICY, "PolicyDocument": text(ALLOW_READ)}
        made = self.ok("create_policy", **make, Description="judged")["Policy"]
        self.equal("a policy's ARN", made["Arn"], self.policy_arn)
        self.equal("the first version is the default", made["DefaultVersionId"], "v1")
        self.no("EntityAlreadyExists", "create_policy", **make)
        self.no(
            "MalformedPolicyDocument",
            "create_policy",
            **dict(make, PolicyName="x", PolicyDocument="x"),
        )
        # 6,144 characters for one managed policy.
        self.no(
            "LimitExceeded",
            "create_policy",
            **dict(make, PolicyName="x", PolicyDocument=padded(6_144)),
        )
        read = self.ok("get_policy", PolicyArn=self.policy_arn)["Policy"]
        self.equal("nothing has it yet", read["AttachmentCount"], 0)
        missing = self.policy_arn + "x"
        self.no("NoSuchEntity", "get_policy", PolicyArn=missing)
        self.no("ValidationError", "get_policy", PolicyArn="short")
        self.ok("attach_role_policy", RoleName=ROLE, PolicyArn=self.policy_arn)
        self.no("NoSuchEntity", "attach_role_policy", RoleName=ROLE, PolicyArn=missing)
        self.no(
            "NoSuchEntity", "attach_role_policy", RoleName=MISSING_ROLE, PolicyArn=self.policy_arn
        )
        listed = self.ok("list_attached_role_policies", RoleName=ROLE)["AttachedPolicies"]
        self.equal(
            "attached policies are listed",
            listed,
            [{"PolicyName": POLICY, "PolicyArn": self.policy_arn}],
        )
        self.no("NoSuchEntity", "list_attached_role_policies", RoleName=MISSING_ROLE)
        self.no("DeleteConflict", "delete_role", RoleName=ROLE)
        self.no("DeleteConflict", "delete_policy", PolicyArn=self.policy_arn)
        listed = self.ok("list_policies", Scope="Local", OnlyAttached=True)["Policies"]
        self.equal(
            "attached policies are counted",
            [(p["Arn"], p["AttachmentCount"]) for p in listed],
            [(self.policy_arn, 1)],
        )
        self.no("ValidationError", "list_policies", MaxItems=1001)
        self.ok("detach_role_policy", RoleName=ROLE, PolicyArn=self.policy_arn)
        self.no("NoSuchEntity", "detach_role_policy", RoleName=ROLE, PolicyArn=self.policy_arn)

    def policy_versions(self):
        arn = self.policy_arn
        make = {"PolicyArn": arn, "PolicyDocument": text(ALLOW_READ)}
        for number in [2, 3, 4, 5]:
            made = self.ok("create_policy_version", **make, SetAsDefault=number == 2)[
                "PolicyVersion"
            ]
            self.equal(
                "versions count up",
                (made["VersionId"], made["IsDefaultVersion"]),
                (f"v{number}", number == 2),
            )
        self.no("LimitExceeded", "create_policy_version", **make)
        self.no("NoSuchEntity", "create_policy_version", **dict(make, PolicyArn=arn + "x"))
        self.no(
            "MalformedPolicyDocument", "create_policy_version", **dict(make, PolicyDocument="{")
        )
        read = self.ok("get_policy_version", PolicyArn=arn, VersionId="v1")["PolicyVersion"]
        self.equal(
            "a version comes back",
            (read["Document"], read["IsDefaultVersion"]),
            (ALLOW_READ, False),
        )
        self.no("NoSuchEntity", "get_policy_version", PolicyArn=arn, VersionId="v9")
        self.no("ValidationError", "get_policy_version", PolicyArn=arn, VersionId="9")
        listed = self.ok("list_policy_versions", PolicyArn=arn)["Versions"]
        self.equal("newest first", [v["VersionId"] for v in listed], ["v5", "v4", "v3", "v2", "v1"])
        self.no("NoSuchEntity", "list_policy_versions", PolicyArn=arn + "x")
        self.ok("set_default_policy_version", PolicyArn=arn, VersionId="v1")
        self.no("NoSuchEntity", "set_default_policy_version", PolicyArn=arn, VersionId="v9")
        self.no("DeleteConflict", "delete_policy_version", PolicyArn=arn, VersionId="v1")
        self.no("DeleteConflict", "delete_policy", PolicyArn=arn)
        for number in [2, 3, 4, 5]:
            self.ok("delete_policy_version", PolicyArn=arn, VersionId=f"v{number}")
        self.no("NoSuchEntity", "delete_policy_version", PolicyArn=arn, VersionId="v5")

    def boundaries(self):
        bound = {"RoleName": ROLE, "PermissionsBoundary": self.policy_arn}
        self.ok("put_role_permissions_boundary", **bound)
        read = self.ok("get_role", RoleName=ROLE)["Role"]["PermissionsBoundary"]
        expected = {"PermissionsBoundaryType": "Policy", "PermissionsBoundaryArn": self.policy_arn}
        self.equal("a boundary is read back", read, expected)
        self.no(
            "NoSuchEntity", "put_role_permissions_boundary", **dict(bound, RoleName=MISSING_ROLE)
        )
        self.no(
            "NoSuchEntity",
            "put_role_permissions_boundary",
            **dict(bound, PermissionsBoundary=self.policy_arn + "x"),
        )
        self.no("DeleteConflict", "delete_policy", PolicyArn=self.policy_arn)
        self.ok("delete_role_permissions_boundary", RoleName=ROLE)
        self.no("NoSuchEntity", "delete_role_permissions_boundary", RoleName=ROLE)

    def tags(self):
        self.ok(
            "tag_role",
            RoleName=ROLE,
            Tags=[{"Key": "TEAM", "Value": "red"}, {"Key": "x", "Value": ""}],
        )
        listed = self.ok("list_role_tags", RoleName=ROLE)["Tags"]
        expected = [{"Key": "TEAM", "Value": "red"}, {"Key": "x", "Value": ""}]
        self.equal("keys that differ in case are one", listed, expected)
        self.no("NoSuchEntity", "list_role_tags", RoleName=MISSING_ROLE)
        twice = [{"Key": "a", "Value": "1"}, {"Key": "A", "Value": "2"}]
        self.no("InvalidInput", "tag_role", RoleName=ROLE, Tags=twice)
        for wrong in [
            {"Key": "aws:x", "Value": "1"},
            {"Key": "k" * 129, "Value": "1"},
            {"Key": "k", "Value": "v" * 257},
        ]:
            self.no("ValidationError", "tag_role", RoleName=ROLE, Tags=[wrong])
        many = [{"Key": f"k{number}", "Value": "v"} for number in range(49)]
        self.no("LimitExceeded", "tag_role", RoleName=ROLE, Tags=many)
        self.ok("untag_role", RoleName=ROLE, TagKeys=["team", "x"])
        self.no("NoSuchEntity", "untag_role", RoleName=MISSING_ROLE, TagKeys=["x"])

    def paging(self):
        for number in range(5):
            put = {"RoleName": ROLE, "PolicyName": f"p{number}", "PolicyDocument": text(ALLOW_READ)}
            self.ok("put_role_policy", **put)
        client = self.aws.client("iam", self.key)
        pages = client.get_paginator("list_role_policies").paginate(
            RoleName=ROLE, PaginationConfig={"PageSize": 2}
        )
        pages = [page["PolicyNames"] for page in pages]
        self.equal("a list comes in pages", pages, [["p0", "p1"], ["p2", "p3"], ["p4"]])
        for number in range(5):
            self.ok("delete_role_policy", RoleName=ROLE, PolicyName=f"p{number}")

    def finish(self):
        self.ok("delete_role", RoleName=ROLE)
        self.no("NoSuchEntity", "delete_role", RoleName=ROLE)
        self.ok("delete_policy", PolicyArn=self.policy_arn)
        self.no("NoSuchEntity", "delete_policy", PolicyArn=self.policy_arn)
