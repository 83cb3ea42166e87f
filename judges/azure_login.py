"""Entra under azure-identity: who gets a token, and in which words who does not."""

import time

from azure_client import ARM, STORAGE


class Login:
    def __init__(self, azure, who):
        self.azure = azure
        self.who = who

    def with_claims(self, **claims):
        who, issuer = self.who, self.azure.issuer
        subject = claims.pop("sub", who.subject)
        return self.azure.credential(who.client_id, lambda: issuer.assertion(subject, **claims))

    def judge(self):
        azure, verdict, now = self.azure, self.azure.verdict, int(time.time())
        for scope in [ARM, STORAGE]:
            token = self.with_claims().get_token(f"{scope}/.default")
            left = token.expires_on - now
            verdict.holds(f"a token for {scope} lives as documented", 3590 <= left <= 5410, left)
        for what, code, claims in [
            ("another subject", 700213, {"sub": "somebody-else"}),
            ("another case of the subject", 700213, {"sub": self.who.subject.upper()}),
            ("another issuer", 700211, {"iss": "http://127.0.0.1:1"}),
            ("another audience", 700212, {"aud": "api://elsewhere"}),
            ("two audiences", 700212, {"aud": ["api://AzureADTokenExchange", "b"]}),
            ("an assertion that is over", 700024, {"exp": now - 400, "nbf": now - 900}),
            ("an assertion of the future", 700024, {"nbf": now + 400, "exp": now + 900}),
        ]:
            azure.no_token(f"{what} is refused", code, self.with_claims(**claims))
        self.judge_requests()
        self.judge_keys()

    def judge_requests(self):
        azure, who = self.azure, self.who
        good = self.with_claims()
        azure.no_token("a scope of its own is refused", 1002012, good, f"{ARM}/user_impersonation")
        azure.no_token("an unknown resource is refused", 500011, good, "https://no.example/.default")
        stranger = azure.credential("00000000-0000-0000-0000-000000000001", lambda: "x")
        azure.no_token("an unknown client is refused", 700016, stranger)
        malformed = azure.credential(who.client_id, lambda: "not-a-token")
        azure.no_token("what is no assertion is refused", 50027, malformed)

    def judge_keys(self):
        """A foreign key under the same id; then a switched-off app."""
        azure, issuer = self.azure, self.azure.issuer
        honest = issuer.key
        issuer.key = type(issuer)().key
        azure.no_token("a forged assertion is refused", 700027, self.with_claims())
        issuer.key = honest
        azure.control.ask("app", {"client_id": self.who.client_id, "disabled": True})
        azure.no_token("a switched-off app is refused", 7000112, self.with_claims())
        azure.control.ask("app", {"client_id": self.who.client_id, "disabled": False})
        azure.control.ask("settings", {"vague_mismatches": True})
        azure.no_token("older words are spoken", 70021, self.with_claims(sub="x"))
        azure.control.ask("settings", {"vague_mismatches": False})
