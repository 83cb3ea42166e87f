"""What is asked of the sandbox's S3: every operation it offers, and what it must refuse."""

import hashlib
import io

from aws_iam import text

BUCKET = "judged-bucket"
HERE = {"LocationConstraint": "eu-central-1"}
PART = 5 * 1024 * 1024


class S3:
    """The operations, by what they are about. `other` is the root of another account."""

    def __init__(self, aws, account, key, other):
        self.aws, self.account, self.key, self.other = aws, account, key, other

    def ok(self, method, **parameters):
        return self.aws.ok("s3", method, self.key, **{"Bucket": BUCKET, **parameters})

    def no(self, code, method, key=None, **parameters):
        self.aws.no(code, "s3", method, key or self.key, **{"Bucket": BUCKET, **parameters})

    def equal(self, what, seen, expected):
        self.aws.verdict.equal(what, seen, expected)

    def judge(self):
        self.buckets()
        self.objects()
        self.conditions()
        self.checksums()
        self.listing()
        self.copies()
        self.uploads()
        self.policies()
        self.strangers()
        self.clean_up()

    def buckets(self):
        self.ok("create_bucket", CreateBucketConfiguration=HERE)
        self.no("BucketAlreadyOwnedByYou", "create_bucket", CreateBucketConfiguration=HERE)
        self.no(
            "BucketAlreadyExists", "create_bucket", key=self.other, CreateBucketConfiguration=HERE
        )
        for name in ["ab", "Upper", "dot..dot", "-x-", "x" * 64]:
            self.no(
                "InvalidBucketName", "create_bucket", Bucket=name, CreateBucketConfiguration=HERE
            )
        self.ok("head_bucket")
        self.no("404", "head_bucket", Bucket="nobodys-bucket")
        self.equal(
            "a bucket is where it was made",
            self.ok("get_bucket_location")["LocationConstraint"],
            "eu-central-1",
        )
        self.no("NoSuchBucket", "get_bucket_location", Bucket="nobodys-bucket")
        listed = self.aws.ok("s3", "list_buckets", self.key)["Buckets"]
        self.equal("buckets are listed", [bucket["Name"] for bucket in listed], [BUCKET])
        listed = self.aws.ok("s3", "list_buckets", self.other)["Buckets"]
        self.equal("and only one's own", listed, [])

    def objects(self):
        put = self.ok(
            "put_object",
            Key="a b/ü+%&'.txt",
            Body=b"hello",
            ContentType="text/plain",
            Metadata={"who": "me"},
        )
        self.equal(
            "the entity tag is the MD5", put["ETag"], f'"{hashlib.md5(b"hello").hexdigest()}"'
        )
        read = self.ok("get_object", Key="a b/ü+%&'.txt")
        self.equal("an object comes back", read["Body"].read(), b"hello")
        self.equal(
            "with what was said of it",
            (read["ContentType"], read["Metadata"]),
            ("text/plain", {"who": "me"}),
        )
        head = self.ok("head_object", Key="a b/ü+%&'.txt")
        self.equal(
            "a head is the same without the body",
            (head["ContentLength"], head["ETag"]),
            (5, put["ETag"]),
        )
        part = self.ok("get_object", Key="a b/ü+%&'.txt", Range="bytes=1-3")
        self.equal(
            "a range is a part",
            (part["Body"].read(), part["ContentRange"]),
            (b"ell", "bytes 1-3/5"),
        )
        self.no("InvalidRange", "get_object", Key="a b/ü+%&'.txt", Range="bytes=9-")
        self.no("NoSuchKey", "get_object", Key="none")
        self.no("404", "head_object", Key="none")
        self.no("NoSuchBucket", "put_object", Bucket="nobodys-bucket", Key="a", Body=b"")
        self.no("KeyTooLongError", "put_object", Key="k" * 1025, Body=b"")
        self.ok("put_object", Key="empty", Body=b"")
        self.equal(
            "an empty object is empty", self.ok("get_object", Key="empty")["Body"].read(), b""
        )
        self.ok("put_object", Key="streamed", Body=io.BytesIO(b"s" * 200_000))
        self.equal(
            "a streamed object is whole",
            len(self.ok("get_object", Key="streamed")["Body"].read()),
            200_000,
        )
        self.no("BucketNotEmpty", "delete_bucket")

    def conditions(self):
        tag = self.ok("put_object", Key="once", Body=b"1", IfNoneMatch="*")["ETag"]
        self.no("PreconditionFailed", "put_object", Key="once", Body=b"2", IfNoneMatch="*")
        self.ok("put_object", Key="once", Body=b"3", IfMatch=tag)
        self.no("PreconditionFailed", "put_object", Key="once", Body=b"4", IfMatch=tag)
        self.no("PreconditionFailed", "get_object", Key="once", IfMatch=tag)
        self.no("304", "get_object", Key="once", IfNoneMatch=f'"{hashlib.md5(b"3").hexdigest()}"')

    def checksums(self):
        for algorithm in ["CRC32", "SHA1", "SHA256"]:
            put = self.ok("put_object", Key="sum", Body=b"123456789", ChecksumAlgorithm=algorithm)
            self.aws.verdict.holds(f"{algorithm} comes back", put.get(f"Checksum{algorithm}"), put)
        self.equal(
            "CRC-32 is the catalogued one",
            self.ok("put_object", Key="sum", Body=b"123456789", ChecksumAlgorithm="CRC32")[
                "ChecksumCRC32"
            ],
            "y/Q5Jg==",
        )
        self.no("BadDigest", "put_object", Key="sum", Body=b"x", ChecksumSHA256="A" * 43 + "=")
        self.no("BadDigest", "put_object", Key="sum", Body=b"x", ContentMD5="A" * 22 + "==")

    def listing(self):
        for name in ["l/a", "l/b/1", "l/b/2", "l/c", "l-evil"]:
            self.ok("put_object", Key=name, Body=b"x")
        seen = self.ok("list_objects_v2", Prefix="l/", Delimiter="/")
        self.equal(
            "keys under a prefix", [item["Key"] for item in seen["Contents"]], ["l/a", "l/c"]
        )
        self.equal("rolled up at the delimiter", seen["CommonPrefixes"], [{"Prefix": "l/b/"}])
        pages = self.aws.client("s3", self.key).get_paginator("list_objects_v2")
        pages = pages.paginate(Bucket=BUCKET, Prefix="l", PaginationConfig={"PageSize": 2})
        pages = [[item["Key"] for item in page["Contents"]] for page in pages]
        self.equal("in pages", pages, [["l-evil", "l/a"], ["l/b/1", "l/b/2"], ["l/c"]])
        seen = self.ok("list_objects_v2", Prefix="l/", StartAfter="l/b/1")
        self.equal("after a key", [item["Key"] for item in seen["Contents"]], ["l/b/2", "l/c"])
        self.no("NoSuchBucket", "list_objects_v2", Bucket="nobodys-bucket")
        gone = self.ok("delete_objects", Delete={"Objects": [{"Key": "l/a"}, {"Key": "never"}]})
        self.equal(
            "what is not there is deleted too",
            [item["Key"] for item in gone["Deleted"]],
            ["l/a", "never"],
        )
        self.no("MalformedXML", "delete_objects", Delete={"Objects": []})

    def copies(self):
        self.ok("copy_object", Key="copy", CopySource=f"{BUCKET}/once")
        self.equal("a copy is the same", self.ok("get_object", Key="copy")["Body"].read(), b"3")
        self.no("NoSuchKey", "copy_object", Key="copy", CopySource=f"{BUCKET}/none")

    def uploads(self):
        upload = self.ok("create_multipart_upload", Key="large")["UploadId"]
        this = {"Key": "large", "UploadId": upload}
        first = self.ok("upload_part", **this, PartNumber=1, Body=b"a" * PART)["ETag"]
        last = self.ok("upload_part", **this, PartNumber=2, Body=b"b")["ETag"]
        listed = self.ok("list_parts", **this)["Parts"]
        self.equal(
            "parts are listed",
            [(part["PartNumber"], part["Size"]) for part in listed],
            [(1, PART), (2, 1)],
        )
        parts = [{"PartNumber": 1, "ETag": first}, {"PartNumber": 2, "ETag": last}]
        self.no(
            "InvalidPartOrder",
            "complete_multipart_upload",
            **this,
            MultipartUpload={"Parts": parts[::-1]},
        )
        wrong = [{"PartNumber": 1, "ETag": last}]
        self.no(
            "InvalidPart", "complete_multipart_upload", **this, MultipartUpload={"Parts": wrong}
        )
        self.no("InvalidArgument", "upload_part", **this, PartNumber=10_001, Body=b"x")
        self.ok("complete_multipart_upload", **this, MultipartUpload={"Parts": parts})
        self.equal(
            "the parts are one", self.ok("head_object", Key="large")["ContentLength"], PART + 1
        )
        self.no("NoSuchUpload", "list_parts", **this)
        self.no("NoSuchUpload", "upload_part", **this, PartNumber=1, Body=b"x")
        self.no("NoSuchUpload", "abort_multipart_upload", **this)
        self.no("NoSuchBucket", "create_multipart_upload", Bucket="nobodys-bucket", Key="x")
        upload = self.ok("create_multipart_upload", Key="given-up")["UploadId"]
        self.ok("abort_multipart_upload", Key="given-up", UploadId=upload)
        # What the usual client does with a large file.
        self.aws.client("s3", self.key).upload_fileobj(
            io.BytesIO(b"z" * (9 * 1024 * 1024)), BUCKET, "managed"
        )
        self.equal(
            "a managed upload is whole",
            self.ok("head_object", Key="managed")["ContentLength"],
            9 * 1024 * 1024,
        )

    def policies(self):
        statement = {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{self.other_account()}:root"},
            "Action": "s3:GetObject",
            "Resource": f"arn:aws:s3:::{BUCKET}/*",
        }
        document = {"Version": "2012-10-17", "Statement": [statement]}
        self.no("NoSuchBucketPolicy", "get_bucket_policy")
        self.no("AccessDenied", "get_object", key=self.other, Key="once")
        self.ok("put_bucket_policy", Policy=text(document))
        self.equal(
            "a bucket policy comes back", self.ok("get_bucket_policy")["Policy"], text(document)
        )
        self.aws.ok("s3", "get_object", self.other, Bucket=BUCKET, Key="once")
        elsewhere = {**document, "Statement": [{**statement, "Resource": "arn:aws:s3:::another/*"}]}
        for wrong in ["{", text(elsewhere), text({**document, "Statement": []})]:
            self.no("MalformedPolicy", "put_bucket_policy", Policy=wrong)
        self.no("MethodNotAllowed", "get_bucket_policy", key=self.other)
        self.no("MethodNotAllowed", "put_bucket_policy", key=self.other, Policy=text(document))
        self.no("MethodNotAllowed", "delete_bucket_policy", key=self.other)
        self.ok("delete_bucket_policy")
        self.no("AccessDenied", "get_object", key=self.other, Key="once")

    def other_account(self):
        return self.aws.ok("sts", "get_caller_identity", self.other)["Account"]

    def strangers(self):
        """Another account's root is nobody here."""
        for method, parameters in [
            ("list_objects_v2", {}),
            ("delete_bucket", {}),
            ("delete_object", {"Key": "once"}),
            ("copy_object", {"Key": "x", "CopySource": f"{BUCKET}/once"}),
            ("create_multipart_upload", {"Key": "x"}),
            ("put_object", {"Key": "x", "Body": b""}),
        ]:
            self.no("AccessDenied", method, key=self.other, **parameters)
        self.no("403", "head_bucket", key=self.other)
        self.no("403", "head_object", key=self.other, Key="once")
        refused = self.aws.ok(
            "s3", "delete_objects", self.other, Bucket=BUCKET, Delete={"Objects": [{"Key": "once"}]}
        )
        self.equal(
            "each key is refused by itself",
            [item["Code"] for item in refused["Errors"]],
            ["AccessDenied"],
        )
        self.aws.no("InvalidAccessKeyId", "s3", "list_buckets", ("AKIAAAAAAAAAAAAAAAAA", "x" * 40))
        self.aws.no("SignatureDoesNotMatch", "s3", "list_buckets", (self.key[0], "x" * 40))

    def clean_up(self):
        keys = [item["Key"] for item in self.ok("list_objects_v2")["Contents"]]
        self.ok(
            "delete_objects", Delete={"Objects": [{"Key": key} for key in keys[1:]], "Quiet": True}
        )
        self.ok("delete_object", Key=keys[0])
        self.ok("delete_bucket")
        self.no("NoSuchBucket", "delete_bucket")
