"""The files of views/statics, under addresses that change when what is in their folder does."""

import hashlib
import re
from pathlib import Path
from typing import Any

from tornado.web import StaticFileHandler

from controllers.base import BaseHandler
from models.errors import NotFound

VERSIONED = re.compile("(.+)/([0-9a-f]{16})/([^/]+)")


class StaticHandler(BaseHandler, StaticFileHandler):
    """`/static/js/VERSION/main.js` is cached for ever, `/static/js/main.js` is asked for again.

    The version is a part of the path, not Tornado's `?v=`, as a module imports the one beside it by
    a relative address, which keeps no query. So it stands for all files of the folder.
    """

    version = ""

    @classmethod
    def get_content_version(cls, abspath: str) -> str:
        """Return a hash of all files in the folder of one; Tornado keeps it."""
        files = sorted(Path(abspath).parent.iterdir())
        content = b"".join(file.name.encode() + b"\0" + file.read_bytes() for file in files)
        return hashlib.sha256(content).hexdigest()[:16]

    @classmethod
    def make_static_url(
        cls, settings: dict[str, Any], path: str, include_version: bool = True
    ) -> str:
        """Return the address of a file, which `parse_url_path` takes apart again."""
        folder, _, name = path.rpartition("/")
        version = cls.get_version(settings, path) if include_version else None
        return "/static/" + "/".join(part for part in (folder, version, name) if part)

    def parse_url_path(self, url_path: str) -> str:
        """Return the path of a file. What it may be Tornado checks after that."""
        if "\0" in url_path:  # on which the file system's functions raise
            raise NotFound
        if match := VERSIONED.fullmatch(url_path):
            folder, self.version, name = match.groups()
            url_path = f"{folder}/{name}"
        return super().parse_url_path(url_path)

    def set_extra_headers(self, path: str) -> None:
        """Let copies be kept, but not under a version that isn't ours.

        A page from before a deploy, or from a newer process during one, gets the files there are:
        with them it very likely works, with 404 it surely has no script. But they aren't of its
        version: kept as that, they would be wrong for good once a process has the right ones.
        """
        if self.version == self.get_version(self.settings, path):
            self.set_header("Cache-Control", f"max-age={self.CACHE_MAX_AGE}, immutable")
        else:
            self.set_header("Cache-Control", "no-cache")
