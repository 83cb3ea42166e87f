"""gcloud, Google's own command line: its read-modify-write of policies is another implementation of the same loop."""

import json
import os
import shutil
import subprocess
import tempfile

from gcp_estate import BROKER, BUCKET, NOBODY, PROJECT, SECOND, SLOT, member

SECONDS_MAX = 120
OVERRIDES = ["CLOUDRESOURCEMANAGER", "IAM", "IAMCREDENTIALS", "STORAGE", "PRIVILEGEDACCESSMANAGER"]


def installed():
    return shutil.which("gcloud") is not None


class Gcloud:
    def __init__(self, gcp, folder):
        self.gcp = gcp
        self.verdict = gcp.verdict
        self.folder = folder

    def run(self, who, *command):
        """The exit code, what was written, and what was complained of."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": self.folder,
            "CLOUDSDK_CONFIG": self.folder,
            "CLOUDSDK_AUTH_ACCESS_TOKEN": self.gcp.token(who),
            "CLOUDSDK_CORE_PROJECT": PROJECT,
            "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
            "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "1",
            "CLOUDSDK_CORE_CHECK_GCE_METADATA": "0",
            "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "1",
            "CLOUDSDK_STORAGE_USE_GCLOUD_CRC32C": "0",
            "GCE_METADATA_HOST": "127.0.0.1:9",
        }
        for api in OVERRIDES:
            environment[f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{api}"] = f"{self.gcp.url}/"
        done = subprocess.run(
            ["gcloud", *command],
            env=environment,
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
        )
        return done.returncode, done.stdout, done.stderr

    def ok(self, who, *command):
        code, output, complaint = self.run(who, *command)
        self.verdict.holds(f"gcloud {' '.join(command)}", code == 0, complaint[-400:])
        return output

    def no(self, saying, who, *command):
        code, output, complaint = self.run(who, *command)
        what = f"gcloud {' '.join(command)} is refused ({saying})"
        self.verdict.holds(what, code != 0 and saying in complaint, complaint[-400:] or output)

    def judge(self):
        condition = (
            "title=jitney:lease-9,expression=request.time < timestamp('2999-01-01T00:00:00Z')"
        )
        for place in [("projects",), ("iam", "service-accounts")]:
            name = PROJECT if place == ("projects",) else SLOT
            binding = [name, f"--member={member(SLOT)}", "--role=roles/storage.objectViewer"]
            self.ok(
                BROKER,
                *place,
                "add-iam-policy-binding",
                *binding,
                f"--condition={condition}",
                "--format=json",
            )
            shown = json.loads(self.ok(BROKER, *place, "get-iam-policy", name, "--format=json"))
            titles = [b["condition"]["title"] for b in shown["bindings"] if "condition" in b]
            self.verdict.holds(
                f"{place[-1]}: the condition is there", "jitney:lease-9" in titles, shown
            )
            self.ok(
                BROKER,
                *place,
                "remove-iam-policy-binding",
                *binding,
                f"--condition={condition}",
                "--format=json",
            )
            self.no("PERMISSION_DENIED", NOBODY, *place, "get-iam-policy", name)
        self.judge_accounts()
        self.judge_storage()
        self.judge_grants()

    def judge_accounts(self):
        self.ok(BROKER, "iam", "service-accounts", "disable", SECOND)
        shown = json.loads(
            self.ok(BROKER, "iam", "service-accounts", "describe", SECOND, "--format=json")
        )
        self.verdict.equal("the account is disabled", shown.get("disabled"), True)
        impersonate = ["auth", "print-access-token", f"--impersonate-service-account={SECOND}"]
        self.no("getAccessToken", BROKER, *impersonate)
        self.ok(BROKER, "iam", "service-accounts", "enable", SECOND)
        token = self.ok(BROKER, *impersonate).strip()
        self.verdict.holds("an enabled account's token is printed", token.startswith("ya29."))

    def judge_storage(self):
        with tempfile.TemporaryDirectory() as folder:
            here = os.path.join(folder, "here.txt")
            back = os.path.join(folder, "back.txt")
            with open(here, "w") as file:
                file.write("from gcloud")
            there = f"gs://{BUCKET}/releases/gcloud.txt"
            self.ok(BROKER, "storage", "cp", here, there)
            self.ok(BROKER, "storage", "cp", there, back)
            with open(back) as file:
                self.verdict.equal("what went there came back", file.read(), "from gcloud")
            self.verdict.holds(
                "it is listed",
                there in self.ok(BROKER, "storage", "ls", f"gs://{BUCKET}/releases/"),
            )
            self.no("403", NOBODY, "storage", "cp", there, back)
            self.ok(BROKER, "storage", "rm", there)

    def judge_grants(self):
        place = ["--entitlement=readers", "--location=global", f"--project={PROJECT}"]
        made = self.ok(
            SECOND,
            "pam",
            "grants",
            "create",
            *place,
            "--requested-duration=1800s",
            "--justification=a test",
            "--format=json",
        )
        grant = json.loads(made or "{}").get("name", "").rsplit("/", 1)[-1]
        shown = self.ok(BROKER, "pam", "grants", "describe", grant, *place, "--format=json")
        self.verdict.holds("the grant is shown", grant and grant in shown, shown)
        self.ok(BROKER, "pam", "grants", "revoke", grant, *place, "--reason=over", "--format=json")
        self.no("PERMISSION_DENIED", NOBODY, "pam", "grants", "describe", grant, *place)
