"""Key Vault under azure-keyvault-keys: the client reads a key, has it sign, and checks by its own means."""

import hashlib

from azure.core.exceptions import HttpResponseError
from azure.keyvault.keys import KeyClient
from azure.keyvault.keys.crypto import CryptographyClient, SignatureAlgorithm
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

VERSION = "0123456789abcdef0123456789abcdef"
OLD = "00000000000000000000000000000000"
DENIED = "Forbidden"


class Vault:
    def __init__(self, azure, estate):
        self.azure = azure
        self.estate = estate

    def settings(self, who):
        azure = self.azure
        return {
            "credential": azure.credential(who.client_id, lambda: azure.issuer.assertion(who.subject)),
            "connection_verify": azure.authority,
            # The challenge names vault.azure.net, and this vault is on loopback.
            "verify_challenge_resource": False,
            "retry_total": 0,
            "proxies": {},
        }

    def keys(self, who):
        return KeyClient(self.azure.url, **self.settings(who))

    def signer(self, who, key_id):
        return CryptographyClient(key_id, **self.settings(who))

    def refused(self, what, code, act):
        try:
            act()
        except HttpResponseError as error:
            seen = error.error.code if error.error else str(error)
            self.azure.verdict.equal(what, seen, code)
            return
        self.azure.verdict.holds(what, False, "it was allowed")

    def switch(self, enabled):
        order = {"name": "jitney", "version": VERSION, "enabled": enabled}
        self.azure.control.ask("key", order)

    def judge(self):
        azure, verdict, who = self.azure, self.azure.verdict, self.estate.SIGNER
        client, digest = self.keys(who), hashlib.sha256(b"what").digest()
        key = azure.ok("a key is read", lambda: client.get_key("jitney", VERSION))
        latest = azure.ok("the latest is read", lambda: client.get_key("jitney"))
        verdict.equal("and is this one", latest.id, key.id)
        verdict.equal("it is an RSA key", key.key_type.value, "RSA")
        verdict.holds("it is enabled", key.properties.enabled)
        verdict.holds("it signs", "sign" in [str(one) for one in key.key_operations])
        verdict.holds("its private half stays", key.key.d is None and key.key.p is None)
        signer = self.signer(who, key.id)
        signed = azure.ok("it signs a digest", lambda: signer.sign(SignatureAlgorithm.rs256, digest))
        number = lambda octets: int.from_bytes(octets, "big")
        public = rsa.RSAPublicNumbers(number(key.key.e), number(key.key.n)).public_key()
        self.verify(public, signed.signature)
        old = client.get_key("jitney", OLD)
        verdict.holds("another version is another key", old.key.n != key.key.n)
        self.refused("another digest is refused", "BadParameter", lambda: signer.sign(SignatureAlgorithm.rs256, b"short"))
        unknown = "f" * 32
        self.refused("an unknown version is refused", "KeyNotFound", lambda: client.get_key("jitney", unknown))
        stranger = self.keys(self.estate.OTHER)
        self.refused("who has no role reads nothing", DENIED, lambda: stranger.get_key("jitney", VERSION))
        self.switch(False)
        self.refused("a disabled key does not sign", DENIED, lambda: signer.sign(SignatureAlgorithm.rs256, digest))
        verdict.holds("it says that it is disabled", not client.get_key("jitney", VERSION).properties.enabled)
        self.switch(True)

    def verify(self, public, signature):
        verdict = self.azure.verdict
        for what, good in [(b"what", True), (b"else", False)]:
            try:
                public.verify(signature, what, padding.PKCS1v15(), hashes.SHA256())
                verdict.holds("the signature is of what was signed", good)
            except InvalidSignature:
                verdict.holds("the signature is of nothing else", not good)
