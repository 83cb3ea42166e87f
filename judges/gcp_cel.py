"""Conditions, generated, by the sandbox and by cel-python: two implementations that share no code."""

import datetime
import random

import celpy
from celpy import celtypes

NAMES = [
    "projects/_/buckets/b/objects/releases/a.txt",
    "projects/_/buckets/b/objects/private/key",
    "projects/_/buckets/b",
    "",
]
CASES = 400


class Conditions:
    """Expressions of the dialect that IAM's conditions are written in. Google's own functions are left out: no other
    implementation has them, and the sandbox's tests say what they do."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def pick(self, *ways):
        return self.random.choice(ways)

    def text(self):
        return self.pick(
            "resource.name",
            "resource.type",
            "resource.service",
            f"'{self.pick(*NAMES)}'",
            "'storage.googleapis.com/Object'",
            "'releases'",
        )

    def time(self):
        stamp = self.moment().isoformat().replace("+00:00", "Z")
        return self.pick(
            "request.time",
            f"timestamp('{stamp}')",
            f"(request.time + duration('{self.pick(1, 90, 3600)}s'))",
        )

    def moment(self):
        base = datetime.datetime(2026, 11, 26, 12, tzinfo=datetime.timezone.utc)
        return base + datetime.timedelta(seconds=self.random.randint(-100_000, 100_000))

    def number(self):
        part = self.pick(
            "getHours",
            "getMinutes",
            "getDayOfWeek",
            "getMonth",
            "getFullYear",
            "getDate",
            "getDayOfMonth",
        )
        zone = self.pick("", "'Europe/Berlin'", "'America/New_York'", "'UTC'")
        return self.pick(
            f"request.time.{part}({zone})", str(self.random.randint(0, 30)), f"size({self.text()})"
        )

    def truth(self, depth=0):
        if depth < 3 and self.random.random() < 0.55:
            left, right = self.truth(depth + 1), self.truth(depth + 1)
            return self.pick(
                f"({left} && {right})",
                f"({left} || {right})",
                f"!({left})",
                f"({left} ? {right} : {left})",
            )
        compare = self.pick("<", "<=", ">", ">=", "==", "!=")
        return self.pick(
            f"{self.time()} {compare} {self.time()}",
            f"{self.number()} {compare} {self.number()}",
            f"{self.text()} {self.pick('==', '!=')} {self.text()}",
            f"{self.text()}.{self.pick('startsWith', 'endsWith', 'contains')}({self.text()})",
            f"{self.text()} in [{self.text()}, {self.text()}]",
            self.pick("true", "false"),
            # What cannot be evaluated: types that do not meet, and names that are not there.
            f"{self.text()} < {self.number()}",
            "resource.nothing == 'x'",
        )


def judge_conditions(gcp, seed=1):
    conditions = Conditions(seed)
    environment = celpy.Environment()
    seen = {"holds": 0, "does not": 0, "fails": 0}
    for _ in range(CASES):
        expression, moment, name = conditions.truth(), conditions.moment(), conditions.pick(*NAMES)
        order = {
            "expression": expression,
            "time": moment.isoformat().replace("+00:00", "Z"),
            "resource_name": name,
        }
        ours = said(gcp.control("evaluate", order))
        theirs = by_celpy(environment, expression, moment, name)
        seen[theirs] += 1
        gcp.verdict.equal(f"{expression} at {moment} on {name!r}", ours, theirs)
    for kind, count in seen.items():
        gcp.verdict.holds(f"some conditions end in `{kind}`", count > CASES / 50, seen)


def said(answer):
    if "holds" in answer:
        return "holds" if answer["holds"] else "does not"
    return "fails" if "failed" in answer else "unreadable"


def by_celpy(environment, expression, moment, name):
    resource = {
        "name": name,
        "type": "storage.googleapis.com/Object",
        "service": "storage.googleapis.com",
    }
    activation = {
        "resource": celtypes.MapType(
            {celtypes.StringType(k): celtypes.StringType(v) for k, v in resource.items()}
        ),
        "request": celtypes.MapType({celtypes.StringType("time"): celtypes.TimestampType(moment)}),
    }
    program = environment.program(environment.compile(expression))
    try:
        return "holds" if program.evaluate(activation) else "does not"
    except celpy.CELEvalError:
        return "fails"
