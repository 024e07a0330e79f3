"""A page as a worker has it: /ready answers 200 or 503."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.support.fake_process import FakeLauncher


def serve(port=0, status=200):
    """A server in a thread of its own; shut it down with ``shutdown`` and ``server_close``."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status if self.path == "/ready" else 404)
            self.end_headers()

        def log_message(self, *arguments):
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Page)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server


@contextmanager
def page(status=200):
    """The metrics address beside such a page."""
    server = serve(status=status)
    try:
        yield f"http://127.0.0.1:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()


class ReadyLauncher(FakeLauncher):
    """Starts processes that are ready at once: each has its page until it is stopped. Stands for a starter too."""

    def __init__(self):
        super().__init__()
        self.pages, self.flags = [], None

    def starter(self, home, cwd, ports, flags):
        self.ports, self.flags = ports, flags
        return self

    def __call__(self, slot, roles):
        self.pages.append(serve(self.ports[slot]))
        return super().__call__(slot, roles)

    def close(self):
        for server in self.pages:
            server.shutdown()
            server.server_close()
