"""A witness between Google's clients and the sandbox: it passes everything on as it is, and holds every request and
every answer against Google's descriptions of its APIs.
"""

import http.client
import http.server
import json
import threading
import urllib.parse

from gcp_descriptions import Descriptions, pam_messages

# The sandbox's own, and the metadata server, which no description covers.
UNDESCRIBED = ("/_sandbox/", "/computeMetadata/")
HOP_BY_HOP = {"connection", "transfer-encoding", "keep-alive", "content-length"}


class Witness:
    """Listens on loopback for as long as it is entered."""

    def __init__(self, verdict, sandbox):
        self.verdict = verdict
        self.sandbox = urllib.parse.urlsplit(sandbox)
        self.descriptions = Descriptions()
        # Judges that send what no client would send say so, and requests are then not held against anything.
        self.careless = False
        self.lock = threading.Lock()

    def __enter__(self):
        witness = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def pass_on(self):
                witness.pass_on(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = pass_on

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, *_):
                """A client that hangs up is no error of the witness."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def pass_on(self, handler):
        request_body = body_of(handler)
        connection = http.client.HTTPConnection(
            self.sandbox.hostname, self.sandbox.port, timeout=30
        )
        headers = {k: v for k, v in handler.headers.items() if k.lower() not in HOP_BY_HOP}
        connection.request(handler.command, handler.path, request_body, headers)
        answer = connection.getresponse()
        answer_body = answer.read()
        connection.close()
        with self.lock:
            self.look(handler, request_body, answer, answer_body)
        handler.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in HOP_BY_HOP:
                handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(answer_body)))
        handler.end_headers()
        handler.wfile.write(answer_body)

    def look(self, handler, request_body, answer, answer_body):
        target = urllib.parse.urlsplit(handler.path)
        if target.path.startswith(UNDESCRIBED):
            return
        query = urllib.parse.parse_qsl(target.query, keep_blank_values=True)
        what = f"{handler.command} {target.path}"
        description = self.descriptions.find(handler.command, target.path) or pam_messages(
            handler.command, target.path
        )
        if not self.verdict.holds(
            f"{what} is described", description or self.careless or answer.status == 404
        ):
            return
        if description is None:
            return
        is_media = ("alt", "media") in query or description.takes_media
        if not self.careless and not is_media:
            wrong = list(description.wrong_query(query))
            if is_json(handler.headers.get("Content-Type")):
                wrong += description.wrong_request(json.loads(request_body or b"{}"))
            self.verdict.holds(f"{what} is asked as described", not wrong, wrong)
        wrong = self.wrong_answer(description, is_media, answer, answer_body)
        self.verdict.holds(f"{what} is answered as described", not wrong, wrong)

    def wrong_answer(self, description, is_media, answer, body):
        if answer.status >= 400:
            return wrong_error(answer.status, body)
        if is_media and not is_json(answer.getheader("Content-Type")):
            return []
        if answer.status == 204 or (answer.status in (200, 308) and not body):
            return []
        return list(description.wrong_response(json.loads(body)))


def body_of(handler):
    if handler.headers.get("Transfer-Encoding", "").lower() == "chunked":
        pieces = []
        while size := int(handler.rfile.readline().split(b";")[0], 16):
            pieces.append(handler.rfile.read(size))
            handler.rfile.readline()
        handler.rfile.readline()
        return b"".join(pieces)
    return handler.rfile.read(int(handler.headers.get("Content-Length") or 0))


def is_json(content_type):
    return (content_type or "").startswith("application/json")


def wrong_error(status, body):
    """Errors have one of three shapes, none of which a description covers."""
    if status in (416, 499):
        return []
    try:
        error = json.loads(body)["error"]
    except (ValueError, KeyError):
        return [f"an answer of {status} is no error: {body!r}"]
    if isinstance(error, str):
        return [] if status == 400 else [f"OAuth's errors are answered with 400, not {status}"]
    wrong = []
    if error.get("code") != status:
        wrong.append(f"the code is {error.get('code')}, the status is {status}")
    if not error.get("message"):
        wrong.append("there is no message")
    if not error.get("status") and not error.get("errors"):
        wrong.append("there is neither a status nor a reason")
    return wrong
