"""Service accounts and policies, by the clients that are built from Google's descriptions and by the generated one."""

from google.api_core import exceptions
from google.cloud import resourcemanager_v3
from google.iam.v1 import iam_policy_pb2, options_pb2, policy_pb2
from google.type import expr_pb2
from googleapiclient.errors import HttpError

from gcp_estate import BROKER, BUCKET, NOBODY, NUMBER, OWNER, PROJECT, SLOT, member

LATER = "request.time < timestamp('2999-01-01T00:00:00Z')"


def bound_until(number):
    condition = {"title": f"jitney:lease-{number}", "expression": LATER}
    return {"role": "roles/storage.objectViewer", "members": [member(SLOT)], "condition": condition}


class Policies:
    def __init__(self, gcp):
        self.gcp = gcp
        self.verdict = gcp.verdict

    def judge(self):
        self.judge_accounts()
        self.judge_account_policies()
        self.judge_projects("v1")
        self.judge_projects("v3")
        self.judge_generated_client()
        self.judge_schema()

    def refused(self, what, status, act):
        """A call of an API's client that must fail with this status."""
        error = self.verdict.refused(what, HttpError, act)
        if error is not None:
            self.verdict.equal(f"{what} is refused with {status}", error.status_code, status)

    def judge_accounts(self):
        accounts = self.gcp.api("iam", "v1", BROKER).projects().serviceAccounts()
        parent = f"projects/{PROJECT}"
        names, request = [], accounts.list(name=parent, pageSize=2)
        while request is not None:
            page = request.execute()
            names += [account["email"] for account in page.get("accounts", [])]
            request = accounts.list_next(request, page)
        self.verdict.equal("accounts are listed in pages", len(names), 4)
        made = accounts.create(
            name=parent, body={"accountId": "worker", "serviceAccount": {"displayName": "a worker"}}
        ).execute()
        self.verdict.holds("a unique id has 21 digits", len(made["uniqueId"]) == 21, made)
        self.refused(
            "the same account again",
            409,
            accounts.create(name=parent, body={"accountId": "worker"}).execute,
        )
        name = made["name"]
        change = {
            "serviceAccount": {"description": "lease 1", "etag": made["etag"]},
            "updateMask": "description",
        }
        changed = accounts.patch(name=name, body=change).execute()
        self.verdict.equal(
            "a description is kept", accounts.get(name=name).execute()["description"], "lease 1"
        )
        self.refused(
            "a change with a stale etag", 409, accounts.patch(name=name, body=change).execute
        )
        self.verdict.equal("enabled is not told", changed.get("disabled"), None)
        accounts.disable(name=name, body={}).execute()
        self.verdict.equal("disabled is", accounts.get(name=name).execute().get("disabled"), True)
        accounts.enable(name=name, body={}).execute()
        accounts.delete(name=name).execute()
        self.refused("a deleted account", 404, accounts.get(name=name).execute)
        anywhere = f"projects/-/serviceAccounts/{made['email']}"
        self.refused("under the wildcard", 403, accounts.get(name=anywhere).execute)
        self.judge_without_rights(accounts)

    def judge_without_rights(self, accounts):
        nobody = self.gcp.api("iam", "v1", NOBODY).projects().serviceAccounts()
        name, parent = f"projects/{PROJECT}/serviceAccounts/{SLOT}", f"projects/{PROJECT}"
        change = {"serviceAccount": {"description": "x"}, "updateMask": "description"}
        for what, request in [
            ("listing", nobody.list(name=parent)),
            ("creating", nobody.create(name=parent, body={"accountId": "worker"})),
            ("reading", nobody.get(name=name)),
            ("changing", nobody.patch(name=name, body=change)),
            ("deleting", nobody.delete(name=name)),
            ("enabling", nobody.enable(name=name, body={})),
            ("disabling", nobody.disable(name=name, body={})),
            ("reading the policy", nobody.getIamPolicy(resource=name)),
            ("setting the policy", nobody.setIamPolicy(resource=name, body={"policy": {}})),
        ]:
            self.refused(f"{what} without a right", 403, request.execute)
        asked = {"permissions": ["iam.serviceAccounts.disable"]}
        granted = nobody.testIamPermissions(resource=name, body=asked).execute()
        self.verdict.equal("nothing is held", granted, {})
        granted = accounts.testIamPermissions(resource=name, body=asked).execute()
        self.verdict.equal("what is held is told", granted, asked)
        odd = {"permissions": ["iam.serviceAccounts.*"]}
        self.refused(
            "a permission that is none",
            400,
            accounts.testIamPermissions(resource=name, body=odd).execute,
        )

    def judge_account_policies(self):
        accounts = self.gcp.api("iam", "v1", BROKER).projects().serviceAccounts()
        name = f"projects/{PROJECT}/serviceAccounts/{SLOT}"

        def read(version):
            return accounts.getIamPolicy(
                resource=name, options_requestedPolicyVersion=version
            ).execute()

        def write(policy):
            return accounts.setIamPolicy(resource=name, body={"policy": policy})

        self.judge_race("an account's", read, write)

    def judge_projects(self, version):
        projects = self.gcp.api("cloudresourcemanager", version, BROKER).projects()
        resource = PROJECT if version == "v1" else f"projects/{PROJECT}"
        shown = projects.get(**{"projectId" if version == "v1" else "name": resource}).execute()
        self.verdict.equal(f"{version} shows the project", shown["projectId"], PROJECT)

        def read(requested):
            body = {"options": {"requestedPolicyVersion": requested}}
            return projects.getIamPolicy(resource=resource, body=body).execute()

        def write(policy):
            return projects.setIamPolicy(resource=resource, body={"policy": policy})

        self.judge_race(f"a project's ({version})", read, write)
        nobody = self.gcp.api("cloudresourcemanager", version, NOBODY).projects()
        asked = {"permissions": ["resourcemanager.projects.setIamPolicy"]}
        granted = nobody.testIamPermissions(resource=resource, body=asked).execute()
        self.verdict.equal(f"{version}: nothing is held", granted, {})
        for what, request in [
            ("a project", nobody.get(**{"projectId" if version == "v1" else "name": resource})),
            ("its policy", nobody.getIamPolicy(resource=resource, body={})),
            ("a change of it", nobody.setIamPolicy(resource=resource, body={"policy": {}})),
        ]:
            self.refused(f"{version}: {what} without a right", 403, request.execute)
        odd = {"permissions": ["x"]}
        self.refused(
            f"{version}: an odd question",
            400,
            nobody.testIamPermissions(resource=resource, body=odd).execute,
        )

    def judge_race(self, whose, read, write):
        """Two writers with one etag; what an older version shows; what a missing etag loses."""
        before = read(3)
        mine = {**before, "version": 3, "bindings": [*before["bindings"], bound_until(1)]}
        theirs = {**before, "version": 3, "bindings": [*before["bindings"], bound_until(2)]}
        stored = write(theirs).execute()
        self.verdict.equal(f"{whose} policy with conditions has version 3", stored["version"], 3)
        self.refused(f"the loser of a race for {whose} policy", 409, write(mine).execute)
        older = read(1)
        names = [
            binding["role"] for binding in older["bindings"] if "_withcond_" in binding["role"]
        ]
        self.verdict.holds(
            f"version 1 of {whose} policy hides conditions", names and older["version"] == 1, older
        )
        self.refused(
            f"{whose} conditions at version 1", 400, write({**stored, "version": 1}).execute
        )
        without = {**stored, "version": 1, "bindings": before["bindings"]}
        self.refused(f"{whose} conditions lost by version 1", 400, write(without).execute)
        blind = {"bindings": before["bindings"]}
        self.verdict.equal(
            f"a blind write loses {whose} conditions", write(blind).execute()["version"], 1
        )

    def judge_generated_client(self):
        """The same race by the client that is generated from protocol buffers."""

        def client(who):
            return resourcemanager_v3.ProjectsClient(
                transport="rest",
                client_options=self.gcp.options,
                credentials=self.gcp.credentials(who),
            )

        broker = client(BROKER)
        resource = f"projects/{NUMBER}"
        options = options_pb2.GetPolicyOptions(requested_policy_version=3)
        asked = iam_policy_pb2.GetIamPolicyRequest(resource=resource, options=options)
        policy = broker.get_iam_policy(request=asked, retry=None)
        stale = policy_pb2.Policy()
        stale.CopyFrom(policy)
        policy.version = 3
        condition = expr_pb2.Expr(title="jitney:lease-3", expression=LATER)
        binding = policy_pb2.Binding(
            role="roles/storage.objectViewer", members=[member(SLOT)], condition=condition
        )
        policy.bindings.append(binding)
        written = broker.set_iam_policy(
            request=iam_policy_pb2.SetIamPolicyRequest(resource=resource, policy=policy), retry=None
        )
        self.verdict.holds("the condition is stored", binding in list(written.bindings), written)
        stale.version = 3
        request = iam_policy_pb2.SetIamPolicyRequest(resource=resource, policy=stale)
        self.verdict.refused(
            "the generated client loses a race",
            exceptions.Conflict,
            lambda: broker.set_iam_policy(request=request, retry=None),
        )
        self.verdict.equal(
            "the project is shown",
            broker.get_project(name=f"projects/{PROJECT}", retry=None).project_id,
            PROJECT,
        )
        granted = broker.test_iam_permissions(
            resource=resource, permissions=["resourcemanager.projects.getIamPolicy"], retry=None
        )
        self.verdict.equal("what is held is told", len(granted.permissions), 1)
        self.verdict.refused(
            "a right that is missing",
            exceptions.Forbidden,
            lambda: client(NOBODY).get_iam_policy(request=asked, retry=None),
        )

    def judge_schema(self):
        """What no client would send is refused by name."""
        token = self.gcp.token(OWNER)
        path = f"/v3/projects/{PROJECT}:setIamPolicy"
        for what, body in [
            ("an unknown field", {"policies": {}}),
            ("an unknown field inside", {"policy": {"binding": []}}),
            (
                "a text for a list",
                {"policy": {"bindings": [{"role": "roles/viewer", "members": "x"}]}},
            ),
            ("a text for a number", {"policy": {"version": "three"}}),
            ("an etag that is no base64", {"policy": {"etag": "!"}}),
        ]:
            answer = self.gcp.call("POST", path, token, body)
            self.verdict.equal(f"{what} is refused", answer.status_code, 400)
        answer = self.gcp.call("POST", path, token, {}, force="true")
        self.verdict.equal("an unknown parameter is refused", answer.status_code, 400)

    def judge_scopes(self):
        """Each scope that a description names is enough, and another one is not."""
        descriptions = self.gcp.witness.descriptions
        for name, verb, path, body in [
            ("cloudresourcemanager.projects.get", "GET", f"/v3/projects/{PROJECT}", None),
            (
                "cloudresourcemanager.projects.getIamPolicy",
                "POST",
                f"/v3/projects/{PROJECT}:getIamPolicy",
                {},
            ),
            (
                "iam.projects.serviceAccounts.get",
                "GET",
                f"/v1/projects/{PROJECT}/serviceAccounts/{SLOT}",
                None,
            ),
            ("storage.buckets.get", "GET", f"/storage/v1/b/{BUCKET}", None),
            ("storage.buckets.getIamPolicy", "GET", f"/storage/v1/b/{BUCKET}/iam", None),
            ("storage.objects.list", "GET", f"/storage/v1/b/{BUCKET}/o", None),
            ("storage.objects.get", "GET", f"/storage/v1/b/{BUCKET}/o/releases%2Fold.txt", None),
        ]:
            documented = set(descriptions.named(name).scopes)
            for scope in sorted(documented | ALL_SCOPES):
                token = self.gcp.token(BROKER, scopes=[scope])
                status = self.gcp.call(verb, path, token, body).status_code
                expected = 200 if scope in documented else 403
                self.verdict.equal(f"{name} with {scope}", status, expected)


PREFIX = "https://www.googleapis.com/auth/"
ALL_SCOPES = {
    PREFIX + name
    for name in [
        "cloud-platform",
        "cloud-platform.read-only",
        "devstorage.read_only",
        "devstorage.read_write",
        "devstorage.full_control",
        "pubsub",
    ]
}
