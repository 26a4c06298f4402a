"""Every option: its name, default, help and environment name, read once into one frozen Config."""

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tornado.log import define_logging_options, enable_pretty_logging
from tornado.options import Error, OptionParser


def option(default: Any, meaning: str) -> Any:
    """Return a field of Config; `meaning` is its text in --help."""
    return field(default=default, metadata={"help": meaning})


def redacted(address: str) -> str:
    """Return an address without the password that may be in it."""
    return re.sub("://.*@", "://", address).partition("?")[0]


def check_url(name: str, address: str, scheme: str, path: str, model: str) -> None:
    """Raise Error unless `address` is that of a server; `scheme` and `path` are patterns."""
    try:
        parts = urlsplit(address)
        fits = re.fullmatch(scheme, parts.scheme) and re.fullmatch(path, parts.path)
        good = fits and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise Error(f"--{name} must look like {model}, not {redacted(address)!r}")


SITE = re.compile(r"https?://(\[[0-9a-f:.]+\]|[^][\s/?#@:\\]+)(:[1-9][0-9]{0,4})?/?")
POSTGRESQL = ("postgresql", "/.+", "postgresql://user:password@host:port/name")


@dataclass(frozen=True)
class Config:
    """All options. Tests make their own: `Config(port=0, database="x/people.db")`."""

    port: int = option(8888, "port to listen on; 0 picks a free one")
    address: str = option("127.0.0.1", "address to listen on; empty for all")
    database: str = option("people.db", "SQLite file, created if missing, or postgresql://...")
    redis: str = option("", "redis://... for instant updates between processes")
    cookie_secret: str = option("", "cookie signing key, generated if empty")
    public_url: str = option("", "public URL of the site, https behind TLS")
    trusted_proxies: str = option("", "trusted reverse proxies, comma-separated IPs")
    throttle: bool = option(True, "rate limits per user and per IP address; false for tests")
    quota: int = option(100, "MB of text one account may store")
    signup: str = option("open", "open, or closed: by invitation only")
    reset_password: str = option("", "print a password reset link for this user, and exit")
    oidc_issuer: str = option("", "OpenID Connect provider, like https://id.example.org")
    oidc_client_id: str = option("", "client ID at that provider")
    oidc_client_secret: str = option("", "client secret at that provider")
    oidc_name: str = option("", "display name of the provider; its host if empty")
    backup: str = option("", "copy the database to this file, and exit")
    backup_folder: str = option("", "folder for nightly backups of the database; 7 are kept")
    fetch_titles: bool = option(True, "fetch the titles of linked pages")
    fetch_from: str = option("", "non-public addresses to fetch from, too: IP:port,IP:port")
    migrate_to: str = option("", "copy the SQLite file to this postgresql://..., and exit")
    metrics_token: str = option("", "token for remote access to /metrics")
    debug: bool = option(False, "restart on changes, show tracebacks")

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise Error(f"--port must be from 0 to 65535, not {self.port}")
        if self.engine == "postgresql":
            check_url("database", self.database, *POSTGRESQL)
        elif "://" in self.database.removeprefix("sqlite:///"):
            raise Error(
                "--database must be a path, sqlite:///path or "
                f"postgresql://user:password@host/name, not {redacted(self.database)!r}"
            )
        if self.migrate_to:
            check_url("migrate_to", self.migrate_to, *POSTGRESQL)
            if self.engine == "postgresql":
                raise Error("--migrate_to copies a SQLite file: give its path as --database")
        if self.signup not in ("open", "closed"):
            raise Error(f"--signup must be open or closed, not {self.signup!r}")
        if self.cookie_secret and len(self.cookie_secret) < 32:
            raise Error("--cookie_secret needs at least 32 characters")
        if self.public_url and not SITE.fullmatch(self.public_url):
            told = redacted(self.public_url)
            raise Error(f"--public_url must look like https://todo.example.org, no path: {told!r}")

    @property
    def engine(self) -> str:
        """The kind of database: sqlite or postgresql."""
        return "postgresql" if self.database.startswith("postgresql://") else "sqlite"

    @property
    def database_path(self) -> Path:
        return Path(self.database.removeprefix("sqlite:///")).absolute()

    @property
    def secure(self) -> bool:
        """Whether the site is at https://; the option decides, never a request's header."""
        return self.public_url.startswith("https://")

    @property
    def sso_name(self) -> str:
        """The display name of the SSO provider, empty when there is none."""
        return self.oidc_name or urlsplit(self.oidc_issuer).netloc

    @functools.cached_property
    def proxies(self) -> list[str]:
        """The IP addresses whose X-Forwarded-For is trusted."""
        return [address.strip() for address in self.trusted_proxies.split(",") if address.strip()]


def read(arguments: Sequence[str], environment: Mapping[str, str]) -> Config:
    """Parse the arguments (the program's name first), on top of AFAZERES_* variables.

    Raises tornado.options.Error with a message for people.
    """
    parser = OptionParser()
    define_logging_options(parser)
    for each in fields(Config):
        parser.define(each.name, default=each.default, help=each.metadata["help"])
    given = [
        f"--{name}={value}"
        for name in parser
        if (value := environment.get(f"AFAZERES_{name.upper()}"))  # an empty one says nothing
    ]
    for argument in [*given, *arguments[1:]]:
        name, _, value = argument.removeprefix("--").partition("=")
        if not argument.startswith("--") or name not in parser:
            raise Error(f"unknown option {redacted(argument)!r}: see --help")
        if isinstance(parser[name], bool) and value.lower() not in ("", "true", "false"):
            raise Error(f"--{name} must be true or false, not {value!r}")
        try:
            parser.parse_command_line([arguments[0], argument], final=False)
        except ValueError:
            raise Error(f"--{name} must be a number, not {value!r}") from None
    level = parser.logging
    if level.lower() not in ("debug", "info", "warning", "error", "none"):
        raise Error(f"--logging must be debug, info, warning, error or none, not {level!r}")
    try:
        enable_pretty_logging(parser)
    except OSError as error:
        raise Error(f"--log_file_prefix can't be written: {error}") from error
    return Config(**{each.name: parser[each.name] for each in fields(Config)})
