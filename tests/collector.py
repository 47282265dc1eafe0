"""Where functions tell what they ran: a socket of this machine, and the function that writes to it."""

import json
import socketserver
import threading

# Tells the collector what it was given, then does what the event says: answers, fails or sleeps.
TELLS = """
import json, os, socket, time
def handler(event, context):
    told = {"id": context.aws_request_id, "event": event, "name": context.function_name,
            "arn": context.invoked_function_arn, "trace": os.environ.get("_X_AMZN_TRACE_ID", "")}
    with socket.create_connection((os.environ["HOST"], int(os.environ["PORT"])), 10) as connection:
        connection.sendall(json.dumps(told).encode() + b"\\n")
        connection.recv(1)
    if isinstance(event, dict):
        time.sleep(event.get("sleep", 0))
        if event.get("fail"):
            raise ValueError("as told")
    return {"told": event}
"""


class Collector:
    """Notes each line that a function sends, before the function goes on."""

    def __init__(self):
        self.told = []
        collector = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                line = self.rfile.readline()
                if line:
                    collector.told.append(json.loads(line))
                    self.wfile.write(b".")

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            request_queue_size = 256

        self.server = Server(("0.0.0.0", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def flags(self):
        """Flags of a server whose functions can reach it."""
        return ["--allow", f"127.0.0.1:{self.port}"]

    def environment(self, platform):
        """Environment of a function that tells."""
        return {"Variables": {"HOST": platform.host_address, "PORT": str(self.port)}}

    def of(self, name):
        """What functions of this name told."""
        return [it for it in list(self.told) if it["name"] == name]

    def close(self):
        self.server.shutdown()
        self.server.server_close()
