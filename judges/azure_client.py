"""Azure's own clients, unmodified, with every answer read as it passes by; and an issuer of assertions."""

import base64
import http.server
import json
import logging
import ssl
import threading
import time
import urllib.error
import urllib.request

import jwt
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.identity import ClientAssertionCredential
from azure.mgmt.authorization import AuthorizationManagementClient
from cryptography.hazmat.primitives.asymmetric import rsa

from azure_answers import read_answer

ARM = "https://management.azure.com"
STORAGE = "https://storage.azure.com"
# They warn of each refusal, and most of what is asked here is to be refused.
logging.getLogger("azure").setLevel(logging.CRITICAL)


def unpadded(number):
    octets = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


class Issuer:
    """An OIDC issuer on loopback that shares no code with the judged one."""

    def __init__(self):
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.key_id = "judge-1"
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                documents = {
                    "/.well-known/openid-configuration": {
                        "issuer": issuer.url,
                        "jwks_uri": f"{issuer.url}/keys",
                    },
                    "/keys": {"keys": [issuer.public()]},
                }
                document = documents.get(self.path)
                self.send_response(200 if document else 404)
                self.end_headers()
                self.wfile.write(json.dumps(document).encode())

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def public(self):
        numbers = self.key.public_key().public_numbers()
        return {
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": self.key_id,
            "n": unpadded(numbers.n),
            "e": unpadded(numbers.e),
        }

    def assertion(self, subject, **claims):
        now = int(time.time())
        claims = {
            "iss": self.url,
            "sub": subject,
            "aud": "api://AzureADTokenExchange",
            "iat": now,
            "nbf": now,
            "exp": now + 300,
            **claims,
        }
        return jwt.encode(claims, self.key, algorithm="RS256", headers={"kid": self.key_id})


class Control:
    """The sandbox's own strings."""

    def __init__(self, url, authority):
        context = ssl.create_default_context(cafile=authority)
        self.url = url
        self.opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )

    def ask(self, command, order=None):
        body = None if order is None else json.dumps(order).encode()
        request = urllib.request.Request(f"{self.url}/_sandbox/{command}", data=body)
        with self.opener.open(request, timeout=10) as answer:
            return json.load(answer)

    def journal(self):
        return self.ask("journal")["entries"]


class Azure:
    """Clients of one sandbox: a principal is its client id, its subject and its object id."""

    def __init__(self, verdict, ready, authority, issuer):
        self.verdict = verdict
        self.url = ready["url"]
        self.tenant = ready["tenant_id"]
        self.authority = authority
        self.issuer = issuer
        self.control = Control(self.url, authority)
        self.clients = {}

    def pass_time(self, seconds):
        """Everybody logs in again: on the sandbox's clock their tokens have become old."""
        self.control.ask("clock", {"advance_seconds": seconds})
        self.clients.clear()

    def credential(self, client_id, assertion, tenant=None):
        return ClientAssertionCredential(
            tenant or self.tenant,
            client_id,
            assertion,
            authority=self.url,
            disable_instance_discovery=True,
            connection_verify=self.authority,
            retry_total=0,
        )

    def client(self, who, subscription):
        """Resource Manager as this principal."""
        if who not in self.clients:
            credential = self.credential(who.client_id, lambda: self.issuer.assertion(who.subject))
            self.clients[who] = AuthorizationManagementClient(
                credential,
                subscription,
                base_url=self.url,
                credential_scopes=[f"{ARM}/.default"],
                connection_verify=self.authority,
                raw_response_hook=self.read,
                retry_total=0,
                proxies={},
            )
        return self.clients[who]

    def by_hand(self, who, method, path, body=None):
        """A call that no client of Microsoft's makes yet."""
        credential = self.credential(who.client_id, lambda: self.issuer.assertion(who.subject))
        headers = {
            "Authorization": f"Bearer {credential.get_token(f'{ARM}/.default').token}",
            "Content-Type": "application/json",
        }
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data, headers, method=method)
        try:
            with self.control.opener.open(request, timeout=10) as answer:
                status, headers, text = answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            status, headers, text = error.code, error.headers, error.read()
        body = json.loads(text) if text else None
        wrong = read_answer(method, path, status, headers, body)
        self.verdict.holds(f"{method} {path} is answered as documented", not wrong, wrong)
        return status, body

    def read(self, response):
        answer, asked = response.http_response, response.http_request
        text = answer.text()
        body = json.loads(text) if text else None
        path = asked.url.removeprefix(self.url)
        wrong = read_answer(asked.method, path, answer.status_code, answer.headers, body)
        self.verdict.holds(f"{asked.method} {path} is answered as documented", not wrong, wrong)

    def ok(self, what, act):
        """An act that must succeed; its answer, lists as lists."""
        try:
            answer = act()
            if hasattr(answer, "by_page"):
                answer = list(answer)
        except HttpResponseError as error:
            self.verdict.holds(what, False, str(error))
            return None
        self.verdict.holds(what, True)
        return answer

    def no(self, what, code, act):
        """An act that must be refused with this code."""
        try:
            answer = act()
            if hasattr(answer, "by_page"):
                answer = list(answer)
        except HttpResponseError as error:
            seen = error.error.code if error.error else str(error)
            self.verdict.equal(what, seen, code)
            return
        self.verdict.holds(what, False, f"it was allowed: {answer!r}")

    def no_token(self, what, code, credential, scope=f"{ARM}/.default"):
        """A token that must be refused with this AADSTS code."""
        try:
            credential.get_token(scope)
        except ClientAuthenticationError as error:
            self.verdict.holds(what, f"AADSTS{code}:" in str(error), str(error))
            return
        self.verdict.holds(what, False, "a token was given")
