"""Generated IAM cases: a request, and policies on every layer that nearly fit it.

Random policies against random requests deny almost always, for dull reasons. So the request comes
first, and the policies are made of its own parts: the exact value, a wildcard over it, a neighbour
that differs by a character, the opposite. Everything hangs on the seed.

Left out, because there the judge itself departs from AWS's documentation, or AWS gives no word:

- networks of prefix 0 (`0.0.0.0/0`): iam-simulate matches no address with them; and one address
  under `NotIpAddress`: it finds an IPv6 address not to be outside of an IPv4 address;
- a wildcard in the type part of a resource (`…:*/deploy`): documented as incorrect usage, without
  saying what it does;
- variables in documents of version 2008-10-17: iam-simulate replaces them, AWS does not;
- a variable without a value under a negated operator or in `NotResource`: AWS says only that
  nothing is equal to it;
- beside a session policy, a resource policy that allows the session itself or `*`: AWS lets such an
  Allow pass by what the session policy is silent about, iam-simulate does not. The evaluator's own
  tests hold that table row by row;
- `NotPrincipal`: AWS advises against it, and iam-simulate says of itself that it guesses.
"""

import random

OURS = "111122223333"
OTHER = "444455556666"
LEASE = "jl-0h3k5w7z9b2df"

# action, resource, and the condition keys that only some actions have
ACTIONS = {
    "s3:GetObject": ("object", []),
    "s3:PutObject": ("object", ["s3:x-amz-acl"]),
    "s3:DeleteObject": ("object", []),
    "s3:ListBucket": ("bucket", ["s3:prefix", "s3:max-keys"]),
    "s3:GetBucketLocation": ("bucket", []),
    "sqs:SendMessage": ("queue", []),
    "sts:AssumeRole": ("role", ["sts:ExternalId", "sts:RoleSessionName", "aws:TagKeys"]),
    "iam:GetRole": ("role", []),
    "iam:PutRolePolicy": ("role", []),
    "sts:GetSessionToken": ("everything", []),
    "ecr:GetAuthorizationToken": ("everything", []),
}
BUCKETS = ["artifacts-prod", "artifacts-prod-evil", "logs"]
KEYS = ["releases/a.tgz", "releases/v1/b", "releases-evil/a.tgz", "releases/", "a:b", "x"]


class Cases:
    """A stream of cases; the same seed gives the same stream."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def chance(self, probability):
        return self.random.random() < probability

    def one(self, options):
        return self.random.choice(options)

    def some(self, options, most):
        return self.random.sample(options, self.random.randint(1, min(most, len(options))))

    def list_or_one(self, values):
        """Almost every element may be a string or a list of strings."""
        return values[0] if len(values) == 1 and self.chance(0.5) else values

    def case(self):
        action = self.one(list(ACTIONS))
        kind, extra = ACTIONS[action]
        caller = self.caller()
        self.request = {
            "caller": caller,
            "action": action,
            "resource": self.resource(kind),
            "context": self.context(caller, extra),
        }
        return {"request": self.request, "layers": self.layers(action, kind, caller)}

    # ---- the request -------------------------------------------------------------------------

    def caller(self):
        account = OURS
        if self.chance(0.25):
            return {"kind": "user", "account": account, "arn": f"arn:aws:iam::{account}:user/anna"}
        session = self.one([LEASE, "jl-other"])
        return {
            "kind": "session",
            "account": account,
            "role_arn": f"arn:aws:iam::{account}:role/deploy",
            "session_arn": f"arn:aws:sts::{account}:assumed-role/deploy/{session}",
        }

    def resource(self, kind):
        if kind == "object":
            return f"arn:aws:s3:::{self.one(BUCKETS)}/{self.one(KEYS)}"
        if kind == "bucket":
            return f"arn:aws:s3:::{self.one(BUCKETS)}"
        if kind == "queue":
            return f"arn:aws:sqs:eu-central-1:{OURS}:{self.one(['jobs', 'jobs-evil'])}"
        if kind == "role":
            return f"arn:aws:iam::{OURS}:role/{self.one(['deploy', 'admin', 'team/deploy'])}"
        return "*"

    def context(self, caller, extra):
        session = caller["kind"] == "session"
        name = caller["session_arn"].rsplit("/", 1)[1] if session else "anna"
        context = {
            "aws:PrincipalArn": caller["role_arn"] if session else caller["arn"],
            "aws:PrincipalAccount": caller["account"],
            "aws:userid": f"AROAEXAMPLEID:{name}" if session else "AIDAEXAMPLEID",
            "aws:SecureTransport": self.one(["true", "false"]),
            "aws:SourceIp": self.one(["192.0.2.7", "198.51.100.9", "2001:db8::1"]),
            "aws:CurrentTime": "2026-11-23T10:00:00Z",
            "aws:EpochTime": "1795428000",
        }
        maybe = (
            {"aws:SourceIdentity": self.one([name, "someone"])}
            if session
            else {"aws:username": "anna"}
        )
        if session:
            maybe["aws:TokenIssueTime"] = self.one(["2026-11-23T09:00:00Z", "2026-11-23T09:59:59Z"])
            maybe["aws:PrincipalTag/jl"] = self.one([name, "JL-OTHER", "a*"])
        maybe["aws:PrincipalTag/team"] = self.one(["blue", "red"])
        maybe["aws:MultiFactorAuthAge"] = self.one(["0", "300", "300.5", "3600"])
        values = {
            "s3:prefix": self.one(["releases/", "releases-evil/", ""]),
            "s3:max-keys": self.one(["1", "1000"]),
            "s3:x-amz-acl": self.one(["private", "public-read"]),
            "sts:ExternalId": self.one(["jitney", "Jitney"]),
            "sts:RoleSessionName": self.one([LEASE, "x"]),
            "aws:TagKeys": self.some(["jl", "team", "JL", "cost"], 3),
        }
        maybe.update({key: values[key] for key in extra})
        context.update({key: value for key, value in maybe.items() if self.chance(0.8)})
        return context

    # ---- the layers --------------------------------------------------------------------------

    def layers(self, action, kind, caller):
        layers = {"identity": [self.policy() for _ in range(self.random.randint(0, 2))]}
        if self.chance(0.3):
            layers["boundary"] = self.policy()
        if caller["kind"] == "session" and self.chance(0.4):
            layers["session"] = [self.policy()]
        side = {"account": OURS}
        if kind in ("object", "bucket", "queue"):
            side["account"] = OTHER if self.chance(0.2) else OURS
            if self.chance(0.5):
                side["policy"] = self.policy("resource", "session" in layers)
        if action == "sts:AssumeRole":
            side["policy"] = self.policy("trust", "session" in layers)
            side["must_allow"] = True
        layers["resource"] = side
        return layers

    def policy(self, kind="identity", beside_session=False):
        count = self.random.randint(1, 3)
        statements = [self.statement(kind, beside_session) for _ in range(count)]
        for number, statement in enumerate(statements):
            if self.chance(0.3):
                statement["Sid"] = f"S{number}"
        old = "${" not in str(statements) and self.chance(0.2)
        return {"Version": "2008-10-17" if old else "2012-10-17", "Statement": statements}

    def statement(self, kind, beside_session):
        statement = {"Effect": "Allow" if self.chance(0.7) else "Deny"}
        if kind != "identity":
            narrow = beside_session and statement["Effect"] == "Allow"
            statement["Principal"] = self.principal(narrow)
        name = "Action" if self.chance(0.85) else "NotAction"
        patterns = self.trust_patterns() if kind == "trust" else self.action_patterns()
        statement[name] = self.list_or_one(self.some(patterns, 2))
        if kind != "trust":
            name = "Resource" if self.chance(0.85) else "NotResource"
            patterns = self.resource_patterns(valued_only=name == "NotResource")
            statement[name] = self.list_or_one(self.some(patterns, 2))
        if self.chance(0.5):
            statement["Condition"] = self.conditions()
        return statement

    def principal(self, narrow):
        caller = self.request["caller"]
        own = caller.get("role_arn", caller.get("arn"))
        names = [own, f"arn:aws:iam::{OURS}:root", OURS, OTHER, f"arn:aws:iam::{OTHER}:role/deploy"]
        names += [f"arn:aws:iam::{OURS}:role/admin"]
        names += [] if narrow else [caller.get("session_arn", own), "*"]
        chosen = self.some(names, 2)
        if chosen == ["*"] and self.chance(0.5):
            return "*"
        return {"AWS": self.list_or_one(chosen)}

    def action_patterns(self):
        service, name = self.request["action"].split(":")
        patterns = [
            f"{service}:{name}",
            f"{service}:*",
            "*",
            f"{service}:{name[:4]}*",
            f"{service}:?{name[1:]}",
        ]
        patterns += [
            f"{service.upper()}:{name.lower()}",
            f"{service}:*{name[3:]}",
            f"{service}:{name}Acl",
        ]
        return patterns + ["s3:Put*", "s3:DeleteObject", "iam:*", "sts:*"]

    def trust_patterns(self):
        return ["sts:AssumeRole", "sts:*", "sts:Assume*", "STS:assumerole", "sts:TagSession"]

    def resource_patterns(self, valued_only):
        arn = self.request["resource"]
        if arn == "*":
            return ["*", "arn:aws:s3:::artifacts-prod/*", "arn:aws:iam::*:role/*"]
        head, _, tail = arn.rpartition(":")
        patterns = [arn, "*", f"{arn}*", f"{head}:*", f"{head}:{tail[:-1]}?", f"{head}:{tail[:5]}*"]
        patterns += [
            f"{head}:{tail[:6]}*{tail[7:]}",
            f"{arn}x",
            arn.upper().replace("ARN:AWS", "arn:aws"),
        ]
        if "/" in tail:
            folder = tail.rsplit("/", 1)[0]
            patterns += [f"{head}:{folder}/*", f"{head}:{folder}", f"{head}:{folder}*"]
        if not valued_only or "aws:PrincipalTag/jl" in self.request["context"]:
            patterns += [f"{head}:${{aws:PrincipalTag/jl}}/*"]
        patterns += [f"{head}:*${{aws:userid}}*"]
        if arn.startswith("arn:aws:s3"):
            patterns += [
                "arn:aws:s3:::artifacts-prod/releases/*",
                "arn:aws:s3:::*/${aws:PrincipalTag/team, 'x'}",
            ]
        return patterns

    # ---- conditions --------------------------------------------------------------------------

    def conditions(self):
        block = {}
        for _ in range(self.random.randint(1, 2)):
            operator, key, values = self.condition()
            block.setdefault(operator, {})[key] = self.list_or_one(values)
        return block

    def condition(self):
        keys = list(self.request["context"]) + ["aws:PrincipalTag/absent", "aws:SourceVpc"]
        key = self.one(keys)
        value = self.request["context"].get(key, "anything")
        if isinstance(value, list):
            operator, values = self.on_many(value)
        else:
            operator, values = self.on_one(key, value)
        if self.chance(0.1):
            return "Null", key, [self.one(["true", "false"])]
        if self.chance(0.15):
            operator += "IfExists"
        if self.chance(0.15):
            key = self.one([key.lower(), key.upper()]) if "/" not in key else key
        return operator, key, values

    def on_many(self, value):
        quantifier = self.one(["ForAnyValue:", "ForAllValues:"])
        base = self.one(["StringEquals", "StringNotEquals", "StringLike", "StringEqualsIgnoreCase"])
        return quantifier + base, self.some([*value, "jl", "j*", "nothing"], 3)

    def on_one(self, key, value):
        # Times, numbers, networks, ARNs and texts each have their own operators.
        negation = self.one(["", "", "Not"])
        if key == "aws:SecureTransport":
            return "Bool", [self.one(["true", "false"])]
        if key == "aws:SourceIp":
            networks = ["192.0.2.0/24", "198.51.100.0/25", "2001:db8::/32"]
            networks += [] if negation else ["192.0.2.7"]
            return negation + "IpAddress", self.some(networks, 2)
        if key in ("aws:CurrentTime", "aws:TokenIssueTime"):
            times = [
                "2026-11-23T09:59:59Z",
                "2026-11-23T10:00:00Z",
                "2026-11-22",
                "2030-01-01T00:00:00Z",
            ]
            return "Date" + self.comparison(negation), [self.one(times)]
        if key in ("aws:MultiFactorAuthAge", "s3:max-keys", "aws:EpochTime"):
            return "Numeric" + self.comparison(negation), [
                self.one([value, "299", "300", "1795428001"])
            ]
        if value.startswith("arn:"):
            patterns = [
                value,
                "arn:aws:iam::*:role/*",
                "arn:aws:iam::*:role/dep?oy",
                "arn:aws:*:*:*:*",
                f"{value}x",
            ]
            return "Arn" + negation + self.one(["Equals", "Like"]), self.some(patterns, 2)
        base = self.one(["Equals", "EqualsIgnoreCase", "Like"])
        values = [
            value,
            value.upper(),
            f"{value[:3]}*",
            f"*{value[2:]}",
            f"{value}x",
            f"?{value[1:]}",
        ]
        for variable in ["aws:PrincipalTag/jl", "aws:SourceIdentity"]:
            if not negation or variable in self.request["context"]:
                values += [f"${{{variable}}}", f"*:${{{variable}}}"]
        values += ["releases/*", "*"]
        return "String" + negation + base, self.some([v for v in values if v], 3)

    def comparison(self, negation):
        if negation:
            return "NotEquals"
        return self.one(
            ["Equals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals"]
        )
