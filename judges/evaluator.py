"""Judges the sandbox's IAM evaluator: on generated cases it must decide as iam-simulate does.

    evaluator.py --ours PROGRAM [--seed N] [--count N]

PROGRAM reads lines of {"request", "layers"} and answers {"verdict"} or {"error"}. The first
disagreement of each kind is shrunk to the smallest case that still shows it.
"""

import argparse
import collections
import copy
import json
import os
import sys

from policies import Cases
from verdict import Answering, Verdict

COUNT = 20_000
AGREED_MIN = 2_000
CONTROLS = 500
SHRINK_STEPS_MAX = 3000
# What iam-simulate calls the three answers of ours.
NAMES = {
    "allowed": "Allowed",
    "explicit_deny": "ExplicitlyDenied",
    "implicit_deny": "ImplicitlyDenied",
}


def simulation(case):
    """The same case in iam-simulate's terms."""
    request, layers = case["request"], case["layers"]
    caller, side = request["caller"], layers.get("resource") or {}

    def named(policies):
        return [{"name": f"p{n}", "policy": policy} for n, policy in enumerate(policies)]

    asked = {
        "request": {
            "principal": caller.get("session_arn") or caller.get("arn"),
            "action": request["action"],
            "resource": {"resource": request["resource"], "accountId": side.get("account")},
            "contextVariables": request["context"],
        },
        "identityPolicies": named(layers.get("identity", [])),
        "serviceControlPolicies": [],
        "resourceControlPolicies": [],
    }
    if layers.get("boundary"):
        asked["permissionBoundaryPolicies"] = named([layers["boundary"]])
    if layers.get("session"):
        asked["sessionPolicy"] = layers["session"][0]
    if side.get("policy"):
        asked["resourcePolicy"] = side["policy"]
    return asked


class Judges:
    """Both evaluators, each in its own process."""

    def __init__(self, ours, node_modules):
        here = os.path.dirname(os.path.abspath(__file__))
        self.ours = Answering(ours)
        self.theirs = Answering("node", os.path.join(here, "iam_simulate.mjs"), node_modules)

    def decide(self, cases):
        """Pairs of (ours, theirs); theirs is `None` for a case that iam-simulate refuses."""
        ours = self.ours.ask_all(cases)
        theirs = self.theirs.ask_all([simulation(case) for case in cases])
        return [
            (self.our_word(a), b.get("result")) for a, b in zip(ours, theirs, strict=True)
        ], theirs

    @staticmethod
    def our_word(answer):
        return NAMES.get(answer.get("verdict"), answer.get("error"))

    def disagree(self, case):
        [(ours, theirs)], _ = self.decide([case])
        # A case that is no longer one of the language shows nothing.
        return theirs is not None and ours in NAMES.values() and ours != theirs

    def close(self):
        self.ours.close()
        self.theirs.close()


# Without them a case would be read as another kind of case.
KEPT = ["Principal", "resource", "account"]


def smaller(value):
    """Every case that is one step simpler than this one."""
    if isinstance(value, dict):
        for key in value:
            if key not in KEPT:
                yield {other: kept for other, kept in value.items() if other != key}
            for simpler in smaller(value[key]):
                yield {**value, key: simpler}
    elif isinstance(value, list):
        for position, element in enumerate(value):
            yield value[:position] + value[position + 1 :]
            for simpler in smaller(element):
                yield value[:position] + [simpler] + value[position + 1 :]


def shrink(case, still_shows):
    """Takes steps while one of them still shows the disagreement."""
    steps, found = 0, True
    while found and steps < SHRINK_STEPS_MAX:
        found = False
        for simpler in smaller({"layers": case["layers"], "context": case["request"]["context"]}):
            steps += 1
            if "layers" not in simpler or "context" not in simpler:
                continue
            trial = copy.deepcopy(case)
            trial["layers"], trial["request"]["context"] = simpler["layers"], simpler["context"]
            # Nobody passes an empty list of session policies, and only ours has a word for it.
            if trial["layers"].get("session") != [] and still_shows(trial):
                case, found = trial, True
                break
    return case


def show_smallest(judges, cases, decisions):
    """The first disagreement of each kind, as small as it gets."""
    shown = set()
    for case, pair in zip(cases, decisions, strict=True):
        if pair[1] is None or pair[0] == pair[1] or pair in shown:
            continue
        shown.add(pair)
        small = shrink(case, judges.disagree)
        [(ours, theirs)], _ = judges.decide([small])
        print(f"ours says {ours}, iam-simulate says {theirs}: {json.dumps(small)}")


def without_deny(value):
    """The case as a cloud that ignores Deny would see it: no Deny ever applies."""
    if isinstance(value, list):
        return [without_deny(element) for element in value]
    if not isinstance(value, dict):
        return value
    if value.get("Effect") == "Deny":
        return {**value, "Condition": {"StringEquals": {"aws:NeverThere": "x"}}}
    return {key: without_deny(kept) for key, kept in value.items()}


def control(verdict, judges, cases):
    """A judge that cannot see a cloud without Deny would have shown nothing."""
    blind = judges.ours.ask_all([without_deny(case) for case in cases])
    pairs = zip(map(Judges.our_word, blind), judges.theirs.ask_all(map(simulation, cases)))
    caught = sum(1 for ours, theirs in pairs if theirs.get("result") not in (None, ours))
    verdict.holds("an evaluator that ignores Deny is caught", caught * 10 > len(cases), caught)


def judge(verdict, decisions, answers):
    """The cases count as one: that there is none in which the two differ."""
    agreed, differing = collections.Counter(), []
    unjudged = [answer for answer in answers if "result" not in answer]
    for number, (ours, theirs) in enumerate(decisions):
        if theirs is not None and ours == theirs:
            agreed[ours] += 1
        elif theirs is not None:
            differing.append((number, ours, theirs))
    print(f"agreed: {dict(agreed)}, not judged: {len(unjudged)} {unjudged[:1]}")
    verdict.holds("the two decide every case alike", not differing, differing[:10])
    total = agreed.total()
    verdict.holds("enough cases were judged", total >= min(AGREED_MIN, len(decisions) * 0.8), total)
    for name in NAMES.values():
        verdict.holds(f"a tenth of the cases is {name}", agreed[name] * 10 >= total, agreed)


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--ours", required=True)
    options.add_argument(
        "--node", default=os.path.join(os.environ.get("JITNEY_JUDGES", ".judges"), "node")
    )
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--count", type=int, default=COUNT)
    asked = options.parse_args()
    with Verdict() as verdict:
        print(f"seed {asked.seed}, {asked.count} cases", flush=True)
        generator = Cases(asked.seed)
        cases = [generator.case() for _ in range(asked.count)]
        judges = Judges(asked.ours, asked.node)
        decisions, answers = judges.decide(cases)
        judge(verdict, decisions, answers)
        show_smallest(judges, cases, decisions)
        control(verdict, judges, cases[:CONTROLS])
        judges.close()


if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    main()
