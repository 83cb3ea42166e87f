"""boto3, unmodified, with every answer read against the service models as it passes by."""

import boto3
from botocore.client import Config
from botocore.exceptions import ClientError

from aws_answers import read_answer

REGION = "eu-central-1"


class Aws:
    """Clients of one AWS on loopback, and what was asked of it."""

    def __init__(self, verdict, url):
        self.verdict = verdict
        self.url = url
        self.clients = {}
        self.answered = set()
        self.refused = set()
        self.readers = {}

    def client(self, service, key):
        """A client that signs with this key: (access key id, secret[, token])."""
        if (service, key) not in self.clients:
            self.clients[service, key] = self.connect(service, key, strict=True)
        return self.clients[service, key]

    def connect(self, service, key, strict):
        settings = Config(
            region_name=REGION,
            retries={"total_max_attempts": 1},
            parameter_validation=strict,
            s3={"addressing_style": "path"},
            proxies={},
            inject_host_prefix=False,
            connect_timeout=5,
            read_timeout=30,
        )
        client = boto3.client(
            service,
            endpoint_url=self.url,
            aws_access_key_id=key[0],
            aws_secret_access_key=key[1],
            aws_session_token=key[2] if len(key) > 2 else None,
            config=settings,
        )
        self.readers[client] = self.reader(client)
        client.meta.events.register("response-received.*.*", self.readers[client])
        return client

    def reader(self, client):
        model = client.meta.service_model

        def read(response_dict=None, parsed_response=None, event_name=None, **_):
            operation = model.operation_model(event_name.rsplit(".", 1)[1])
            what = f"{model.service_name}:{operation.name} is answered as the model says"
            if not self.verdict.holds(what, response_dict is not None, "no answer at all"):
                return
            status, body = response_dict["status_code"], response_dict["body"]
            # A stream is not text to be read here; an error in its place is.
            body = body if isinstance(body, bytes) else b""
            wrong = read_answer(operation, status, response_dict["headers"], body, parsed_response)
            self.verdict.holds(what, not wrong, wrong)

        return read

    def ok(self, service, method, key, **parameters):
        """A call that must succeed; its parsed answer."""
        client = self.client(service, key)
        try:
            answer = getattr(client, method)(**parameters)
        except ClientError as error:
            self.verdict.holds(f"{service} {method} succeeds", False, str(error))
            return {}
        operation = client.meta.method_to_api_mapping[method]
        self.answered.add(f"{service}:{operation}")
        self.verdict.holds(f"{service} {method} succeeds", True)
        return answer

    def no(self, code, service, method, key, **parameters):
        """A call that must be refused with this code. Parameters are sent however wrong they are."""
        client = self.connect(service, key, strict=False)
        operation = client.meta.method_to_api_mapping[method]
        what = f"{service} {method} is refused with {code}"
        try:
            getattr(client, method)(**parameters)
        except ClientError as error:
            seen = error.response["Error"]["Code"]
            self.refused.add(f"{service}:{operation}")
            self.verdict.equal(what, seen, code)
            return
        self.verdict.holds(what, False, "it was allowed")
