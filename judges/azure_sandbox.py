"""Judges the sandbox's Azure with Microsoft's own clients, unmodified.

azure-identity logs in, azure-mgmt-authorization makes every call that the sandbox has for it,
azure-storage-blob uses what was granted, and azure-keyvault-keys has a key sign; every answer is read against shapes typed from the OpenAPI
documents (azure_answers.py). Then azure-cli logs in with the same assertion, and Azurite takes a
storage token.

    azure_sandbox.py --serve PROGRAM [--az PROGRAM] [--azurite FOLDER]
                     (PROGRAM ESTATE prints {"url", "tenant_id", "authority_pem"} and serves)
"""

import argparse
import json
import tempfile
from collections import namedtuple

from azure.mgmt.authorization.v2020_10_01 import models as pim
from azure.mgmt.authorization.v2022_04_01 import models as rbac

from azure_answers import SHAPES, YOUNGER, read_answer
from azure_blob import Blob
from azure_cli import Cli
from azure_client import Azure, Issuer
from azure_login import Login
from azure_pim import Pim
from azure_rbac import Rbac
from azure_vault import Vault
from azurite import judge_azurite
from verdict import Served, Verdict

Who = namedtuple("Who", ["client_id", "subject", "object_id"])


def who(digit, name):
    id = f"{digit * 8}-0000-4000-8000-00000000000"
    return Who(f"{id}c", name, f"{id}b")


class Estate:
    """A subscription with a container; a broker that gives roles, and two slots that have none."""

    TENANT = "99999999-9999-4999-8999-999999999999"
    SUBSCRIPTION = "11111111-1111-4111-8111-111111111111"
    BROKER, SLOT, OTHER = who("b", "broker"), who("a", "slot-1"), who("c", "slot-2")
    SIGNER = who("d", "signer")
    ACCOUNT = "judgedaccount"
    READER = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"
    CONTRIBUTOR = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"
    OWNER = "b7e6dc6d-f1e8-4753-8033-0f276bb0955b"
    CRYPTO_USER = "12338af0-0e69-4776-bea7-57ae8d297424"
    USER_ACCESS_ADMINISTRATOR = "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9"

    @classmethod
    def at(cls, rest):
        return f"/subscriptions/{cls.SUBSCRIPTION}{rest}"

    @classmethod
    def role(cls, role):
        return cls.at(f"/providers/Microsoft.Authorization/roleDefinitions/{role}")

    @classmethod
    def written(cls, issuer):
        def app(who):
            trusts = [{"issuer": issuer.url, "subject": who.subject}]
            named = {"client_id": who.client_id, "object_id": who.object_id, "name": who.subject}
            return {**named, "federated": trusts}

        account = {"name": cls.ACCOUNT, "containers": {"releases": {"v1/a.txt": "one"}, "other": {}}}
        versions = [{"version": one} for one in ["0" * 32, "0123456789abcdef" * 2]]
        vault = {"name": "judged", "keys": {"jitney": versions}}
        group = {"name": "judged", "accounts": [account], "vaults": [vault]}
        subscription = {"id": cls.SUBSCRIPTION, "name": "judged", "groups": [group]}
        broker = {"role": cls.USER_ACCESS_ADMINISTRATOR, "principal": cls.BROKER.object_id}
        user = {"role": cls.CRYPTO_USER, "principal": cls.SIGNER.object_id}
        strict = {"required": ["MultiFactorAuthentication"]}
        return {
            "tenant_id": cls.TENANT,
            "subscriptions": [subscription],
            "apps": [app(one) for one in [cls.BROKER, cls.SLOT, cls.OTHER, cls.SIGNER]],
            "assignments": [{"scope": cls.at(""), **broker}, {"scope": cls.VAULT, **user}],
            "management_policies": [{"scope": cls.CONTAINER, "role": cls.OWNER, "rules": strict}],
        }


Estate.STORAGE = Estate.at(
    f"/resourceGroups/judged/providers/Microsoft.Storage/storageAccounts/{Estate.ACCOUNT}"
)
Estate.VAULT = Estate.at("/resourceGroups/judged/providers/Microsoft.KeyVault/vaults/judged")
Estate.CONTAINER = f"{Estate.STORAGE}/blobServices/default/containers/releases"

# Answered to everybody who has a token; nothing to refuse.
NEVER_REFUSED = {"Discovery", "Metadata", "Tenants_List", "Subscriptions_List"}
OPERATIONS = {
    # Not the keys: clients do not look into their own tokens.
    *("Token", "Discovery", "Metadata", "Tenants_List", "Subscriptions_List"),
    *(f"RoleAssignments_{verb}" for verb in ["Create", "Get", "Delete", "ListForScope"]),
    *("RoleDefinitions_Get", "RoleDefinitions_List"),
    *(f"DenyAssignments_{verb}" for verb in ["CreateOrUpdate", "Get", "Delete", "ListForScope"]),
    *(
        f"RoleAssignmentScheduleRequests_{verb}"
        for verb in ["Create", "Get", "ListForScope", "Cancel", "Validate"]
    ),
    *("RoleAssignmentSchedules_Get", "RoleAssignmentSchedules_ListForScope"),
    *("RoleAssignmentScheduleInstances_Get", "RoleAssignmentScheduleInstances_ListForScope"),
    *("RoleManagementPolicies_Get", "RoleManagementPolicies_ListForScope", "RoleManagementPolicies_Update"),
    *("RoleManagementPolicyAssignments_Get", "RoleManagementPolicyAssignments_ListForScope"),
    *("PutBlob", "GetBlob", "GetBlobProperties", "DeleteBlob", "ListBlobs", "ListContainers"),
    *("GetKey", "Sign"),
}


def judge_coverage(verdict, journal, with_cli):
    """By the sandbox's own journal: every operation was used for what it is for, and seen to refuse."""
    by_cli = {"Metadata", "Tenants_List", "Subscriptions_List"}
    for name in sorted(OPERATIONS if with_cli else OPERATIONS - by_cli):
        outcomes = [entry["outcome"] for entry in journal if entry["action"] == name]
        verdict.holds(f"{name} was used for what it is for", "ok" in outcomes)
        if name not in NEVER_REFUSED:
            verdict.holds(f"{name} was seen to refuse", set(outcomes) - {"ok"})


def judge_the_reader(verdict):
    """Answers with one thing wrong must be noticed, or all the reading above has shown nothing."""
    path = f"{Estate.CONTAINER}/providers/Microsoft.Authorization/roleAssignments/n"
    thing = {"id": "/x/n", "name": "n", "type": "t", "properties": {"scope": "/", "createdOn": None}}
    headers = {"x-ms-request-id": "r"}

    def read(body, status=200, method="GET", headers=headers, path=path):
        return read_answer(method, path, status, headers, body)

    verdict.equal("a good answer is good", read(thing), [])

    def properties(**more):
        return {**thing, "properties": {**thing["properties"], **more}}

    request = path.replace("Assignments", "AssignmentScheduleRequests")
    for what, wrong in [
        ("an unknown field", read(properties(colour="red"))),
        ("a number for a text", read(properties(scope=1))),
        ("a time that is none", read(properties(createdOn="yesterday"))),
        ("an id of another", read({**thing, "id": "/x/m"})),
        ("a missing name", read({key: thing[key] for key in ["id", "type", "properties"]})),
        ("another status", read(thing, 202)),
        ("a request answered with 200", read(thing, 200, "PUT", path=request)),
        ("a body after nothing", read(thing, 204, "DELETE")),
        ("an error without a code", read({"error": {"message": "m"}}, 400)),
        ("no request id", read(thing, headers={})),
    ]:
        verdict.holds(f"the reader notices {what}", wrong)


def judge_the_shapes(verdict):
    """The shapes have the fields of Microsoft's own models, no more and no less: nothing that is answered is lost
    on a client."""
    for kind, model in {
        "roleassignments": rbac.RoleAssignment,
        "roledefinitions": rbac.RoleDefinition,
        "denyassignments": rbac.DenyAssignment,
        "roleassignmentschedulerequests": pim.RoleAssignmentScheduleRequest,
        "roleassignmentschedules": pim.RoleAssignmentSchedule,
        "roleassignmentscheduleinstances": pim.RoleAssignmentScheduleInstance,
        "rolemanagementpolicies": pim.RoleManagementPolicy,
        "rolemanagementpolicyassignments": pim.RoleManagementPolicyAssignment,
    }.items():
        keys = [field["key"] for field in model._attribute_map.values()]
        properties = {key.split(".", 1)[1] for key in keys if key.startswith("properties.")}
        shaped = set(SHAPES[kind]) - YOUNGER.get(kind, set())
        verdict.equal(f"{kind} have the fields of the model", shaped, properties)


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--serve", required=True)
    options.add_argument("--az")
    options.add_argument("--azurite")
    asked = options.parse_args()
    issuer = Issuer()
    with Verdict() as verdict, tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/estate.json", "w") as file:
            json.dump(Estate.written(issuer), file)
        with Served(asked.serve, f"{folder}/estate.json") as ready:
            authority = f"{folder}/authority.pem"
            with open(authority, "w") as file:
                file.write(ready["authority_pem"])
            judge_the_reader(verdict)
            judge_the_shapes(verdict)
            azure = Azure(verdict, ready, authority, issuer)
            azure.control.ask("limits", dict.fromkeys(
                ["reads_burst", "reads_per_second", "writes_burst", "writes_per_second"], 0
            ))
            Login(azure, Estate.SLOT).judge()
            Rbac(azure, Estate).judge()
            Blob(azure, Estate).judge()
            Vault(azure, Estate).judge()
            if asked.az:
                Cli(azure, Estate, asked.az, folder).judge()
            if asked.azurite:
                judge_azurite(azure, Estate, asked.azurite, folder)
            # Last: it moves the clock far ahead.
            Pim(azure, Estate).judge()
            judge_coverage(verdict, azure.control.journal(), asked.az)


if __name__ == "__main__":
    main()
