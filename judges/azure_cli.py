"""azure-cli, unmodified: registers the cloud, logs in with an assertion, gives a role and takes it back."""

import json
import os
import subprocess
import uuid

SECONDS_MAX = 240


class Cli:
    def __init__(self, azure, estate, program, folder):
        self.azure = azure
        self.estate = estate
        self.program = program
        keep = {name: os.environ[name] for name in ["PATH", "HOME", "LANG"] if name in os.environ}
        self.environment = {
            **keep,
            "AZURE_CONFIG_DIR": f"{folder}/az",
            "AZURE_CORE_INSTANCE_DISCOVERY": "false",
            "AZURE_CORE_COLLECT_TELEMETRY": "false",
            "AZURE_CORE_NO_COLOR": "true",
            "AZURE_CORE_LOGIN_EXPERIENCE_V2": "false",
            "REQUESTS_CA_BUNDLE": azure.authority,
        }

    def run(self, what, *arguments, code=0):
        """A command that must end so; its answer, or what it complained of."""
        ended = subprocess.run(
            [self.program, *arguments, "--only-show-errors", "--output", "json"],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
            check=False,
        )
        self.azure.verdict.holds(f"az: {what}", ended.returncode == code, ended.stderr[-400:])
        if ended.returncode:
            return ended.stderr
        return json.loads(ended.stdout) if ended.stdout.strip() else None

    def log_in(self, what, assertion, code=0):
        who = self.estate.BROKER
        login = ["login", "--service-principal", "--username", who.client_id]
        tenant = ["--tenant", self.azure.tenant, "--federated-token", assertion]
        return self.run(what, *login, *tenant, code=code)

    def judge(self):
        verdict, estate = self.azure.verdict, self.estate
        register = ["cloud", "register", "--name", "Sandbox"]
        self.run("registers the cloud", *register, "--endpoint-resource-manager", self.azure.url)
        self.run("uses it", "cloud", "set", "--name", "Sandbox")
        subject = estate.BROKER.subject
        wrong = self.log_in("is refused with a wrong assertion", self.azure.issuer.assertion("x"), code=1)
        verdict.holds("az: and told why", "AADSTS700213" in str(wrong), wrong)
        accounts = self.log_in("logs in", self.azure.issuer.assertion(subject))
        verdict.equal("az: sees its subscription", [one["id"] for one in accounts or []], [estate.SUBSCRIPTION])
        self.judge_assignments()

    def judge_assignments(self):
        verdict, estate, name = self.azure.verdict, self.estate, str(uuid.uuid4())
        scope = ["--scope", estate.CONTAINER]
        quiet = ["--fill-principal-name", "false", "--fill-role-definition-name", "false"]

        def listed():
            command = ["role", "assignment", "list", *scope, *quiet]
            all = self.run("lists roles", *command, "--assignee-object-id", estate.SLOT.object_id)
            return [one["name"] for one in all or []]

        made = self.run(
            "gives a role",
            *("role", "assignment", "create", *scope, "--name", name),
            *("--role", estate.role(estate.READER)),
            *("--assignee-object-id", estate.SLOT.object_id),
            *("--assignee-principal-type", "ServicePrincipal"),
        )
        verdict.equal("az: the one it named", (made or {}).get("name"), name)
        verdict.equal("az: finds it", listed(), [name])
        self.run("takes it back", "role", "assignment", "delete", "--ids", made["id"])
        verdict.equal("az: finds it no more", listed(), [])
        kept = self.azure.control.ask("keeps", {"principal": estate.SLOT.object_id})["grants"]
        verdict.equal("az: nothing is left", kept, [])
        path = f"{estate.CONTAINER}/providers/Microsoft.Authorization/roleAssignmentScheduleInstances"
        instances = self.ask(f"{path}?api-version=2020-10-01")
        verdict.equal("az: and is answered", instances, {"value": []})
        [tenant] = self.ask("/tenants?api-version=2022-12-01")["value"]
        verdict.equal("az: sees its tenant", tenant["tenantId"], self.azure.tenant)

    def ask(self, path):
        url = ["--url", f"{self.azure.url}{path}", "--resource", "https://management.azure.com/"]
        return self.run("asks by hand", "rest", "--method", "get", *url)
