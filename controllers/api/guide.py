"""The API described: in OpenAPI for programs, and as a page for people."""

import json
from collections.abc import Iterable
from typing import Any

from controllers.api.base import CODES, MORE_CODES, ApiHandler
from controllers.api.openapi import describe
from controllers.base import PageHandler

Paths = Iterable[tuple[str, type[ApiHandler]]]  # with {names} in the paths


class OpenApiHandler(ApiHandler):
    public = True

    def initialize(self, paths: Paths) -> None:
        self.paths = paths

    async def get(self) -> None:
        self.send_json(json.dumps(describe(self.paths, self.base), indent=1).encode())


class GuideHandler(PageHandler):
    """The page: every operation, examples, error codes."""

    public = True

    def initialize(self, paths: Paths) -> None:
        self.paths = paths

    async def get(self) -> None:
        paths: dict[str, dict[str, Any]] = describe(self.paths, self.base)["paths"]
        # Summaries stay in English, as programmers' texts do.
        rows = [
            (path, method.upper(), operation["summary"])
            for path, methods in paths.items()
            for method, operation in methods.items()
            if method != "parameters"
        ]
        codes = sorted([*CODES.items(), *MORE_CODES])
        self.render("api/index.html", rows=rows, base=self.base, codes=codes)
