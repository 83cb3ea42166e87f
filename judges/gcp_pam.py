"""Privileged Access Manager, by its generated client."""

from google.api_core import exceptions
from google.cloud import privilegedaccessmanager_v1 as pam
from google.longrunning import operations_pb2
from google.protobuf import duration_pb2

from gcp_estate import APPROVER, BROKER, NOBODY, PROJECT, SECOND, SLOT

PARENT = f"projects/{PROJECT}/locations/global"
READERS = f"{PARENT}/entitlements/readers"
APPROVED = f"{PARENT}/entitlements/approved"


class Grants:
    def __init__(self, gcp):
        self.gcp = gcp
        self.verdict = gcp.verdict

    def client(self, who):
        return pam.PrivilegedAccessManagerClient(
            transport="rest", client_options=self.gcp.options, credentials=self.gcp.credentials(who)
        )

    def judge(self):
        self.judge_entitlements()
        self.judge_grant()
        self.judge_approval()
        self.judge_without_rights()

    def ask(self, who, entitlement, **more):
        grant = pam.Grant(requested_duration=duration_pb2.Duration(seconds=1800))
        request = pam.CreateGrantRequest(parent=entitlement, grant=grant, **more)
        return self.client(who).create_grant(request=request, retry=None)

    def judge_entitlements(self):
        broker = self.client(BROKER)
        names = [known.name for known in broker.list_entitlements(parent=PARENT, retry=None)]
        self.verdict.equal("entitlements are listed", sorted(names), sorted([READERS, APPROVED]))
        shown = broker.get_entitlement(name=READERS, retry=None)
        self.verdict.equal(
            "their longest grant is told", shown.max_request_duration.total_seconds(), 3600
        )
        self.verdict.equal("they are available", shown.state, pam.Entitlement.State.AVAILABLE)
        kind = pam.SearchEntitlementsRequest.CallerAccessType.GRANT_APPROVER
        request = pam.SearchEntitlementsRequest(parent=PARENT, caller_access_type=kind)
        names = [
            known.name
            for known in self.client(APPROVER).search_entitlements(request=request, retry=None)
        ]
        self.verdict.equal("an approver finds what awaits them", names, [APPROVED])
        status = broker.check_onboarding_status(
            request=pam.CheckOnboardingStatusRequest(parent=PARENT), retry=None
        )
        self.verdict.holds(
            "nothing is missing", status.service_account and not status.findings, status
        )

    def reads(self):
        path = f"{self.gcp.url}/storage/v1/b/artifacts-prod/o/releases%2Fold.txt"
        headers = {"Authorization": f"Bearer {self.gcp.token(SLOT)}"}
        return self.gcp.http.get(path, headers=headers, timeout=10).status_code

    def judge_grant(self):
        broker = self.client(BROKER)
        State = pam.Grant.State
        self.gcp.control("options", {"lags": {"grant_seconds": 60, "revoke_seconds": 120}})
        request_id = "7d9a1a5e-3b7f-4f0c-9a55-0d8a53f1c001"
        grant = self.ask(SLOT, READERS, request_id=request_id)
        self.verdict.equal(
            "a grant takes its time", (grant.state, self.reads()), (State.ACTIVATING, 403)
        )
        self.verdict.equal(
            "a repetition is the same grant",
            self.ask(SLOT, READERS, request_id=request_id).name,
            grant.name,
        )
        self.verdict.refused("a second one", exceptions.BadRequest, lambda: self.ask(SLOT, READERS))
        self.gcp.control("clock", {"advance_seconds": 61})
        shown = broker.get_grant(name=grant.name, retry=None)
        self.verdict.equal("then it counts", (shown.state, self.reads()), (State.ACTIVE, 200))
        names = [known.name for known in broker.list_grants(parent=READERS, retry=None)]
        self.verdict.equal("it is listed", names, [grant.name])
        operation = broker.revoke_grant(
            request=pam.RevokeGrantRequest(name=grant.name, reason="over"), retry=None
        )
        self.verdict.equal("its end takes longer", (operation.done(), self.reads()), (False, 200))
        self.gcp.control("clock", {"advance_seconds": 121})
        ended = operation.result(timeout=20)
        self.verdict.equal("then it is over", (ended.state, self.reads()), (State.REVOKED, 403))
        read = operations_pb2.GetOperationRequest(name=operation.operation.name)
        self.verdict.equal("the operation is kept", broker.get_operation(read).done, True)
        self.gcp.control("options", {"lags": {}})

    def judge_approval(self):
        State = pam.Grant.State
        approver = self.client(APPROVER)
        grant = self.ask(SLOT, APPROVED)
        self.verdict.equal("a grant awaits approval", grant.state, State.APPROVAL_AWAITED)
        kind = pam.SearchGrantsRequest.CallerRelationshipType.CAN_APPROVE
        request = pam.SearchGrantsRequest(parent=APPROVED, caller_relationship=kind)
        found = [known.name for known in approver.search_grants(request=request, retry=None)]
        self.verdict.equal("its approver finds it", found, [grant.name])
        approve = pam.ApproveGrantRequest(name=grant.name, reason="yes")
        self.verdict.refused(
            "approving one's own",
            exceptions.Forbidden,
            lambda: self.client(SLOT).approve_grant(request=approve, retry=None),
        )
        approved = approver.approve_grant(request=approve, retry=None)
        self.verdict.holds(
            "it is approved", approved.state in (State.ACTIVATING, State.ACTIVE), approved.state
        )
        other = self.ask(SECOND, APPROVED)
        deny = pam.DenyGrantRequest(name=other.name, reason="no")
        self.verdict.equal(
            "another is denied", approver.deny_grant(request=deny, retry=None).state, State.DENIED
        )
        pages = pam.ListGrantsRequest(parent=APPROVED, page_size=1)
        listed = self.client(BROKER).list_grants(request=pages, retry=None)
        names = {known.name for known in listed}
        self.verdict.equal("a list goes on page by page", names, {grant.name, other.name})
        self.verdict.refused(
            "denying twice",
            exceptions.BadRequest,
            lambda: approver.deny_grant(request=deny, retry=None),
        )

    def judge_without_rights(self):
        nobody = self.client(NOBODY)
        [grant] = self.client(BROKER).list_grants(parent=READERS, retry=None)
        by_requester = pam.SearchEntitlementsRequest(parent=PARENT)
        for what, act in [
            ("asking for a grant", lambda: self.ask(NOBODY, READERS)),
            (
                "listing entitlements",
                lambda: list(nobody.list_entitlements(parent=PARENT, retry=None)),
            ),
            ("an entitlement", lambda: nobody.get_entitlement(name=READERS, retry=None)),
            ("listing grants", lambda: list(nobody.list_grants(parent=READERS, retry=None))),
            ("a grant", lambda: nobody.get_grant(name=grant.name, retry=None)),
            (
                "approving",
                lambda: nobody.approve_grant(
                    request=pam.ApproveGrantRequest(name=grant.name), retry=None
                ),
            ),
            (
                "denying",
                lambda: nobody.deny_grant(
                    request=pam.DenyGrantRequest(name=grant.name), retry=None
                ),
            ),
            (
                "revoking",
                lambda: nobody.revoke_grant(
                    request=pam.RevokeGrantRequest(name=grant.name), retry=None
                ),
            ),
            (
                "the onboarding status",
                lambda: nobody.check_onboarding_status(
                    request=pam.CheckOnboardingStatusRequest(parent=PARENT), retry=None
                ),
            ),
            (
                "an operation",
                lambda: nobody.get_operation(
                    operations_pb2.GetOperationRequest(name=f"{PARENT}/operations/none")
                ),
            ),
        ]:
            self.verdict.refused(f"{what} without a right", exceptions.Forbidden, act)
        self.verdict.refused(
            "a search for nothing",
            exceptions.BadRequest,
            lambda: list(nobody.search_entitlements(request=by_requester, retry=None)),
        )
        request = pam.SearchGrantsRequest(parent=READERS)
        self.verdict.refused(
            "a search for no grants",
            exceptions.BadRequest,
            lambda: list(nobody.search_grants(request=request, retry=None)),
        )
