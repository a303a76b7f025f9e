"""A UM-Bridge server with one model, on the standard library alone: `python3 server.py`, then submit the manifest.

With the `umbridge` package a server is a class of three methods; this shows what goes over the wire.
"""

import json
import math
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TIMES = [round(i * 5.0 / 39, 6) for i in range(40)]


def signal(amplitude, rate, offset):
    return [amplitude * math.exp(-rate * t) + offset for t in TIMES]


def apply_jacobian(parameters, vector):
    """J·v of the signal with respect to (amplitude, rate, offset)."""
    amplitude, rate, _ = parameters
    da, dr, do = vector
    return [math.exp(-rate * t) * (da - amplitude * t * dr) + do for t in TIMES]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer({"protocolVersion": 1.0, "models": ["decay"]})

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if request["name"] != "decay":
            self.answer({"error": {"type": "ModelNotFound", "message": f"no model {request['name']}"}}, 400)
        elif self.path == "/InputSizes":
            self.answer({"inputSizes": [3]})
        elif self.path == "/OutputSizes":
            self.answer({"outputSizes": [len(TIMES)]})
        elif self.path == "/ModelInfo":
            self.answer({"support": {"Evaluate": True, "Gradient": False, "ApplyJacobian": True}})
        elif self.path == "/Evaluate":
            self.answer({"output": [signal(*request["input"][0])]})
        elif self.path == "/ApplyJacobian":
            self.answer({"output": apply_jacobian(request["input"][0], request["vec"])})
        else:
            self.answer({"error": {"type": "UnsupportedFeature", "message": self.path}}, 400)

    def answer(self, document, status=200):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 4242
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
