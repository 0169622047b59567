"""Small archives served from 127.0.0.1 (fixtures in conftest.py), and what a folder holds."""

import contextlib
import gzip
import http.server
import io
import tarfile
import threading
from types import SimpleNamespace


@contextlib.contextmanager
def serving():
    """Give a server of ``files``; ``requests`` lists the paths that it was asked for.

    ``status``: what it answers; ``cut``: how many bytes it sends of those that it announces.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            served.requests.append(self.path)
            body = served.files.get(self.path)
            self.send_response(404 if body is None else served.status)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write((body or b"")[: served.cut])

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        url = f"http://127.0.0.1:{listener.server_port}"
        served = SimpleNamespace(url=url, files={}, requests=[], status=200, cut=None)
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield served
        listener.shutdown()
        thread.join()


def tar_gz(members):
    with tarfile.open(fileobj=(buffer := io.BytesIO()), mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return gzip.compress(buffer.getvalue(), mtime=0)  # equal bytes at any time of day


def kept(folder):
    """Return the names of the files in a data folder, hidden ones too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
