"""Google's own descriptions of its APIs, and whether a request or an answer is what they say.

The discovery documents ship with google-api-python-client. Privileged Access Manager has none there; its messages
are described by the protocol buffers of its own client.
"""

import base64
import binascii
import json
import pathlib
import re

import googleapiclient
from google.cloud import privilegedaccessmanager_v1 as pam
from google.longrunning import operations_pb2
from google.protobuf import json_format

FOLDER = pathlib.Path(googleapiclient.__file__).parent / "discovery_cache" / "documents"
APIS = [
    "iamcredentials.v1",
    "sts.v1",
    "iam.v1",
    "cloudresourcemanager.v1",
    "cloudresourcemanager.v3",
    "storage.v1",
]
# Taken by every API; `$alt` and its kin are the same under the name that they have in the newer servers.
SYSTEM_PARAMETERS = {"$alt", "$prettyPrint", "$fields", "upload_id"}
DURATION = re.compile(r"-?\d+(\.\d{1,9})?s")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z")


class Description:
    """One method of one API."""

    def __init__(self, document, method):
        self.schemas = document["schemas"]
        self.id = method["id"]
        self.verb = method["httpMethod"]
        self.scopes = method.get("scopes", [])
        self.parameters = {**document.get("parameters", {}), **method.get("parameters", {})}
        self.request = method.get("request")
        self.response = method.get("response")
        self.takes_media = "mediaUpload" in method

    def wrong_query(self, pairs):
        for name, value in pairs:
            if name in SYSTEM_PARAMETERS:
                continue
            if name not in self.parameters:
                yield f"the method takes no parameter `{name}`"
                continue
            yield from self.wrong_text(f"?{name}", self.parameters[name], value)

    def wrong_text(self, path, schema, value):
        """A parameter is text, whatever it stands for."""
        if schema.get("type") == "integer" and not re.fullmatch(r"-?\d+", value):
            yield f"{path} is no integer: {value!r}"
        elif schema.get("type") == "boolean" and value.lower() not in ("true", "false"):
            yield f"{path} is no boolean: {value!r}"

    def wrong_request(self, body):
        if self.request is None:
            if body not in ({}, None):
                yield "the method takes no body"
            return
        # Clients send what they have no value for as `null`, which is the same as nothing.
        given = {name: value for name, value in body.items() if value is not None}
        yield from self.wrong(self.schemas[self.request["$ref"]], given, "")

    def wrong_response(self, body):
        if self.response is None:
            if body is not None:
                yield "the method answers nothing"
            return
        yield from self.wrong(self.schemas[self.response["$ref"]], body, "")

    def wrong(self, schema, value, path):
        """Everything in a value that its schema does not allow."""
        if "$ref" in schema:
            schema = self.schemas[schema["$ref"]]
        kind, form = schema.get("type"), schema.get("format")
        if kind == "object" and isinstance(value, dict):
            for name, inner in value.items():
                known = schema.get("properties", {}).get(name) or schema.get("additionalProperties")
                if known is None:
                    yield f"{path}.{name} is not described"
                else:
                    yield from self.wrong(known, inner, f"{path}.{name}")
        elif kind == "array" and isinstance(value, list):
            for index, inner in enumerate(value):
                yield from self.wrong(schema["items"], inner, f"{path}[{index}]")
        elif kind == "string" and isinstance(value, str):
            yield from self.wrong_string(schema, form, value, path)
        elif kind == "boolean" and isinstance(value, bool):
            return
        elif kind == "integer" and isinstance(value, int) and not isinstance(value, bool):
            if form == "int32" and not -(2**31) <= value < 2**31:
                yield f"{path} is out of bounds: {value}"
        elif kind == "number" and isinstance(value, (int, float)):
            return
        elif kind != "any":
            yield f"{path} is not of type {kind}: {value!r}"

    def wrong_string(self, schema, form, value, path):
        if "enum" in schema and value not in schema["enum"]:
            yield f"{path} is none of {schema['enum']}: {value!r}"
        elif form in ("int64", "uint64") and not re.fullmatch(r"-?\d+", value):
            yield f"{path} is no integer: {value!r}"
        elif form == "google-duration" and not DURATION.fullmatch(value):
            yield f"{path} is no duration: {value!r}"
        elif form in ("google-datetime", "date-time") and not TIME.fullmatch(value):
            yield f"{path} is no time: {value!r}"
        elif form == "byte":
            try:
                base64.b64decode(
                    value, validate=True, altchars=b"-_" if "-" in value or "_" in value else None
                )
            except binascii.Error:
                yield f"{path} is no base64: {value!r}"


class Descriptions:
    """Every method, found by verb and path."""

    def __init__(self):
        self.found = []
        for name in APIS:
            document = json.loads((FOLDER / f"{name}.json").read_text())
            for method in methods(document):
                description = Description(document, method)
                for path in paths(document, method):
                    self.found.append((method["httpMethod"], pattern(path), description))
                    if "/upload/" in path:
                        # How an upload goes on or is cancelled is told in words only.
                        self.found.append(("PUT", pattern(path), description))
                        self.found.append(("DELETE", pattern(path), description))

    def find(self, verb, path):
        for known_verb, known_path, description in self.found:
            if known_verb == verb and known_path.fullmatch(path):
                return description
        return None

    def named(self, name):
        return next(known for _, _, known in self.found if known.id == name)


def methods(part):
    yield from part.get("methods", {}).values()
    for inner in part.get("resources", {}).values():
        yield from methods(inner)


def paths(document, method):
    path = "/" + document["servicePath"] + method.get("flatPath", method["path"])
    yield path
    for protocol in method.get("mediaUpload", {}).get("protocols", {}).values():
        yield protocol["path"]
    if method.get("supportsMediaDownload"):
        yield "/download" + path


def pattern(path):
    """One segment for each variable; a verb after a colon is no part of one."""
    pieces = re.split(r"\{[^}]+\}", path)
    # The names of objects come percent-encoded and may have colons.
    one = r"[^/]+" if "/o/" in path else r"[^/:]+"
    return re.compile(one.join(re.escape(piece) for piece in pieces))


PAM_PATH = re.compile(
    r"/v1/projects/[^/]+/locations/[^/:]+(?P<rest>:checkOnboardingStatus|/operations/[^/:]+|/entitlements.*)"
)
PAM_MESSAGES = [
    ("GET", r":checkOnboardingStatus", None, pam.CheckOnboardingStatusResponse),
    ("GET", r"/operations/[^/:]+", None, operations_pb2.Operation),
    ("GET", r"/entitlements", None, pam.ListEntitlementsResponse),
    ("GET", r"/entitlements:search", None, pam.SearchEntitlementsResponse),
    ("GET", r"/entitlements/[^/:]+", None, pam.Entitlement),
    ("POST", r"/entitlements/[^/:]+/grants", pam.Grant, pam.Grant),
    ("GET", r"/entitlements/[^/:]+/grants", None, pam.ListGrantsResponse),
    ("GET", r"/entitlements/[^/:]+/grants:search", None, pam.SearchGrantsResponse),
    ("GET", r"/entitlements/[^/:]+/grants/[^/:]+", None, pam.Grant),
    ("POST", r"/entitlements/[^/:]+/grants/[^/:]+:approve", pam.ApproveGrantRequest, pam.Grant),
    ("POST", r"/entitlements/[^/:]+/grants/[^/:]+:deny", pam.DenyGrantRequest, pam.Grant),
    (
        "POST",
        r"/entitlements/[^/:]+/grants/[^/:]+:revoke",
        pam.RevokeGrantRequest,
        operations_pb2.Operation,
    ),
]


class Messages:
    """A method of Privileged Access Manager, by its messages."""

    def __init__(self, request, response):
        self.request = request
        self.response = response
        self.takes_media = False

    def wrong_query(self, pairs):
        return []

    def wrong_request(self, body):
        return self.wrong(self.request, body) if self.request else []

    def wrong_response(self, body):
        return self.wrong(self.response, body)

    def wrong(self, message, body):
        message = message.pb() if hasattr(message, "pb") else message()
        message = message() if isinstance(message, type) else message
        try:
            json_format.ParseDict(body or {}, message, ignore_unknown_fields=False)
        except json_format.ParseError as error:
            return [str(error)]
        return []


def pam_messages(verb, path):
    found = PAM_PATH.fullmatch(path)
    for known_verb, rest, request, response in PAM_MESSAGES if found else []:
        if known_verb == verb and re.fullmatch(rest, found["rest"]):
            return Messages(request, response)
    return None
