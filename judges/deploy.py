"""Judges the Terraform modules of `deploy/`, read with python-hcl2.

No cloud is asked: what is held are the fields that Jitney relies on, the rights that the broker is
given and none beyond, and that an apply undoes nothing that is the broker's. Subjects and tags are
read from the sources, so that neither side changes alone.

    deploy.py --root FOLDER
"""

import argparse
import itertools
import pathlib
import re
import tomllib

import hcl2

from verdict import Verdict

# The least that gives and takes roles, and what PIM asks for.
GIVING_ROLES = {
    "rbac": "f58310d9-a9f6-439a-9e8d-f62e7b41a168",
    "pim": "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9",
}
GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
EQUALS = "ForAnyOfAnyValues:GuidEquals"
# Who has one of these can make what outlives every lease.
NEVER_ON_GOOGLE = ["signBlob", "signJwt", "getOpenIdToken", "implicitDelegation", "actAs", "Keys."]
MARKS = {"__is_block__", "__comments__", "__inline_comments__"}


def plain(value):
    """A value as Terraform means it: texts without quotes, blocks without the parser's marks."""
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items() if key not in MARKS}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, str) and len(value) > 1 and value[0] == value[-1] == '"':
        return value[1:-1]
    return value


class Module:
    """A folder of Terraform."""

    def __init__(self, folder):
        self.text = ""
        self.blocks = {}
        for file in sorted(folder.glob("*.tf")):
            self.text += file.read_text()
            with file.open() as opened:
                for kind, blocks in plain(hcl2.load(opened)).items():
                    self.blocks.setdefault(kind, []).extend(blocks)

    def named(self, kind):
        """The blocks with one name: variables, outputs."""
        pairs = (block.items() for block in self.blocks.get(kind, []))
        return dict(itertools.chain.from_iterable(pairs))

    def typed(self, kind):
        """The blocks with a type and a name: resources, data."""
        found = {}
        for block in self.blocks.get(kind, []):
            for of_type, named in block.items():
                found.update({f"{of_type}.{name}": body for name, body in named.items()})
        return found


def declared(text, name):
    """The value of a constant in a source of ours."""
    return re.search(rf'const {name}: &str = "([^"]*)";', text)[1]


def judge_all(verdict, name, module):
    resources, data = module.typed("resource"), module.typed("data")
    for kind in ("variable", "output"):
        for what, about in module.named(kind).items():
            verdict.holds(f"{name}: {kind} `{what}` is described", about.get("description"))
            secret = re.search(r"secret|password|token|key", what)
            verdict.holds(f"{name}: `{what}` is no secret", not secret, what)
    variables = set(module.named("variable"))
    used = set(re.findall(r"\bvar\.(\w+)", module.text))
    verdict.equal(f"{name}: every variable is there and used", used, variables)
    known = {local for block in module.blocks.get("locals", []) for local in block}
    used = set(re.findall(r"\blocal\.(\w+)", module.text))
    verdict.equal(f"{name}: every local is there and used", used, known)
    there = set(resources) | {f"data.{what}" for what in data}
    used = set(re.findall(r"\b(?:data\.)?(?:aws|azuread|azurerm|google)_\w+\.\w+", module.text))
    verdict.holds(f"{name}: what is named is there", used <= there, used - there)
    for provider, about in module.blocks["terraform"][0]["required_providers"][0].items():
        bounded = ">=" in about["version"] and "<" in about["version"]
        verdict.holds(f"{name}: `{provider}` has a least and a most", bounded, about["version"])


def ignored(resource):
    return set(resource["lifecycle"][0]["ignore_changes"])


def judge_aws(verdict, module, sources):
    tag = declared((sources / "adapters/aws/src/deny_list.rs").read_text(), "LEASE_TAG")
    statements = {
        name.split(".")[1]: body["statement"] for name, body in module.typed("data").items()
    }
    (trust,) = statements["trust"]
    sessions = {"sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"}
    verdict.equal("aws: the trust is for leases", set(trust["actions"]), sessions)
    who = trust["principals"][0]["identifiers"]
    verdict.equal("aws: only the broker is trusted", who, ["${var.broker_arn}"])
    condition = trust["condition"][0]
    asked = (condition["test"], condition["variable"], condition["values"])
    expected = ("StringLike", f"aws:RequestTag/{tag}", ["?*"])
    verdict.equal("aws: only under a lease's tag", asked, expected)
    (granter,) = statements["granter"]
    verdict.equal("aws: the granter assumes roles", set(granter["actions"]), sessions)
    revoker, sweep = statements["revoker"]
    changes = {"PutRolePolicy", "DeleteRolePolicy", "GetRolePolicy", "ListRolePolicies", "GetRole"}
    verdict.equal(
        "aws: the revoker writes inline policies",
        set(revoker["actions"]),
        {f"iam:{change}" for change in changes},
    )
    for part in (granter, revoker):
        verdict.equal("aws: on those roles alone", part["resources"], "${local.role_arns}")
    verdict.equal("aws: everywhere it only lists", sweep["actions"], ["iam:ListRoles"])
    role = module.typed("resource")["aws_iam_role.lease"]
    verdict.holds("aws: roles have a boundary", role.get("permissions_boundary"))
    exclusive = "inline_policy" in role or "_exclusive" in " ".join(module.typed("resource"))
    verdict.holds("aws: inline policies are the broker's", not exclusive)


def text_of_ours(sources, room):
    return (sources / f"adapters/azure/src/{room}.rs").read_text()


def judge_azure(verdict, module, sources):
    text = (sources / "identity/src/assertions.rs").read_text()
    subjects = {
        "slot": declared(text, "SLOT_SUBJECT_PREFIX") + "${each.key}",
        "broker": declared(text, "BROKER_SUBJECT"),
    }
    resources = module.typed("resource")
    kind = "azuread_application_federated_identity_credential"
    for name, subject in subjects.items():
        trust = resources[f"{kind}.{name}"]
        verdict.equal(f"azure: the {name} is known by its subject", trust["subject"], subject)
        verdict.equal("azure: by our issuer", trust["issuer"], "${var.issuer_url}")
        audiences = ["${local.exchange_audiences[var.environment]}"]
        verdict.equal("azure: for Entra alone", trust["audiences"], audiences)
    theirs = set(re.findall(r'= "(api://\w+)"', module.text))
    ours = {declared(text_of_ours(sources, "assertion"), "AUDIENCE")}
    ours |= set(re.findall(r'=> "(api://\w+)"', text_of_ours(sources, "environment")))
    verdict.equal("azure: in each cloud that we know", theirs, ours)
    ways = {name for name in resources if re.search("password|certificate|federated", name)}
    verdict.equal("azure: there is no other way in", ways, {f"{kind}.slot", f"{kind}.broker"})
    slots = re.findall(r'format\("([^"]*)"', module.text)
    verdict.equal("azure: slots have names", slots, ["blobs-%03d", "role-%03d"])
    shut = ignored(resources["azuread_service_principal.slot"])
    verdict.equal("azure: a slot that is shut stays shut", shut, {"account_enabled"})
    given = [name for name in resources if name.startswith("azurerm_role_assignment")]
    verdict.equal("azure: no slot has a standing role", given, ["azurerm_role_assignment.broker"])
    judge_azure_broker(verdict, module, resources["azurerm_role_assignment.broker"])
    judge_azure_roles(verdict, module, resources["azurerm_role_definition.blob"], sources)
    judge_target(verdict, "azure", module, (sources / "adapters/azure/src/config.rs").read_text())
    stops = module.named("variable")["fast_stop"]
    verdict.equal("azure: nothing is stopped unasked", stops["default"], False)
    asked = r'%\{~if var\.fast_stop\}\s+fast_stop = "deny-assignment"\s+%\{~endif\}'
    verdict.holds("azure: a fast stop is what the variable says", re.search(asked, module.text))


def judge_azure_broker(verdict, module, giving):
    for mode, role in GIVING_ROLES.items():
        found = re.search(rf'\b{mode} += "{role}"', module.text)
        verdict.holds(f"azure: what gives roles by {mode} is the least that does", found)
    verdict.equal("azure: the broker's right has a condition", giving["condition_version"], "2.0")
    verdict.equal("azure: this one", giving["condition"], "${local.only_to_slots}")
    condition = re.search(r"only_to_slots = <<-EOT\n(.*?)\n *EOT\n", module.text, re.S)[1]
    parts = []
    for action, source in (("write", "@Request"), ("delete", "@Resource")):
        attribute = f"{source}[Microsoft.Authorization/roleAssignments:"
        parts.append(
            f"( ( !(ActionMatches{{'Microsoft.Authorization/roleAssignments/{action}'}}) ) OR ( "
            f"{attribute}RoleDefinitionId] {EQUALS} {{${{local.given_roles}}}} AND "
            f"{attribute}PrincipalId] {EQUALS} {{${{local.given_to}}}} ) )"
        )
    condition = " ".join(condition.split())
    verdict.equal("azure: only leased roles, only to slots", condition, " AND ".join(parts))
    pool = 'given_to = join(", ", [for slot in azuread_service_principal.slot : slot.object_id])'
    verdict.holds("azure: the slots are the pool", pool in module.text)


def judge_azure_roles(verdict, module, role, sources):
    """The roles that the catalogue names, with exactly what it says of them."""
    allowed = role["permissions"][0]
    verdict.equal("azure: blob roles allow data actions alone", set(allowed), {"data_actions"})
    (here,) = [block for block in module.blocks["locals"] if "blob_roles" in block]
    made = {
        name: {action.replace("${local.blob}", here["blob"]) for action in actions}
        for name, actions in here["blob_roles"].items()
    }
    catalogue = tomllib.loads((sources / "policies/catalogue.toml").read_text())
    columns = [about.get("clouds", {}).get("azure") for about in catalogue.values()]
    terms = [column["terms"] for column in columns if column]
    blobs = {term["role"]: set(term["data_actions"]) for term in terms if term["kind"] == "blobs"}
    built_in = {role for role in blobs if GUID.fullmatch(role)}
    verdict.equal("azure: the reader is the catalogue's", {here["blob_reader"]}, built_in)
    ours = {role: actions for role, actions in blobs.items() if role not in built_in}
    verdict.equal("azure: the other roles are the catalogue's", made, ours)
    text = " ".join(module.text.split())
    given = "given_roles = join(\", \", concat( [local.blob_reader], [for role in azurerm_role_def"
    verdict.holds("azure: the broker may give them", given in text)


def judge_target(verdict, name, module, source):
    """The printed section has keys that the adapter reads, and no others."""
    written = re.findall(r"^\s*(?:pub(?:\(crate\))? )?(\w+): ", source, re.M)
    section = re.search(r'output "target" \{.*?<<-EOT\n(.*?)\n *EOT', module.text, re.S)[1]
    keys = set(re.findall(r"^ *(\w+) = ", section, re.M))
    keys |= set(re.findall(r"[{,] (\w+) = ", section)) - {"from"}
    keys |= set(re.findall(r"^ *\[targets\.NAME\.(\w+)", section, re.M))
    unread = keys - {"cloud"} - set(written)
    verdict.equal(f"{name}: what the module prints is read", unread, set())
    verdict.holds(f"{name}: it prints a target", f'cloud = "{name}"' in section, section)


def judge_google(verdict, module, sources):
    judge_target(verdict, "gcp", module, (sources / "adapters/gcp/src/config.rs").read_text())
    resources = module.typed("resource")
    account = resources["google_service_account.slot"]
    verdict.equal(
        "google: what is the broker's is left alone", ignored(account), {"disabled", "description"}
    )
    for mine in ("disabled", "description"):
        verdict.holds(f"google: `{mine}` is not set here", mine not in account)
    permissions = {
        name.split(".")[1]: set(body["permissions"])
        for name, body in resources.items()
        if name.startswith("google_project_iam_custom_role.") and "for_each" not in body
    }
    judge_entitlements(verdict, module, resources)
    for name, verb in (("lender", "enable"), ("taker", "disable")):
        of_accounts = {f"iam.serviceAccounts.{it}" for it in ("get", verb, "update")}
        verdict.equal(f"google: the {name} does its half", permissions[name], of_accounts)
    for name, who in (("lender", "var.broker"), ("minter", "var.broker"), ("taker", "local.revoker")):
        member = resources[f"google_service_account_iam_member.{name}"]["member"]
        verdict.equal(f"google: and who the {name} is", member, "${%s}" % who)
    minted = {"iam.serviceAccounts.getAccessToken"}
    verdict.equal("google: it mints tokens", permissions["minter"], minted)
    writes = {"resourcemanager.projects.setIamPolicy", "storage.buckets.setIamPolicy"}
    verdict.equal("google: it writes policies", permissions["binder"], writes)
    deletes = {"storage.objects.delete"}
    verdict.equal("google: what deletes does nothing else", permissions["object_deleter"], deletes)
    for name in itertools.chain.from_iterable(permissions.values()):
        never = [word for word in NEVER_ON_GOOGLE if word in name]
        verdict.equal(f"google: `{name}` makes nothing that outlives a lease", never, [])
    for name in ("lender", "minter", "taker"):
        bound = resources[f"google_service_account_iam_member.{name}"]["for_each"]
        verdict.equal("google: on each account", bound, "${google_service_account.slot}")
    roles = [body.get("role", "") for body in resources.values()]
    predefined = [role for role in roles if role.startswith("roles/")]
    verdict.equal("google: the broker has no role of Google's making", predefined, [])
    whole = [name for name in resources if re.search(r"_iam_(policy|binding)\.", name)]
    verdict.equal("google: no policy is written as a whole", whole, [])
    condition = resources["google_project_iam_member.binder"]["condition"][0]["expression"]
    limit = r"api\.getAttribute\('iam\.googleapis\.com/modifiedGrantsByRole', \[\]\)\.hasOnly\("
    limited = re.match(limit, condition)
    verdict.holds("google: it gives leased roles alone", limited, condition)
    leased = "for role in var.leased_roles" in condition
    verdict.holds("google: and these are they", leased, condition)


def judge_entitlements(verdict, module, resources):
    """Who may ask, for what, and that the broker itself neither grants nor writes policies then."""
    leased = resources["google_privileged_access_manager_entitlement.leased"]
    default = module.named("variable")["entitlements"]["default"]
    verdict.equal("google: no entitlement is made unasked", default, {})
    verdict.holds("google: a job waits for nobody's approval", "approval_workflow" not in leased)
    pool = '${[for account in google_service_account.slot : "serviceAccount:${account.email}"]}'
    asking = leased["eligible_users"][0]["principals"]
    verdict.equal("google: the pool asks, and nobody else", asking, pool)
    access = leased["privileged_access"][0]["gcp_iam_access"][0]
    project = "//cloudresourcemanager.googleapis.com/projects/${var.project}"
    verdict.equal("google: it gives on the project", access["resource"], project)
    given = access["role_bindings"][0]
    asked = {"role": "${each.value.role}", "condition_expression": "${each.value.condition}"}
    verdict.equal("google: what the variable says, as it says it", given, asked)
    managing = set(re.findall(r'"(privilegedaccessmanager\.[\w.]+)"', module.text))
    verbs = {it.rsplit(".", 1)[1] for it in managing}
    reads = {"get", "list", "checkOnboardingStatus"}
    verdict.equal("google: the broker looks and revokes", verbs - reads, {"revoke"})
    binder = resources["google_project_iam_member.binder"]["for_each"]
    unless = "${local.managed ? {} : local.both}"
    verdict.equal("google: it writes no policy beside entitlements", binder, unless)
    target = re.search(r'mode = "\$\{local\.managed \? "pam" : "sa-pool"\}"', module.text)
    verdict.holds("google: the printed pool is of that mode", target)


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--root", required=True, type=pathlib.Path)
    root = options.parse_args().root
    clouds = {"aws": judge_aws, "azure": judge_azure, "gcp": judge_google}
    with Verdict() as verdict:
        for name, judge in clouds.items():
            module = Module(root / "deploy" / "terraform" / name)
            judge_all(verdict, name, module)
            judge(verdict, module, root)


if __name__ == "__main__":
    main()
