"""Cloud Storage, by google-cloud-storage: what a lease can do, and what is left when it is over."""

import os

from google.api_core import exceptions
from google.api_core.iam import Policy
from google.cloud import storage
from googleapiclient.errors import HttpError

from gcp_client import Given
from gcp_estate import BROKER, BUCKET, NOBODY, OWNER, PROJECT, SLOT, member

PIECE = 256 * 1024


class Storage:
    def __init__(self, gcp):
        self.gcp = gcp
        self.verdict = gcp.verdict

    def client(self, who):
        return self.with_token(self.gcp.token(who))

    def with_token(self, token):
        options = {"api_endpoint": self.gcp.url}
        return storage.Client(project=PROJECT, credentials=Given(token), client_options=options)

    def judge(self):
        self.judge_objects()
        self.judge_listing()
        self.judge_resumable()
        self.judge_generations()
        self.judge_policy()
        self.judge_lease()
        self.judge_without_rights()
        self.judge_api()

    def judge_objects(self):
        bucket = self.client(BROKER).bucket(BUCKET)
        data = os.urandom(70_000)
        blob = bucket.blob("dir/ünï code.bin")
        blob.metadata = {"lease": "1"}
        blob.upload_from_string(data, content_type="application/x-thing", checksum="crc32c")
        self.verdict.equal(
            "an object comes back",
            bucket.blob(blob.name).download_as_bytes(checksum="crc32c"),
            data,
        )
        self.verdict.equal(
            "also by its other checksum", blob.download_as_bytes(checksum="md5"), data
        )
        self.verdict.equal("and in part", blob.download_as_bytes(start=5, end=9), data[5:10])
        shown = bucket.get_blob(blob.name)
        self.verdict.equal(
            "its metadata is kept",
            (shown.metadata, shown.content_type),
            ({"lease": "1"}, "application/x-thing"),
        )
        self.verdict.equal("its size is told", shown.size, len(data))
        blob.delete()
        self.verdict.equal("it is gone", bucket.get_blob(blob.name), None)
        self.verdict.refused(
            "a missing object", exceptions.NotFound, bucket.blob("nothing").download_as_bytes
        )
        self.verdict.equal("a bucket is there", bucket.exists(), True)
        self.verdict.equal(
            "another is not", self.client(BROKER).bucket("no-such-bucket").exists(), False
        )

    def judge_listing(self):
        client = self.client(BROKER)
        bucket = client.bucket(BUCKET)
        for number in range(5):
            bucket.blob(f"many/{number}/x").upload_from_string("x")
        names = [blob.name for blob in client.list_blobs(BUCKET, prefix="many/", page_size=2)]
        self.verdict.equal(
            "pages follow each other", names, [f"many/{number}/x" for number in range(5)]
        )
        listed = client.list_blobs(BUCKET, prefix="many/", delimiter="/")
        self.verdict.equal("nothing lies in the folder itself", [blob.name for blob in listed], [])
        self.verdict.equal(
            "folders are told", listed.prefixes, {f"many/{number}/" for number in range(5)}
        )
        names = [bucket.name for bucket in self.client(OWNER).list_buckets()]
        self.verdict.equal("buckets are listed to who may", names, [BUCKET])

    def judge_resumable(self):
        bucket = self.client(BROKER).bucket(BUCKET)
        data = os.urandom(2 * PIECE + 17)
        blob = bucket.blob("large.bin", chunk_size=PIECE)
        blob.upload_from_string(data)
        self.verdict.equal("an upload in pieces arrives", blob.download_as_bytes(), data)
        session = blob.create_resumable_upload_session(content_type="text/plain", size=4)
        answer = self.gcp.http.put(session, data=b"late", timeout=10)
        self.verdict.equal("its URI needs no token", answer.status_code, 200)
        self.verdict.equal("and it writes", bucket.blob(blob.name).download_as_bytes(), b"late")
        session = blob.create_resumable_upload_session()
        self.verdict.equal(
            "it can be cancelled", self.gcp.http.delete(session, timeout=10).status_code, 499
        )
        self.verdict.equal(
            "and is then gone", self.gcp.http.put(session, data=b"x", timeout=10).status_code, 410
        )
        answer = self.gcp.http.put(session[:-4] + "none", data=b"x", timeout=10)
        self.verdict.equal("a guessed URI is none", answer.status_code, 404)
        answer = self.gcp.http.delete(session[:-4] + "none", timeout=10)
        self.verdict.equal("and cannot be cancelled", answer.status_code, 404)

    def judge_generations(self):
        bucket = self.client(BROKER).bucket(BUCKET)
        blob = bucket.blob("generation")
        blob.upload_from_string("1", if_generation_match=0)
        self.verdict.refused(
            "a second first writer",
            exceptions.PreconditionFailed,
            lambda: bucket.blob("generation").upload_from_string("2", if_generation_match=0),
        )
        bucket.blob("generation").upload_from_string("2", if_generation_match=blob.generation)
        self.verdict.refused(
            "deleting what has changed",
            exceptions.PreconditionFailed,
            lambda: bucket.blob("generation").delete(if_generation_match=blob.generation),
        )

    def judge_policy(self):
        bucket = self.client(BROKER).bucket(BUCKET)
        before = bucket.get_iam_policy(requested_policy_version=3)
        stale = bucket.get_iam_policy(requested_policy_version=3)
        self.grant(bucket, "request.time < timestamp('2999-01-01T00:00:00Z')")
        stale.version = 3
        self.verdict.refused(
            "the loser of a race",
            exceptions.PreconditionFailed,
            lambda: bucket.set_iam_policy(stale, retry=None),
        )
        self.verdict.refused(
            "conditions at version 1",
            exceptions.BadRequest,
            lambda: bucket.get_iam_policy(requested_policy_version=1),
        )
        held = bucket.test_iam_permissions(["storage.buckets.setIamPolicy", "storage.objects.get"])
        self.verdict.equal("what is held is told", len(held), 2)
        held = self.client(NOBODY).bucket(BUCKET).test_iam_permissions(["storage.objects.get"])
        self.verdict.equal("nothing is held", held, [])
        before.etag = None
        bucket.set_iam_policy(before)
        conditions = [
            b
            for b in bucket.get_iam_policy(requested_policy_version=3).bindings
            if b.get("condition")
        ]
        self.verdict.equal("a blind write loses conditions", conditions, [])

    def grant(self, bucket, expression):
        policy = bucket.get_iam_policy(requested_policy_version=3)
        policy.version = 3
        condition = {"title": "jitney:lease-1", "expression": expression}
        policy.bindings.append(
            {"role": "roles/storage.objectUser", "members": {member(SLOT)}, "condition": condition}
        )
        bucket.set_iam_policy(policy)

    def judge_lease(self):
        """From the grant to the end, with a token that does not change."""
        broker = self.client(BROKER).bucket(BUCKET)
        accounts = self.gcp.api("iam", "v1", BROKER).projects().serviceAccounts()
        slot = f"projects/{PROJECT}/serviceAccounts/{SLOT}"
        objects = f"resource.name.startsWith('projects/_/buckets/{BUCKET}/objects/releases/')"
        listing = "api.getAttribute('storage.googleapis.com/objectListPrefix', '').startsWith('releases/')"
        until = self.gcp.control("status", method="GET")["clock"]["now"].split("T")[0]
        time = f"request.time < timestamp('{until}T23:59:59Z') + duration('86400s')"
        lease = self.with_token(self.gcp.token(SLOT))
        bucket = lease.bucket(BUCKET)
        read = bucket.blob("releases/old.txt").download_as_bytes
        self.verdict.refused("before the grant", exceptions.Forbidden, read)
        self.grant(broker, f"({objects} || {listing}) && {time}")
        self.verdict.equal("with the grant", read(), b"old")
        bucket.blob("releases/new.txt").upload_from_string("new")
        private = bucket.blob("private/key.txt").download_as_bytes
        self.verdict.refused("outside of the prefix", exceptions.Forbidden, private)
        names = [blob.name for blob in lease.list_blobs(BUCKET, prefix="releases/")]
        self.verdict.equal("the prefix can be listed", len(names), 2)
        self.verdict.refused(
            "all cannot", exceptions.Forbidden, lambda: list(lease.list_blobs(BUCKET))
        )
        session = bucket.blob("releases/open").create_resumable_upload_session(size=4)
        accounts.disable(name=slot, body={}).execute()
        self.verdict.refused("a disabled account", exceptions.Unauthorized, read)
        answer = self.gcp.http.put(session, data=b"late", timeout=10)
        self.verdict.equal("its open upload goes on", answer.status_code, 200)
        accounts.enable(name=slot, body={}).execute()
        self.verdict.equal("an enabled one again", read(), b"old")
        self.gcp.control("clock", {"advance_seconds": 3 * 86_400})
        fresh = self.with_token(self.gcp.token(SLOT)).bucket(BUCKET)
        self.verdict.refused(
            "after the condition's end",
            exceptions.Forbidden,
            fresh.blob("releases/old.txt").download_as_bytes,
        )
        self.gcp.control("clock", {"offset_seconds": 0})

    def judge_without_rights(self):
        client = self.client(NOBODY)
        bucket = client.bucket(BUCKET)
        blob = bucket.blob("releases/old.txt")
        for what, act in [
            ("reading", blob.download_as_bytes),
            ("looking", blob.reload),
            ("writing", lambda: blob.upload_from_string("x")),
            ("writing in pieces", lambda: blob.create_resumable_upload_session()),
            ("deleting", blob.delete),
            ("listing", lambda: list(client.list_blobs(BUCKET))),
            ("listing buckets", lambda: list(client.list_buckets())),
            ("the bucket", bucket.reload),
            ("its policy", bucket.get_iam_policy),
            ("a policy of one's own", lambda: bucket.set_iam_policy(Policy())),
        ]:
            self.verdict.refused(f"{what} without a right", exceptions.Forbidden, act)
        answer = self.gcp.call("GET", f"/storage/v1/b/{BUCKET}/o/releases%2Fold.txt")
        self.verdict.equal("reading without a token", answer.status_code, 401)
        answer = self.gcp.call(
            "GET",
            f"/storage/v1/b/{BUCKET}/iam/testPermissions",
            self.gcp.token(NOBODY),
            permissions="x",
        )
        self.verdict.equal("an odd question", answer.status_code, 400)

    def judge_api(self):
        """The same by the client that is built from the description."""
        objects = self.gcp.api("storage", "v1", BROKER).objects()
        listed = objects.list(bucket=BUCKET, prefix="releases/").execute()
        self.verdict.holds("the description's client lists", listed["items"], listed)
        shown = objects.get(bucket=BUCKET, object="releases/old.txt").execute()
        self.verdict.equal("and shows", shown["name"], "releases/old.txt")
        self.verdict.equal(
            "and reads",
            objects.get_media(bucket=BUCKET, object="releases/old.txt").execute(),
            b"old",
        )
        nobody = self.gcp.api("storage", "v1", NOBODY).objects()
        error = self.verdict.refused(
            "and is refused",
            HttpError,
            nobody.get(bucket=BUCKET, object="releases/old.txt").execute,
        )
        self.verdict.equal("with 403", error and error.status_code, 403)
