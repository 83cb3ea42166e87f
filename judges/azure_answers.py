"""What Resource Manager may answer: shapes typed from Microsoft's OpenAPI documents.

Every field of an answer must be one of the document's and of its type; an optional one may be null,
as it is in the documents' own examples. Enumerations are open in the documents and here.
"""

import re

TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$")
GUID = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")

PERMISSION = {
    "actions": ["str"],
    "notActions": ["str"],
    "dataActions": ["str"],
    "notDataActions": ["str"],
}
EXPANDED = {
    "scope": {"id": "str", "displayName": "str", "type": "str"},
    "roleDefinition": {"id": "str", "displayName": "str", "type": "str"},
    "principal": {"id": "str", "displayName": "str", "email": "str", "type": "str"},
}
ROLE_ASSIGNMENT = {
    "scope": "str",
    "roleDefinitionId": "str",
    "principalId": "guid",
    "principalType": "str",
    "description": "str",
    "condition": "str",
    "conditionVersion": "str",
    "createdOn": "time",
    "updatedOn": "time",
    "createdBy": "str",
    "updatedBy": "str",
    "delegatedManagedIdentityResourceId": "str",
}
ROLE_DEFINITION = {
    "roleName": "str",
    "description": "str",
    "type": "str",
    "permissions": [PERMISSION],
    "assignableScopes": ["str"],
    "createdOn": "time",
    "updatedOn": "time",
    "createdBy": "str",
    "updatedBy": "str",
}
PRINCIPAL = {"id": "str", "displayName": "str", "type": "str", "email": "str"}
DENY_ASSIGNMENT = {
    "denyAssignmentName": "str",
    "description": "str",
    "permissions": [{**PERMISSION, "condition": "str", "conditionVersion": "str"}],
    "scope": "str",
    "doNotApplyToChildScopes": "bool",
    "principals": [PRINCIPAL],
    "excludePrincipals": [PRINCIPAL],
    "isSystemProtected": "bool",
    "denyAssignmentEffect": "str",
    "condition": "str",
    "conditionVersion": "str",
    "createdOn": "time",
    "updatedOn": "time",
    "createdBy": "str",
    "updatedBy": "str",
}
REQUEST = {
    "scope": "str",
    "roleDefinitionId": "str",
    "principalId": "guid",
    "principalType": "str",
    "requestType": "str",
    "status": "str",
    "approvalId": "str",
    "targetRoleAssignmentScheduleId": "str",
    "targetRoleAssignmentScheduleInstanceId": "str",
    "scheduleInfo": {
        "startDateTime": "time",
        "expiration": {"type": "str", "endDateTime": "time", "duration": "str"},
    },
    "linkedRoleEligibilityScheduleId": "str",
    "justification": "str",
    "ticketInfo": {"ticketNumber": "str", "ticketSystem": "str"},
    "condition": "str",
    "conditionVersion": "str",
    "createdOn": "time",
    "requestorId": "str",
    "expandedProperties": EXPANDED,
}
SCHEDULE_AND_INSTANCE = {
    "scope": "str",
    "roleDefinitionId": "str",
    "principalId": "guid",
    "principalType": "str",
    "status": "str",
    "startDateTime": "time",
    "endDateTime": "time",
    "linkedRoleEligibilityScheduleId": "str",
    "assignmentType": "str",
    "memberType": "str",
    "condition": "str",
    "conditionVersion": "str",
    "createdOn": "time",
    "expandedProperties": EXPANDED,
}
SCHEDULE = {
    **SCHEDULE_AND_INSTANCE,
    "roleAssignmentScheduleRequestId": "str",
    "updatedOn": "time",
}
INSTANCE = {
    **SCHEDULE_AND_INSTANCE,
    "roleAssignmentScheduleId": "str",
    "originRoleAssignmentId": "str",
    "linkedRoleEligibilityScheduleInstanceId": "str",
}
# One of the five kinds of rule; which fields it has besides hangs on its `ruleType`.
RULE = {
    "id": "str",
    "ruleType": "str",
    "target": {
        "caller": "str",
        "operations": ["str"],
        "level": "str",
        "targetObjects": ["str"],
        "inheritableSettings": ["str"],
        "enforcedSettings": ["str"],
    },
    "enabledRules": ["str"],
    "isExpirationRequired": "bool",
    "maximumDuration": "str",
    "notificationType": "str",
    "notificationLevel": "str",
    "recipientType": "str",
    "notificationRecipients": ["str"],
    "isDefaultRecipientsEnabled": "bool",
}
POLICY = {
    "scope": "str",
    "displayName": "str",
    "description": "str",
    "isOrganizationDefault": "bool",
    "lastModifiedBy": PRINCIPAL,
    "lastModifiedDateTime": "time",
    "rules": [RULE],
    "effectiveRules": [RULE],
    "policyProperties": {"scope": EXPANDED["scope"]},
}
POLICY_ASSIGNMENT = {
    "scope": "str",
    "roleDefinitionId": "str",
    "policyId": "str",
    "effectiveRules": [RULE],
    "policyAssignmentProperties": {
        "scope": EXPANDED["scope"],
        "roleDefinition": EXPANDED["roleDefinition"],
        "policy": {"id": "str", "lastModifiedBy": PRINCIPAL, "lastModifiedDateTime": "time"},
    },
}

# What the clients' models do not have yet: they are of an older version of the API.
YOUNGER = {"denyassignments": {"denyAssignmentEffect"}}

# By the segment of the path that says what the answer is.
SHAPES = {
    "roleassignments": ROLE_ASSIGNMENT,
    "roledefinitions": ROLE_DEFINITION,
    "denyassignments": DENY_ASSIGNMENT,
    "roleassignmentschedulerequests": REQUEST,
    "roleassignmentschedules": SCHEDULE,
    "roleassignmentscheduleinstances": INSTANCE,
    "rolemanagementpolicies": POLICY,
    "rolemanagementpolicyassignments": POLICY_ASSIGNMENT,
}
STATUSES = {
    "GET": [200],
    "PUT": [200, 201],
    "POST": [200],
    "PATCH": [200],
    "DELETE": [200, 204],
}


def read_answer(method, path, status, headers, body):
    """Everything that is wrong with an answer, in words."""
    wrong = []
    if not headers.get("x-ms-request-id"):
        wrong.append("no x-ms-request-id")
    if status >= 400:
        return wrong + read_error(body)
    kind, verb = kind_of(path)
    if status not in STATUSES[method] or (kind == REQUEST and method == "PUT" and status != 201):
        wrong.append(f"{method} is answered with {status}")
    # A denial is deleted without a word, in the version of the API that deletes any.
    is_silent = kind is DENY_ASSIGNMENT and method == "DELETE"
    if status == 204 or verb == "cancel" or is_silent:
        return wrong + ([f"a body where none is: {body!r}"] if body else [])
    if kind is None:
        return wrong
    return wrong + read_success(kind, body, is_list=method == "GET" and is_collection(path))


def segments_of(path):
    return path.lower().split("?")[0].rsplit("/providers/microsoft.authorization/", 1)[-1].split("/")


def kind_of(path):
    segments = segments_of(path)
    return SHAPES.get(segments[0]), segments[2] if len(segments) > 2 else None


def is_collection(path):
    return len(segments_of(path)) == 1


def read_error(body):
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict) or set(error) - {"code", "message", "details", "target"}:
        return [f"not an error: {body!r}"]
    return [f"no {name}" for name in ["code", "message"] if not isinstance(error.get(name), str)]


def read_success(kind, body, is_list):
    if not is_list:
        return list(read_thing(kind, body, ""))
    if not isinstance(body, dict) or set(body) - {"value", "nextLink"}:
        return [f"not a list: {body!r}"]
    things = enumerate(body["value"])
    return [wrong for at, thing in things for wrong in read_thing(kind, thing, f"[{at}]")]


def read_thing(kind, thing, where):
    if not isinstance(thing, dict) or set(thing) != {"id", "name", "type", "properties"}:
        yield f"{where} is not a thing with id, name, type and properties: {thing!r}"
        return
    for name in ["id", "name", "type"]:
        yield from read(f"{where}.{name}", thing[name], "str")
    if not thing["id"].lower().endswith("/" + thing["name"].lower()):
        yield f"{where}.id does not end in its name"
    yield from read(f"{where}.properties", thing["properties"], kind)


def read(where, value, shape):
    if value is None:
        return
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            yield f"{where} is no object: {value!r}"
            return
        for name, member in value.items():
            if name not in shape:
                yield f"{where}.{name} is in no document"
            else:
                yield from read(f"{where}.{name}", member, shape[name])
    elif isinstance(shape, list):
        if not isinstance(value, list):
            yield f"{where} is no list: {value!r}"
            return
        for at, item in enumerate(value):
            yield from read(f"{where}[{at}]", item, shape[0])
    elif shape == "bool":
        if not isinstance(value, bool):
            yield f"{where} is no boolean: {value!r}"
    elif not isinstance(value, str):
        yield f"{where} is no text: {value!r}"
    elif shape == "time" and not TIME.match(value):
        yield f"{where} is no time: {value!r}"
    elif shape == "guid" and not GUID.match(value):
        yield f"{where} is no GUID: {value!r}"
