"""Reads raw answers of an AWS against botocore's service models.

Clients skip what they do not know, so a wrong name in an answer would go unnoticed by boto3 itself.
Here every element must be a member of the operation's output, every required member must be there,
values must have the model's type, length, pattern and enumeration, and error codes must be modelled
for the operation or stand in a list here with the reason.
"""

import re
import xml.etree.ElementTree as ElementTree
from datetime import datetime

# Codes that the services give and their models leave out, with the status and where they stand.
COMMON = {
    "AccessDenied": (403, "every operation may answer it; no model lists it"),
    "SignatureDoesNotMatch": (403, "authentication"),
    "InternalError": (500, "common errors"),
    "ServiceUnavailable": (503, "common errors"),
}
UNMODELLED_QUERY = {
    **COMMON,
    "InvalidClientTokenId": (403, "authentication"),
    "IncompleteSignature": (400, "authentication"),
    "MissingAuthenticationToken": (403, "authentication"),
    "ExpiredToken": (403, "STS models ExpiredTokenException for the token it is given to read"),
    "ValidationError": (400, "constraints of the model, checked by the service"),
    "MalformedInput": (400, "a parameter of another type"),
    "InvalidAction": (400, "no such operation"),
    "Throttling": (400, "common errors"),
}
REFERENCE = "in the list of error responses of the API reference"
UNMODELLED_S3 = {
    **COMMON,
    "InvalidAccessKeyId": (403, REFERENCE),
    "AuthorizationHeaderMalformed": (400, REFERENCE),
    "RequestTimeTooSkewed": (403, REFERENCE),
    "InvalidToken": (400, REFERENCE),
    "ExpiredToken": (400, REFERENCE),
    "XAmzContentSHA256Mismatch": (400, "the body is not the one that was signed"),
    "BadDigest": (400, REFERENCE),
    "InvalidDigest": (400, REFERENCE),
    "SlowDown": (503, REFERENCE),
    "NoSuchBucket": (404, "modelled for some operations only"),
    "NoSuchBucketPolicy": (404, REFERENCE),
    "NoSuchKey": (404, "modelled for reading only"),
    "NoSuchUpload": (404, "modelled for AbortMultipartUpload only"),
    "MalformedPolicy": (400, REFERENCE),
    "MalformedXML": (400, REFERENCE),
    "InvalidArgument": (400, REFERENCE),
    "InvalidRequest": (400, REFERENCE),
    "InvalidBucketName": (400, REFERENCE),
    "InvalidRange": (416, REFERENCE),
    "InvalidPart": (400, REFERENCE),
    "InvalidPartOrder": (400, REFERENCE),
    "EntityTooSmall": (400, REFERENCE),
    "EntityTooLarge": (400, REFERENCE),
    "KeyTooLongError": (400, REFERENCE),
    "BucketNotEmpty": (409, REFERENCE),
    "MethodNotAllowed": (405, REFERENCE),
    "NotImplemented": (501, REFERENCE),
    "PreconditionFailed": (412, REFERENCE),
}
# Where the model and the documentation part ways, the documentation's examples count.
DOCUMENTED_VALUES = {
    # API_AttachedPermissionsBoundary: "This data type can only have a value of `Policy`."
    "PermissionsBoundaryAttachmentType": ["Policy"],
}
DOCUMENTED_STATUS = {
    # API_PutBucketPolicy, sample response: HTTP/1.1 204 No Content.
    "PutBucketPolicy": [204],
    # A range is answered with 206.
    "GetObject": [206],
}
# Answers to HEAD have no body: the client makes the code of the status.
BODILESS = {"403": 403, "404": 404, "400": 400, "412": 412, "304": 304}
# Roots of S3's answers, from its API reference: its model does not have them.
S3_ROOTS = {
    "ListBuckets": "ListAllMyBucketsResult",
    "ListObjects": "ListBucketResult",
    "ListObjectsV2": "ListBucketResult",
    "GetBucketLocation": "LocationConstraint",
    "DeleteObjects": "DeleteResult",
    "CopyObject": "CopyObjectResult",
    "CreateMultipartUpload": "InitiateMultipartUploadResult",
    "CompleteMultipartUpload": "CompleteMultipartUploadResult",
    "ListParts": "ListPartsResult",
}
S3_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
# Headers that every answer may have.
COMMON_HEADERS = """
    date server connection content-length content-type transfer-encoding vary keep-alive
    x-amz-request-id x-amz-id-2 x-amzn-requestid x-amz-bucket-region
""".split()


class Reader:
    """Collects what is wrong with one answer."""

    def __init__(self, operation):
        self.operation = operation
        self.wrong = []

    def complain(self, where, what):
        self.wrong.append(f"{self.operation.name}: {where}: {what}")

    # ---- shapes ------------------------------------------------------------------------------

    def structure(self, element, shape, where):
        """Every child must be a member, once; every required member must be a child."""
        members = {}
        for name, member in shape.members.items():
            if member.serialization.get("location"):
                continue
            flat = member.serialization.get("flattened")
            if flat and member.type_name == "list":
                own = member.member.serialization.get("name")
                members[member.serialization.get("name") or own or name] = (name, member)
            else:
                members[member.serialization.get("name", name)] = (name, member)
        seen = {}
        for child in element:
            tag = plain(child.tag)
            if tag not in members:
                self.complain(where, f"`{tag}` is no member of {shape.name}")
                continue
            seen.setdefault(tag, []).append(child)
        for tag, children in seen.items():
            name, member = members[tag]
            flat = member.serialization.get("flattened")
            if flat and member.type_name == "list":
                for child in children:
                    self.value(child, member.member, f"{where}.{name}")
                continue
            if len(children) > 1:
                self.complain(where, f"`{tag}` is there {len(children)} times")
            self.value(children[0], member, f"{where}.{name}")
        for name in shape.required_members:
            tags = [tag for tag, (member, _) in members.items() if member == name]
            if tags and tags[0] not in seen:
                self.complain(where, f"the required member `{name}` is missing")

    def value(self, element, shape, where):
        if shape.type_name == "structure":
            self.structure(element, shape, where)
        elif shape.type_name == "list":
            expected = shape.member.serialization.get("name", "member")
            for child in element:
                if plain(child.tag) != expected:
                    self.complain(where, f"`{plain(child.tag)}` in a list of `{expected}`")
                else:
                    self.value(child, shape.member, f"{where}[]")
        elif shape.type_name == "map":
            for entry in element:
                tags = [plain(child.tag) for child in entry]
                if plain(entry.tag) != "entry" or tags != ["key", "value"]:
                    self.complain(where, f"`{plain(entry.tag)}` with {tags} in a map")
        else:
            if len(element):
                self.complain(where, "a value has elements inside")
            self.scalar(element.text or "", shape, where)

    def scalar(self, text, shape, where):
        """One value, by its type and the bounds that the model gives."""
        if shape.type_name in ("integer", "long", "double", "float"):
            number = number_of(text)
            if number is None:
                self.complain(where, f"`{text}` is no number")
            else:
                self.bounds(number, shape, where)
        elif shape.type_name == "boolean":
            if text not in ("true", "false"):
                self.complain(where, f"`{text}` is neither `true` nor `false`")
        elif shape.type_name == "timestamp":
            if not is_time(text):
                self.complain(where, f"`{text}` is no time as this service writes it")
        elif shape.type_name == "string":
            self.bounds(len(text), shape, where)
            if shape.enum and text not in shape.enum + DOCUMENTED_VALUES.get(shape.name, []):
                self.complain(where, f"`{text}` is none of {shape.enum}")
            pattern = shape.metadata.get("pattern")
            if pattern and not re.fullmatch(readable(pattern), text, re.DOTALL):
                self.complain(where, f"`{text}` does not match `{pattern}`")

    def bounds(self, number, shape, where):
        least, most = shape.metadata.get("min"), shape.metadata.get("max")
        if (least is not None and number < least) or (most is not None and number > most):
            self.complain(where, f"{number} is not within {least}..{most}")

    # ---- answers -----------------------------------------------------------------------------

    def query_answer(self, body):
        """`<OpResponse><OpResult>…</OpResult><ResponseMetadata>…`, in the service's namespace."""
        root = self.parse(body)
        if root is None:
            return
        name = self.operation.name
        namespace = self.operation.service_model.metadata["xmlNamespace"]
        if root.tag != f"{{{namespace}}}{name}Response":
            self.complain("root", f"`{root.tag}`, expected `{name}Response` in `{namespace}`")
        children = {plain(child.tag): child for child in root}
        output = self.operation.output_shape
        expected = {"ResponseMetadata"}
        if output is not None:
            wrapper = output.serialization.get("resultWrapper", f"{name}Result")
            expected.add(wrapper)
            if wrapper in children:
                self.structure(children[wrapper], output, name)
        if set(children) != expected:
            self.complain("root", f"has {sorted(children)}, expected {sorted(expected)}")
        metadata = children.get("ResponseMetadata")
        if metadata is None or [plain(child.tag) for child in metadata] != ["RequestId"]:
            self.complain("ResponseMetadata", "is not one `RequestId`")

    def s3_answer(self, body, headers):
        self.headers(headers)
        output = self.operation.output_shape
        if output is None:
            if body:
                self.complain("body", "there is one, and the operation has no output")
            return
        payload = output.serialization.get("payload")
        shape = output.members[payload] if payload else output
        if self.operation.has_streaming_output or shape.type_name not in ("structure", "list"):
            return
        in_body = [m for m in shape.members.values() if not m.serialization.get("location")]
        if not in_body:
            if body:
                self.complain("body", "there is one, and the output is in the headers")
            return
        root = self.parse(body)
        if root is None:
            return
        expected = S3_ROOTS.get(self.operation.name)
        if expected is None:
            self.complain("root", "this operation's root is not in the table")
        elif root.tag != f"{{{S3_NAMESPACE}}}{expected}":
            self.complain("root", f"`{root.tag}`, expected `{expected}` in `{S3_NAMESPACE}`")
        if self.operation.name == "GetBucketLocation":
            # The one answer whose root is the member itself.
            self.scalar(root.text or "", shape.members["LocationConstraint"], "LocationConstraint")
        else:
            self.structure(root, shape, self.operation.name)

    def headers(self, headers):
        known = set(COMMON_HEADERS)
        output = self.operation.output_shape
        prefixes = []
        for name, member in output.members.items() if output else []:
            location = member.serialization.get("location")
            header = member.serialization.get("name", name).lower()
            if location == "headers":
                prefixes.append(header)
            elif location == "header":
                known.add(header)
                if header in headers and member.type_name != "timestamp":
                    self.scalar(headers[header], member, f"header {header}")
        for header in headers:
            if header not in known and not any(header.startswith(prefix) for prefix in prefixes):
                self.complain("headers", f"`{header}` is none of this operation's")

    def error(self, status, body, parsed):
        """An error's code and status, and the form of its body."""
        code = parsed.get("Error", {}).get("Code", "")
        s3 = self.operation.service_model.service_name == "s3"
        unmodelled = UNMODELLED_S3 if s3 else UNMODELLED_QUERY
        modelled = {}
        for shape in self.operation.error_shapes:
            error = shape.metadata.get("error", {})
            modelled[error.get("code", shape.name)] = error.get("httpStatusCode", 400)
        if code in modelled:
            expected = modelled[code]
        elif not body and code in BODILESS:
            expected = BODILESS[code]
        elif code in unmodelled:
            expected = unmodelled[code][0]
        else:
            self.complain("error", f"`{code}` is neither modelled nor a known unmodelled code")
            return
        if status != expected:
            self.complain("error", f"`{code}` came with {status}, expected {expected}")
        if body:
            self.error_body(body)

    def error_body(self, body):
        root = self.parse(body)
        if root is None:
            return
        s3 = self.operation.service_model.service_name == "s3"
        if s3:
            error, expected = root, {"Code", "Message"}
            allowed = None
        else:
            namespace = self.operation.service_model.metadata["xmlNamespace"]
            if root.tag != f"{{{namespace}}}ErrorResponse":
                self.complain("error", f"the root is `{root.tag}`")
            if [plain(child.tag) for child in root] != ["Error", "RequestId"]:
                self.complain("error", "the root is not an `Error` and a `RequestId`")
            error, expected = root[0], {"Type", "Code", "Message"}
            allowed = expected
            kind = error.findtext(f"{{{namespace}}}Type")
            if kind not in ("Sender", "Receiver"):
                self.complain("error", f"the type is `{kind}`")
        seen = {plain(child.tag) for child in error}
        if plain(root.tag) != ("Error" if s3 else "ErrorResponse") or not expected <= seen:
            self.complain("error", f"has {sorted(seen)}, expected {sorted(expected)}")
        if allowed and seen - allowed:
            self.complain("error", f"has {sorted(seen - allowed)} besides")

    def parse(self, body):
        try:
            return ElementTree.fromstring(body)
        except ElementTree.ParseError as error:
            self.complain("body", f"is not XML: {error}")
            return None


def read_answer(operation, status, headers, body, parsed):
    """Everything that is wrong with an answer; empty when it is as the model says."""
    reader = Reader(operation)
    headers = {name.lower(): value for name, value in headers.items()}
    if status >= 300:
        reader.error(status, body, parsed)
        return reader.wrong
    expected = operation.http.get("responseCode", 200)
    if status != expected and status not in DOCUMENTED_STATUS.get(operation.name, []):
        reader.complain("status", f"{status}, expected {expected}")
    if operation.service_model.service_name == "s3":
        reader.s3_answer(body, headers)
    else:
        reader.query_answer(body)
    return reader.wrong


def plain(tag):
    return tag.rpartition("}")[2]


def number_of(text):
    try:
        return float(text)
    except ValueError:
        return None


def is_time(text):
    """ISO 8601 in UTC, as the query protocol and S3's bodies write it."""
    for form in ("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S.%fZ"):
        try:
            datetime.strptime(text, form)
            return True
        except ValueError:
            continue
    return False


def readable(pattern):
    """The model's patterns are Java's; Python spells classes and code points another way."""
    for java, python in [
        ("\\p{L}", "\\w"),
        ("\\p{M}", ""),
        ("\\p{N}", "\\d"),
        ("\\p{Z}", " "),
        ("\\p{S}", "+"),
        ("\\p{P}", "-"),
    ]:
        pattern = pattern.replace(java, python)
    return re.sub(
        r"\\u\{?([0-9A-Fa-f]{4,5})\}?", lambda found: re.escape(chr(int(found[1], 16))), pattern
    )
