"""Blob storage under azure-storage-blob: what was granted can be used, and no more."""

import uuid

from azure.core.exceptions import HttpResponseError
from azure.mgmt.authorization import models
from azure.storage.blob import BlobServiceClient

from azure_client import STORAGE

PATH = "@Resource[Microsoft.Storage/storageAccounts/blobServices/containers/blobs:path]"
DENIED = "AuthorizationPermissionMismatch"


class Blob:
    def __init__(self, azure, estate):
        self.azure = azure
        self.estate = estate
        who = estate.SLOT
        credential = azure.credential(who.client_id, lambda: azure.issuer.assertion(who.subject))
        self.service = BlobServiceClient(
            f"{azure.url}/{estate.ACCOUNT}",
            credential=credential,
            audience=STORAGE,
            connection_verify=azure.authority,
            retry_total=0,
            proxies={},
        )
        self.container = self.service.get_container_client("releases")

    def refused(self, what, code, act):
        try:
            act()
        except HttpResponseError as error:
            self.azure.verdict.equal(what, error.error_code, code)
            return
        self.azure.verdict.holds(what, False, "it was allowed")

    def acts(self, path):
        blob = self.container.get_blob_client(path)
        return {
            "put": lambda: blob.upload_blob(b"two", overwrite=True),
            "read": lambda: blob.download_blob().readall(),
            "look at": blob.get_blob_properties,
            "list": lambda: list(self.container.list_blobs()),
            "list containers": lambda: list(self.service.list_containers()),
            "delete": blob.delete_blob,
        }

    def judge(self):
        azure, verdict = self.azure, self.azure.verdict
        for what, act in self.acts("v1/b.txt").items():
            self.refused(f"who has no role may not {what}", DENIED, act)
        name = self.assign(self.estate.STORAGE, self.estate.CONTRIBUTOR)
        acts = self.acts("v1/b.txt").items()
        seen = {what: azure.ok(f"a contributor may {what}", act) for what, act in acts}
        verdict.equal("what was put is read", seen["read"], b"two")
        verdict.equal("and is as long", seen["look at"].size, 3)
        verdict.equal("and is listed", [one.name for one in seen["list"]], ["v1/a.txt", "v1/b.txt"])
        containers = [one.name for one in seen["list containers"]]
        verdict.equal("containers too", containers, ["other", "releases"])
        self.refused("what was deleted is gone", "BlobNotFound", self.acts("v1/b.txt")["read"])
        self.take_back(self.estate.STORAGE, name)
        self.refused("a token that was kept is worth nothing", DENIED, self.acts("v1/a.txt")["read"])
        self.judge_condition()

    def judge_condition(self):
        condition = {"condition": f"{PATH} StringStartsWith 'v1/'", "condition_version": "2.0"}
        name = self.assign(self.estate.CONTAINER, self.estate.READER, **condition)
        self.azure.ok("inside a condition", self.acts("v1/a.txt")["read"])
        self.refused("outside of it", DENIED, self.acts("v2/a.txt")["read"])
        self.take_back(self.estate.CONTAINER, name)

    def roles(self):
        return self.azure.client(self.estate.BROKER, self.estate.SUBSCRIPTION).role_assignments

    def assign(self, scope, role, **more):
        body = models.RoleAssignmentCreateParameters(
            role_definition_id=self.estate.role(role),
            principal_id=self.estate.SLOT.object_id,
            principal_type="ServicePrincipal",
            **more,
        )
        name = str(uuid.uuid4())
        self.azure.ok("a role is given", lambda: self.roles().create(scope, name, body))
        return name

    def take_back(self, scope, name):
        self.azure.ok("a role is taken back", lambda: self.roles().delete(scope, name))
