"""Role assignments and definitions under azure-mgmt-authorization."""

import uuid

from azure.mgmt.authorization import models


class Rbac:
    def __init__(self, azure, estate):
        self.azure = azure
        self.estate = estate
        self.client = azure.client(estate.BROKER, estate.SUBSCRIPTION)

    def body(self, role=None, principal=None, **more):
        estate = self.estate
        return models.RoleAssignmentCreateParameters(
            role_definition_id=estate.role(role or estate.READER),
            principal_id=principal or estate.SLOT.object_id,
            **{"principal_type": "ServicePrincipal", **more},
        )

    def judge(self):
        self.judge_writing()
        self.judge_reading()
        self.judge_refusals()
        self.judge_roles()
        self.judge_denials()

    def judge_writing(self):
        azure, estate, name = self.azure, self.estate, str(uuid.uuid4())
        assignments, scope = self.client.role_assignments, estate.CONTAINER
        made = azure.ok("a role is assigned", lambda: assignments.create(scope, name, self.body()))
        azure.verdict.equal("the answer is the assignment", made.name, name)
        again = azure.ok(
            "the same again is the same", lambda: assignments.create_by_id(made.id, self.body())
        )
        azure.verdict.equal("under the same id", again.id, made.id)
        azure.no(
            "the name of another is refused",
            "RoleAssignmentUpdateNotPermitted",
            lambda: assignments.create(scope, name, self.body(estate.OWNER)),
        )
        azure.no(
            "another name for the same is refused",
            "RoleAssignmentExists",
            lambda: assignments.create(scope, str(uuid.uuid4()), self.body()),
        )
        gone = azure.ok("it is deleted", lambda: assignments.delete(scope, name))
        azure.verdict.equal("the answer is what was there", gone.name, name)
        nothing = azure.ok("deleting nothing", lambda: assignments.delete_by_id(made.id))
        azure.verdict.equal("deleting nothing answers nothing", nothing, None)
        azure.no(
            "what is deleted is not found",
            "RoleAssignmentNotFound",
            lambda: assignments.get_by_id(made.id),
        )

    def judge_reading(self):
        azure, estate, assignments = self.azure, self.estate, self.client.role_assignments
        names = [str(uuid.uuid4()) for _ in range(3)]
        condition = (
            "@Resource[Microsoft.Storage/storageAccounts/blobServices/containers/blobs:path]"
            " StringStartsWith 'v1/'"
        )
        bodies = [
            self.body(condition=condition, condition_version="2.0", description="jitney lease 1"),
            self.body(principal=estate.OTHER.object_id),
            self.body(estate.OWNER),
        ]
        for name, body in zip(names, bodies):
            azure.ok("a role", lambda: assignments.create(estate.CONTAINER, name, body))
        seen = azure.ok("it is read", lambda: assignments.get(estate.CONTAINER, names[0]))
        azure.verdict.equal("with its condition", seen.condition, condition)
        azure.verdict.equal("and its description", seen.description, "jitney lease 1")
        slot = estate.SLOT.object_id
        for filter, count in [
            ("atScope()", 4),
            (f"principalId eq '{slot}'", 2),
            (f"atScope() and assignedTo('{estate.OTHER.object_id}')", 1),
            (None, 4),
        ]:
            listed = azure.ok(
                f"a list by {filter}",
                lambda: assignments.list_for_scope(estate.CONTAINER, filter=filter),
            )
            azure.verdict.equal(f"a list by {filter} is complete", len(listed or []), count)
        azure.control.ask("settings", {"page_size": 1})
        pages = azure.ok("pages", lambda: assignments.list_for_scope(estate.CONTAINER))
        azure.verdict.equal("pages lead to everything", len({one.name for one in pages}), 4)
        azure.control.ask("settings", {"page_size": 1000})
        azure.no(
            "a filter that is not understood is refused",
            "UnsupportedQuery",
            lambda: assignments.list_for_scope(estate.CONTAINER, filter="colour eq 'red'"),
        )
        for name in names:
            azure.ok("and taken back", lambda: assignments.delete(estate.CONTAINER, name))
        kept = azure.control.ask("keeps", {"principal": slot})["grants"]
        azure.verdict.equal("nothing is left", kept, [])

    def judge_refusals(self):
        azure, estate, assignments = self.azure, self.estate, self.client.role_assignments
        stranger = str(uuid.uuid4())

        def create(scope=estate.CONTAINER, **body):
            return lambda: assignments.create(scope, str(uuid.uuid4()), self.body(**body))

        for what, code, act in [
            ("an unknown principal", "PrincipalNotFound", create(principal=stranger, principal_type=None)),
            ("an unknown role", "RoleDefinitionDoesNotExist", create(role=stranger)),
            ("a condition of an old version", "InvalidCondition", create(condition="x", condition_version="1.0")),
            ("a condition that says nothing", "InvalidCondition", create(condition="true", condition_version="2.0")),
            ("an unknown subscription", "SubscriptionNotFound", create(f"/subscriptions/{stranger}")),
            ("an unknown group", "ResourceGroupNotFound", create(estate.at("/resourceGroups/none"))),
        ]:
            azure.no(f"{what} is refused", code, act)
        powerless = azure.client(estate.SLOT, estate.SUBSCRIPTION).role_assignments
        for what, act in [
            ("create", lambda: powerless.create(estate.CONTAINER, stranger, self.body())),
            ("list", lambda: powerless.list_for_scope(estate.CONTAINER)),
            ("delete", lambda: powerless.delete(estate.CONTAINER, stranger)),
        ]:
            azure.no(f"who has no role may not {what}", "AuthorizationFailed", act)
        powerless = azure.client(estate.SLOT, estate.SUBSCRIPTION)
        for what, act in [
            ("roles", lambda: powerless.role_definitions.list(estate.CONTAINER)),
            ("denials", lambda: powerless.deny_assignments.list_for_scope(estate.CONTAINER)),
        ]:
            azure.no(f"who has no role may not list {what}", "AuthorizationFailed", act)

    def judge_roles(self):
        azure, estate, roles = self.azure, self.estate, self.client.role_definitions
        everything = azure.ok("roles are listed", lambda: roles.list(estate.at("")))
        azure.verdict.holds("the usual roles are there", len(everything) > 8)
        [owner] = azure.ok("by name", lambda: roles.list(estate.at(""), filter="roleName eq 'Owner'"))
        azure.verdict.equal("an owner may everything", owner.permissions[0].actions, ["*"])
        one = azure.ok("a role is read", lambda: roles.get_by_id(estate.role(estate.READER)))
        azure.verdict.equal("by its id", one.role_name, "Storage Blob Data Reader")
        azure.no(
            "an unknown role is not found",
            "RoleDefinitionDoesNotExist",
            lambda: roles.get(estate.at(""), str(uuid.uuid4())),
        )

    def judge_denials(self):
        """Written by hand: their version of the API is younger than the clients."""
        azure, estate, denials = self.azure, self.estate, self.client.deny_assignments
        name = str(uuid.uuid4())
        path = f"{estate.CONTAINER}/providers/Microsoft.Authorization/denyAssignments/{name}"
        path += "?api-version=2026-09-01"
        denial = {
            "denyAssignmentName": "stop",
            "principals": [{"id": estate.SLOT.object_id, "type": "ServicePrincipal"}],
            "permissions": [{"actions": ["*/write", "*/delete", "*/action"]}],
        }
        body = {"properties": denial}
        for what, wrong in [
            ("a denial of everything", {"permissions": [{"actions": ["*"]}]}),
            ("a denial of reading", {"permissions": [{"actions": ["*/read"]}]}),
            ("a denial of data actions", {"permissions": [{"actions": ["*/write"], "dataActions": ["*"]}]}),
            ("a denial of a group", {"principals": [{"id": estate.SLOT.object_id, "type": "Group"}]}),
            ("a denial that spares nobody", {"excludePrincipals": []}),
        ]:
            seen, _ = azure.by_hand(estate.BROKER, "PUT", path, {"properties": {**denial, **wrong}})
            azure.verdict.equal(f"{what} is refused", seen, 400)
        for who, status in [(estate.SLOT, 403), (estate.BROKER, 201)]:
            seen, _ = azure.by_hand(who, "PUT", path, body)
            azure.verdict.equal("a denial is put", seen, status)
        of_slot = f"principalId eq '{estate.SLOT.object_id}'"
        [listed] = azure.ok(
            "denials are listed", lambda: denials.list_for_scope(estate.at(""), filter=of_slot)
        )
        azure.verdict.equal("it is among them", listed.name, name)
        read = azure.ok("it is read", lambda: denials.get(estate.CONTAINER, name))
        azure.verdict.equal("with whom it is about", read.principals[0].id, estate.SLOT.object_id)
        azure.verdict.equal("and what", read.permissions[0].actions, denial["permissions"][0]["actions"])
        for who, status in [(estate.SLOT, 403), (estate.BROKER, 200), (estate.BROKER, 204)]:
            seen, _ = azure.by_hand(who, "DELETE", path)
            azure.verdict.equal("a denial is deleted", seen, status)
        azure.no(
            "an unknown denial is not found",
            "DenyAssignmentNotFound",
            lambda: denials.get(estate.CONTAINER, name),
        )
