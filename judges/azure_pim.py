"""PIM under azure-mgmt-authorization: every call that a broker makes, and every word it must know."""

import uuid
from datetime import datetime, timedelta, timezone

from azure.mgmt.authorization.v2020_10_01 import models


def schedule(duration="PT15M", start=None, kind="AfterDuration"):
    expiration = models.RoleAssignmentScheduleRequestPropertiesScheduleInfoExpiration(
        type=kind, duration=duration
    )
    return models.RoleAssignmentScheduleRequestPropertiesScheduleInfo(
        start_date_time=start, expiration=expiration
    )


class Pim:
    def __init__(self, azure, estate):
        self.azure = azure
        self.estate = estate

    @property
    def client(self):
        return self.azure.client(self.estate.BROKER, self.estate.SUBSCRIPTION)

    def request(self, kind="AdminAssign", **more):
        estate = self.estate
        asked = {
            "principal_id": estate.SLOT.object_id,
            "role_definition_id": estate.role(estate.READER),
            "request_type": kind,
        }
        if kind == "AdminAssign":
            asked |= {"justification": "a lease", "schedule_info": schedule()}
        return models.RoleAssignmentScheduleRequest(**{**asked, **more})

    def create(self, kind="AdminAssign", name=None, scope=None, **more):
        requests = self.client.role_assignment_schedule_requests
        name = name or str(uuid.uuid4())
        return requests.create(scope or self.estate.CONTAINER, name, self.request(kind, **more))

    def instances(self, who=None):
        who = who or self.estate.SLOT
        return self.azure.ok(
            "instances are listed",
            lambda: self.client.role_assignment_schedule_instances.list_for_scope(
                self.estate.CONTAINER, filter=f"assignedTo('{who.object_id}')"
            ),
        )

    def judge(self):
        self.judge_policies()
        self.judge_rules()
        self.judge_timeline()
        self.judge_reading()
        self.judge_waiting()
        self.judge_modes()

    def judge_policies(self):
        azure, estate = self.azure, self.estate
        assignments = self.client.role_management_policy_assignments
        listed = azure.ok("policies are found", lambda: assignments.list_for_scope(estate.CONTAINER))
        wanted = estate.role(estate.READER)
        [assignment] = [one for one in listed if one.role_definition_id == wanted]
        rules = {rule.id: rule for rule in assignment.effective_rules}
        azure.verdict.equal(
            "it demands a reason", rules["Enablement_Admin_Assignment"].enabled_rules, ["Justification"]
        )
        azure.ok("its assignment is read", lambda: assignments.get(estate.CONTAINER, assignment.name))
        policies, name = self.client.role_management_policies, assignment.policy_id.rsplit("/")[-1]
        azure.ok("it is read", lambda: policies.get(estate.CONTAINER, name))
        azure.ok("policies are listed", lambda: policies.list_for_scope(estate.CONTAINER))
        for enabled in [["Justification", "Ticketing"], ["Justification"]]:
            rule = models.RoleManagementPolicyEnablementRule(
                id="Enablement_Admin_Assignment", enabled_rules=enabled
            )
            policy = models.RoleManagementPolicy(rules=[rule])
            changed = azure.ok(
                "it is changed", lambda: policies.update(estate.CONTAINER, name, policy)
            )
            rules = {rule.id: rule for rule in changed.effective_rules}
            seen = rules["Enablement_Admin_Assignment"].enabled_rules
            azure.verdict.equal("and so it is", seen, enabled)
        for what, act in [
            ("read", lambda: policies.get(estate.CONTAINER, str(uuid.uuid4()))),
            ("changed", lambda: policies.update(estate.CONTAINER, str(uuid.uuid4()), policy)),
            ("found", lambda: assignments.get(estate.CONTAINER, f"{uuid.uuid4()}_{uuid.uuid4()}")),
        ]:
            azure.no(f"an unknown policy is not {what}", "RoleManagementPolicyNotFound", act)

    def judge_rules(self):
        azure, estate = self.azure, self.estate
        failed = "RoleAssignmentRequestPolicyValidationFailed"
        stranger = str(uuid.uuid4())
        for what, code, more in [
            ("two minutes", failed, {"schedule_info": schedule("PT2M")}),
            ("a year", failed, {"schedule_info": schedule("P365D")}),
            ("no end", failed, {"schedule_info": schedule(None, kind="NoExpiration")}),
            ("no reason", failed, {"justification": None}),
            ("activating", failed, {"request_type": "SelfActivate"}),
            ("a length nobody knows", "InvalidScheduleInfo", {"schedule_info": schedule("P1M")}),
            ("an unknown subject", "SubjectNotFound", {"principal_id": stranger}),
            ("an unknown role", "RoleNotFound", {"role_definition_id": estate.role(stranger)}),
            ("no role", "InvalidRequestContent", {"role_definition_id": None}),
            ("an unknown condition", "InvalidCondition", {"condition": "x", "condition_version": "2.0"}),
        ]:
            azure.no(f"{what} is refused", code, lambda: self.create(**more))
        azure.no(
            "a second factor keeps applications out",
            failed,
            lambda: self.create(role_definition_id=estate.role(estate.OWNER)),
        )
        powerless = azure.client(estate.OTHER, estate.SUBSCRIPTION)
        requests = powerless.role_assignment_schedule_requests
        azure.no(
            "who has no role may not ask",
            "AuthorizationFailed",
            lambda: requests.create(estate.CONTAINER, stranger, self.request()),
        )
        azure.no(
            "nor look", "AuthorizationFailed", lambda: requests.list_for_scope(estate.CONTAINER)
        )
        for kind in ["schedules", "schedule_instances"]:
            operations = getattr(powerless, f"role_assignment_{kind}")
            azure.no(
                f"nor list {kind}",
                "AuthorizationFailed",
                lambda: operations.list_for_scope(estate.CONTAINER),
            )
        for kind in ["policies", "policy_assignments"]:
            operations = getattr(powerless, f"role_management_{kind}")
            azure.no(
                f"nor list {kind}",
                "AuthorizationFailed",
                lambda: operations.list_for_scope(estate.CONTAINER),
            )

    def judge_timeline(self):
        azure, name = self.azure, str(uuid.uuid4())
        given = azure.ok("a role is given", lambda: self.create(name=name))
        azure.verdict.equal("at once", given.status, "Provisioned")
        azure.no("a name twice", "RoleAssignmentRequestExists", lambda: self.create(name=name))
        azure.no("a role twice", "RoleAssignmentExists", self.create)
        for passed, code in [
            (0, "RoleAssignmentDoesNotExist"),
            (70, "ActiveDurationTooShort"),
            (220, "ActiveDurationTooShort"),
        ]:
            azure.pass_time(passed)
            azure.no("it cannot be taken back yet", code, lambda: self.create("AdminRemove"))
            azure.verdict.equal("although it is listed", len(self.instances()), 1)
        azure.pass_time(15)
        taken = azure.ok("then it is taken back", lambda: self.create("AdminRemove"))
        azure.verdict.equal("for good", taken.status, "Revoked")
        azure.verdict.equal("and listed no more", self.instances(), [])
        azure.no("twice", "RoleAssignmentDoesNotExist", lambda: self.create("AdminRemove"))
        azure.no("it still exists, they say", "RoleAssignmentExists", self.create)
        azure.pass_time(121)
        azure.ok("and then no more", self.create)
        azure.pass_time(901)
        azure.verdict.equal("the platform ends it by itself", self.instances(), [])

    def judge_reading(self):
        azure, estate, name = self.azure, self.estate, str(uuid.uuid4())
        requests = self.client.role_assignment_schedule_requests
        condition = (
            "@Resource[Microsoft.Storage/storageAccounts/blobServices/containers:name]"
            " StringEquals 'releases'"
        )
        ticket = models.RoleAssignmentScheduleRequestPropertiesTicketInfo(
            ticket_number="1", ticket_system="jitney"
        )
        more = {"ticket_info": ticket, "condition": condition, "condition_version": "2.0"}

        def validate(**more):
            return requests.validate(estate.CONTAINER, name, self.request(**more))

        azure.ok("a request is tried", lambda: validate(**more))
        azure.verdict.equal("and nothing comes of it", self.instances(), [])
        azure.no(
            "one that would fail does",
            "RoleAssignmentRequestPolicyValidationFailed",
            lambda: validate(justification=None),
        )
        made = azure.ok("it is made", lambda: self.create(name=name, **more))
        read = azure.ok("it is read", lambda: requests.get(estate.CONTAINER, name))
        azure.verdict.equal("as it was made", read.as_dict(), made.as_dict())
        azure.verdict.equal("with its ticket", read.ticket_info.ticket_number, "1")
        azure.verdict.equal("with its condition", read.condition, condition)
        azure.verdict.equal("and its length", read.schedule_info.expiration.duration, "PT15M")
        listed = azure.ok("requests are listed", lambda: requests.list_for_scope(estate.CONTAINER))
        azure.verdict.holds("it is among them", name in {one.name for one in listed})
        schedules = self.client.role_assignment_schedules
        filter = f"principalId eq '{estate.SLOT.object_id}'"
        [planned] = azure.ok(
            "schedules are listed", lambda: schedules.list_for_scope(estate.CONTAINER, filter=filter)
        )
        azure.verdict.equal("by the request's word", read.target_role_assignment_schedule_id, planned.name)
        azure.ok("a schedule is read", lambda: schedules.get(estate.CONTAINER, planned.name))
        [instance] = self.instances()
        origin = azure.ok(
            "what is behind an instance is read",
            lambda: self.client.role_assignments.get_by_id(instance.origin_role_assignment_id),
        )
        azure.verdict.equal("under the same name", origin.name, instance.name)
        operations = self.client.role_assignment_schedule_instances
        azure.ok("an instance is read", lambda: operations.get(estate.CONTAINER, instance.name))
        unknown = str(uuid.uuid4())
        for what, code, act in [
            ("request", "RoleAssignmentRequestNotFound", lambda: requests.get(estate.CONTAINER, unknown)),
            ("schedule", "RoleAssignmentScheduleNotFound", lambda: schedules.get(estate.CONTAINER, unknown)),
            ("instance", "RoleAssignmentScheduleNotFound", lambda: operations.get(estate.CONTAINER, unknown)),
        ]:
            azure.no(f"an unknown {what} is not found", code, act)
        azure.pass_time(901)

    def judge_waiting(self):
        """The sandbox's clock is ahead by now: what lies ahead is told by its own."""
        azure, name = self.azure, str(uuid.uuid4())
        now = datetime.fromisoformat(azure.control.ask("status")["clock"]["now"].replace("Z", "+00:00"))
        start = now.astimezone(timezone.utc) + timedelta(minutes=3)
        ahead = azure.ok(
            "a start ahead", lambda: self.create(name=name, schedule_info=schedule(start=start))
        )
        azure.verdict.equal("is granted, not provisioned", ahead.status, "Granted")
        azure.no("one at a time", "PendingRoleAssignmentRequest", self.create)
        requests = self.client.role_assignment_schedule_requests

        def cancel():
            return requests.cancel(self.estate.CONTAINER, name)

        azure.ok("it is cancelled", cancel)
        azure.no("once", "RoleAssignmentRequestNotPending", cancel)
        azure.pass_time(300)
        azure.verdict.equal("and never begins", self.instances(), [])

    def judge_modes(self):
        azure = self.azure
        azure.control.ask("settings", {"pim_provisioning_seconds": 30})
        slow = azure.ok("a slow request", self.create)
        azure.verdict.equal("is pending", slow.status, "PendingProvisioning")
        azure.verdict.equal("and gives nothing yet", self.instances(), [])
        azure.pass_time(31)
        azure.verdict.equal("until it does", len(self.instances()), 1)
        azure.control.ask("settings", {"pim_provisioning_seconds": 0, "licence_lapsed": True})
        azure.no("without a licence PIM refuses", "AadPremiumLicenseRequired", self.create)
        azure.pass_time(2000)
        azure.control.ask("settings", {"licence_lapsed": False})
        azure.verdict.equal("and nothing has ended", len(self.instances()), 1)
        azure.ok("it can be taken back", lambda: self.create("AdminRemove"))
        azure.pass_time(200)
